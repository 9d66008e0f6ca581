// Pass "transfers": what a pipeline stage sends to its neighbours and receives from them.
#pragma once

#include <array>
#include <vector>

#include "core/lowering/context.h"

namespace shardscope {

// Activations go on to the next chunk's stage, gradients back to the one before; between chunks of one stage that
// follow each other there is nothing to transfer. At each end of each
// direction lies one buffer between transfers and kernels: the stage computes on while its last output
// is on the way and while the next input comes in. Every transfer is a body of its own, scheduled
// before the task that takes what it brings, or behind the one that filled its buffer.
//
// Where a product divides them (ProfileRules::divides_transfers), each rank of a tensor-parallel group, all of
// which hold the same rows, sends its part of them, and those of the next stage gather the parts.
//
// A queue has one peer: the stage before, or the one after. In a V (zb-v) the second chunk goes the other way, so
// that its activations share a queue with the first one's gradients, and the other way round; both ends of a
// queue then keep the order in which the sender has them, and every chunk has buffers of its own.
class Transfers {
public:
    enum class Port { activations_in, activations_out, gradients_in, gradients_out };

    explicit Transfers(LoweringContext& context);

    // The chunk receives and sends nothing at the model's ends, nor where its own stage goes on.
    bool has(Port port, int chunk) const { return end(port).elements[index(chunk)] > 0; }
    // Elements that the chunk gives or takes.
    std::int64_t elements(Port port, int chunk) const { return end(port).elements[index(chunk)]; }

    // In a body of the chunk: copies what has come in to `to`, once it has come.
    void take(Port port, int chunk, BufferId to);
    // In a body of the chunk: copies `from` into the buffer, once its last content has left.
    void fill(Port port, int chunk, BufferId from);

    // The stage at the other end.
    int peer(Port port, int chunk) const { return end(port).peer[index(chunk)]; }

    // The body that transfers; lower it behind all bodies that take and fill.
    BodyId lower_body(Port port, int chunk);

private:
    struct End {
        std::vector<Stream> stream;  // per chunk
        Phase phase = Phase::forward;
        bool send = false;
        std::vector<BufferId> buffer;        // per chunk; one for all, but in a V
        std::vector<int> peer;               // per chunk: stage
        std::vector<std::int64_t> elements;  // per chunk, 0: none
        // Per chunk: a body has filled the buffer, or taken from it; one event per body.
        std::vector<std::vector<EventId>> ready;
        std::vector<EventId> done;  // per chunk: the transfer is over
    };
    const End& end(Port port) const { return ends_[static_cast<std::size_t>(port)]; }
    End& end(Port port) { return ends_[static_cast<std::size_t>(port)]; }
    bool in_v() const { return context_.strategy.schedule == Schedule::zero_bubble_v; }
    static std::size_t index(int chunk) { return static_cast<std::size_t>(chunk); }
    void copy(const Operand& from, BufferId to, std::int64_t elements);
    // Of `elements`, those that one rank sends.
    std::int64_t part_of(std::int64_t elements) const {
        return divided_ ? elements / context_.layout.tp : elements;
    }

    LoweringContext& context_;
    bool divided_ = false;
    std::array<End, 4> ends_;
};

}  // namespace shardscope
