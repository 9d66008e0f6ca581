// What a measured run leaves open of ZeRO, sequence parallelism and recomputation, in the order in which users come to it
// who run out of memory.
#pragma once

#include <vector>

#include "core/strategy/strategy.h"
#include "core/validation/measured_run.h"
#include "core/validation/run_framework.h"

namespace shardscope {

struct Attempt {
    int zero = 0;
    bool sequence_parallel = false;
    Recompute recompute;
};

// Whether the row leaves open what is recomputed (recompute_of).
bool leaves_recompute_open(const MeasuredRun& run, const Strategy& strategy);

// Whether sequence parallelism may be turned on for want of memory: it is neither stated nor on in the strategy.
bool may_turn_on_sequence_parallel(const MeasuredRun& run, const Strategy& strategy);

// Of a strategy with degrees, stage, sequence parallelism and recomputation as they are where nothing is short; one at
// least. Those with the same stage are neighbours.
std::vector<Attempt> attempts_of(const MeasuredRun& run, const RunFramework& framework,
                                 const Strategy& strategy);

}  // namespace shardscope
