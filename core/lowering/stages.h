// Pass "stages": which layers each pipeline stage holds, and in which order it works.
#pragma once

#include <cstdint>
#include <vector>

#include "core/lowering/plan.h"

namespace shardscope {

// Where the model's chunks are: chunk c on stage c mod pp, and with zb-v in a V, down the stages and up
// again, stage s having chunks s and 2·pp − 1 − s.
int stage_of_chunk(const Strategy& strategy, int chunk);
std::vector<int> chunks_of_stage(const Strategy& strategy, int stage);  // ascending

// The layers of each of the pp · chunks_per_stage chunks, in model order.
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
//   zb-v   two chunks per stage in a V (Qi et al. 2024, section 6): no bubble between a stage's first task and
//          its last where the three kinds of task take equally long and there are 2·stages − 1 micro-batches
//          or more, with 2·stages chunks' activations kept. The order is that of torch.distributed.pipelining's
//          ScheduleZBVZeroBubble: what fewer micro-batches lack is left out of it.
std::vector<StageTask> stage_schedule(const Strategy& strategy, int stage, int stages,
                                      std::int64_t micro_batches);

}  // namespace shardscope
