// Pass "stages": which layers each pipeline stage holds, and in which order it works.
#pragma once

#include <cstdint>
#include <vector>

#include "core/lowering/plan.h"

namespace shardscope {

// The layers of each of the pp · virtual_stages chunks, in model order; chunk c is on stage c mod pp.
// Every chunk has at least one layer. The heaviest chunk is as light as possible, then the sum of
// squares of the chunks' weights (so that a remainder is spread), then earlier chunks are the lighter
// ones; what a layer weighs is strategy.partition's choice. `blocks`: a block 1, and what surrounds the
// blocks (embedding, head with loss) nothing where the blocks divide over the chunks, else 1 each: 126
// blocks on 16 chunks are 7 and the embedding, 14 times 8, and 7 and the head.
// Throws Error "partition" for fewer layers than chunks, counts that do not sum to the layers, and
// patterns that match nothing.
std::vector<LayerRange> partition_layers(const Model& model, const Strategy& strategy);

// One step of a stage's work on one chunk (an index among the stage's own chunks).
struct StageTask {
    enum class Kind : std::uint8_t {
        forward,
        backward,         // both gradients
        input_gradient,   // zero-bubble: the gradient that the previous stage waits for
        weight_gradient,  // zero-bubble: the rest, whenever there is time
    } kind = Kind::forward;
    int chunk = 0;
    std::int32_t micro_batch = 0;
};

// What stage `stage` of `stages` does with `micro_batches` micro-batches, in order.
//   gpipe  all forwards, all backwards (Huang et al. 2019, arXiv:1811.06965)
//   1f1b   stages − stage − 1 forwards to warm up, then one forward, one backward (Narayanan et al.
//          2021, arXiv:2006.09503, PipeDream-Flush); interleaved with virtual_stages v > 1 (Narayanan et al. 2021,
//          arXiv:2104.04473, section 2.2): 2·(stages − stage − 1) + (v − 1)·stages warm-up forwards,
//          micro-batches in rounds of `stages`, each chunk in turn. Micro-batches that a last round
//          lacks are left out of the order.
//   zb-h1  1F1B whose stage s lets s weight gradients wait, so that each stage keeps the activations
//          of as many micro-batches as 1F1B's first (Qi et al. 2024, arXiv:2401.10241, section 3)
std::vector<StageTask> stage_schedule(const Strategy& strategy, int stage, int stages,
                                      std::int64_t micro_batches);

}  // namespace shardscope
