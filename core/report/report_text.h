// Reports for people: aligned tables with the units in their headers.
//
// Each column has one unit: memory GiB (MiB when nothing reaches 0.1 GiB), time s (ms when nothing
// reaches 1 s), both of the rank with the largest peak and the slowest rank. What is not known is "–".
#pragma once

#include <string>

#include "core/report/report.h"

namespace shardscope {

// `colours` are a terminal's: what fits is green, what does not or failed is red.
//
// One table of simulated (or measured) results, then errors and notes.
std::string simulation_text(const Report& report, bool colours = false);
std::string measurement_text(const Report& report, bool colours = false);

// Predicted beside measured: an overview, memory by category, and the parts of a step.
std::string comparison_text(const Report& report, bool colours = false);

// The first line of all of them: scenario, batch, precision and machine. Without a line break.
std::string heading_text(const Report& report);
// The last part: what failed and why, then every note, each once, a line each. May be empty.
std::string remarks_text(const Report& report);

}  // namespace shardscope
