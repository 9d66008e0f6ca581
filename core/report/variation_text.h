// How steps vary with jitter and stragglers, for people: part of what report_text.h prints.
#pragma once

#include <string>

#include "core/report/report.h"

namespace shardscope {

// A table of StepVariation beside the step in which all ranks run alike; empty where no result has one.
std::string variation_text(const Report& report);

}  // namespace shardscope
