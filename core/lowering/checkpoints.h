// Pass "checkpoints": the inputs of recomputed blocks, on the host between forward and backward (DeepSpeed's
// cpu_checkpointing; ZeRO-Infinity, Rajbhandari et al. 2021, 5.1.3).
#pragma once

#include <vector>

#include "core/lowering/context.h"

namespace shardscope {

// A block's input leaves while the block computes, and comes back while the block behind it is computed again:
// of each chunk at most two are on the device in either pass. Does nothing without Strategy::offload.activations.
class Checkpoints {
public:
    explicit Checkpoints(LoweringContext& context);

    // Forward: `input` of a recomputed layer, `elements` of the storage type, is there.
    void send(std::size_t layer, BufferId input, std::int64_t elements);
    // Forward, once the layer has computed, and where the body ends: the compute stream waits for what has
    // left before the last one, and for all.
    void release();
    void end_forward();

    // Starts a backward body of a chunk.
    void begin_backward(const LayerRange& layers);
    // Before a layer of it: its input, back on the device; invalid where it has never left.
    BufferId take(std::size_t layer);

private:
    struct Checkpoint {
        std::int64_t elements = 0;
        BufferId host, nvme, back;  // nvme: valid where it goes on there
    };
    void fetch(std::size_t layer);
    std::size_t next_below(std::size_t layer) const;
    bool sent(std::size_t layer) const { return checkpoints_[layer].host.valid(); }

    LoweringContext& context_;
    std::vector<Checkpoint> checkpoints_;  // per layer
    std::vector<EventId> leaving_;         // of the last one sent
    std::vector<EventId> left_;            // of those before
    std::vector<EventId> coming_;          // of the next one
    std::size_t first_ = 0;                // layer of the chunk in the backward body
};

}  // namespace shardscope
