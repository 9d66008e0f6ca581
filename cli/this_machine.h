// This machine as a cluster whose ranks are threads, and the file that says how fast it is.
#pragma once

#include <optional>
#include <string>

#include "cli/arguments.h"
#include "cli/calibrate_measure.h"
#include "cli/environment.h"
#include "cli/processes.h"
#include "cli/progress.h"
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

// Throws "ranks" where the scenario, or --ranks, asks for another number of ranks than there are processes.
void check_rank_count(const Scenario& scenario, const RunArguments& arguments, int processes);

// Puts the scenario on the processes of this run, each a rank. Throws what check_rank_count() does.
std::optional<std::string> move_to_processes(Scenario& scenario, const RunArguments& arguments,
                                             Processes& processes, const ParseOptions& options);

// Measures with progress and writes the file: this machine, or where there are `processes`, how fast they
// communicate, and the machine only if the file does not know it yet. Then all processes call it. Returns
// what the file says now (on rank 0).
Cluster calibrate_to(const std::string& file, bool quick, Processes* processes,
                     const Environment& environment);

// Whether `calibrate` can write the file: throws Error "output" where it cannot. Makes the default file's
// folder; others are the user's to make.
void check_calibration_file(const std::string& file, const Environment& environment);

// What `calibrate` tells while it measures.
CalibrateProgress shown_on(Progress& progress);

// Whether the file has what predictions need: for threads, or for these processes (all must ask).
bool is_calibrated(const std::string& file, Processes* processes);

}  // namespace shardscope
