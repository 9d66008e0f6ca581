// The communication part of `calibrate` for ranks that are processes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/calibrate_measure.h"
#include "cli/collective_timing.h"
#include "cli/processes.h"

namespace shardscope {

// All-reduce, reduce-scatter and all-gather of 1 KiB … 16 MiB, among 2, 4, … ranks of one host, one rank
// of each host and all ranks, and transfers between two ranks on one host and on two. A sample's time is
// the median wall time of the slowest member. All processes call it and get the same.
std::vector<CollectiveSample> measure_processes(Processes& processes,
                                                const CalibrateOptions& options,
                                                const CalibrateProgress& progress);

// The same by another way of timing (NCCL's): called by the members of each group.
using TimeGroup = std::function<std::vector<CollectiveTiming>(
    const std::vector<CollectiveCase>& cases, Communicator& group)>;
std::vector<CollectiveSample> measure_groups(Processes& processes, const std::string& transport,
                                             const CollectiveGrid& grid, const TimeGroup& time,
                                             const CalibrateProgress& progress);

}  // namespace shardscope
