// The communication part of `calibrate`: collectives among thread ranks.
#pragma once

#include <vector>

#include "cli/calibrate_measure.h"
#include "core/cluster/cluster.h"

namespace shardscope {

// All-reduce, reduce-scatter and all-gather of 1 KiB … 64 MiB among 2 and 4 ranks that share `cores`.
// A sample's time is put together from what other programs hardly disturb: the processor time of the
// slowest rank, times how many ranks take turns on a core, plus the latency of meeting, which is the
// wall time (lower quartile of many) less the processor time of the smallest call.
std::vector<CollectiveSample> measure_collectives(int cores, const CalibrateOptions& options,
                                                  const CalibrateProgress& progress);

}  // namespace shardscope
