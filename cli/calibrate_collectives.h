// The communication part of `calibrate`: collectives among thread ranks.
#pragma once

#include <vector>

#include "cli/calibrate_measure.h"
#include "core/cluster/cluster.h"

namespace shardscope {

// All-reduce, reduce-scatter and all-gather of 1 KiB … 64 MiB among 2 and 4 ranks, in wall time from
// the last rank's call to the last rank's return. The lower quartile of several repeats: what
// delays a thread from outside only ever adds.
std::vector<CollectiveSample> measure_collectives(const CalibrateOptions& options,
                                                  const CalibrateProgress& progress);

}  // namespace shardscope
