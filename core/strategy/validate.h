// What a strategy must satisfy on a given scenario, and the numbers that follow from it.
#pragma once

#include <cstdint>

#include "core/model/model.h"
#include "core/scenario.h"

namespace shardscope {

// The batch arithmetic of one strategy: global_batch = micro_batch · micro_batches · dp.
struct Layout {
    int world = 1, dp = 1, tp = 1, pp = 1;
    std::int64_t micro_batch = 0;    // samples per rank and micro-batch
    std::int64_t micro_batches = 0;  // per rank and step (gradient accumulation)
};

// Throws Error with the arithmetic and degrees that would work: "world-size: tp 4 × pp 3 = 12 does
// not divide 16 ranks; use pp 1, 2 or 4". Degrees this version cannot run (tp, pp > 1) are refused by
// rule "unsupported" naming the degree.
Layout layout_for(const Scenario& scenario, const Strategy& strategy);

}  // namespace shardscope
