// Pass "transfers": what a pipeline stage sends to its neighbours and receives from them.
#pragma once

#include <array>
#include <vector>

#include "core/lowering/context.h"

namespace shardscope {

// Activations go on to the next chunk's stage, gradients back to the one before. At each end of each
// direction lies one buffer between transfers and kernels: the stage computes on while its last output
// is on the way and while the next input comes in. Every transfer is a body of its own, scheduled
// before the task that takes what it brings, or behind the one that filled its buffer.
//
// Where a product divides them (ProfileRules::divides_transfers), each rank of a tensor-parallel group, all of
// which hold the same rows, sends its part of them, and those of the next stage gather the parts.
class Transfers {
public:
    enum class Port { activations_in, activations_out, gradients_in, gradients_out };

    explicit Transfers(LoweringContext& context);

    // The chunk receives and sends nothing at the model's ends.
    bool has(Port port, int chunk) const { return end(port).elements[index(chunk)] > 0; }
    // Elements that the chunk gives or takes.
    std::int64_t elements(Port port, int chunk) const { return end(port).elements[index(chunk)]; }

    // In a body of the chunk: copies what has come in to `to`, once it has come.
    void take(Port port, int chunk, BufferId to);
    // In a body of the chunk: copies `from` into the buffer, once its last content has left.
    void fill(Port port, int chunk, BufferId from);

    // The body that transfers; lower it behind all bodies that take and fill.
    BodyId lower_body(Port port, int chunk);

private:
    struct End {
        Stream stream = Stream::activations_in;
        Phase phase = Phase::forward;
        bool send = false;
        int peer = 0;  // stage
        BufferId buffer;
        std::vector<std::int64_t> elements;  // per chunk, 0: none
        // Per chunk: a body has filled the buffer, or taken from it; one event per body.
        std::vector<std::vector<EventId>> ready;
        std::vector<EventId> done;  // per chunk: the transfer is over
    };
    const End& end(Port port) const { return ends_[static_cast<std::size_t>(port)]; }
    End& end(Port port) { return ends_[static_cast<std::size_t>(port)]; }
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
