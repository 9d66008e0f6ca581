// This machine as a cluster whose ranks are threads, and the file that says how fast it is.
#pragma once

#include <optional>
#include <string>

#include "cli/environment.h"
#include "core/scenario.h"
#include "core/scenario_io.h"

namespace shardscope {

ParseOptions parse_options(const Environment& environment, const std::string& calibration_file);

// Puts the scenario on this machine with that many ranks and threads of each (default: as many as it
// has), and returns a note for the report if that changed what it asked for. Throws "ranks" where that
// is too many.
std::optional<std::string> move_to_this_machine(Scenario& scenario, std::optional<int> ranks,
                                                std::optional<int> threads,
                                                const ParseOptions& options);

// Throws "not-calibrated" if the scenario runs on this machine and its speed is not known.
void require_calibration(const Scenario& scenario, const std::string& calibration_file);

// Measures the machine with progress and writes the file. Returns what was measured.
Cluster calibrate_to(const std::string& file, bool quick, const Environment& environment);

// A note when the calibration is another machine's.
std::optional<std::string> calibration_note(const Cluster& cluster, const Machine& machine);

}  // namespace shardscope
