// What a rank can be told to do. Every instruction carries its stream, phase and layer, so that a
// trace explains itself; the micro-batch comes from the task that runs the body.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "core/ids.h"
#include "core/model/token_routing.h"
#include "core/program/kernel.h"

namespace shardscope {

// In-order queues of one rank, each with its own communicators. Gathers and reductions are apart, so
// that a reduce-scatter cannot block the prefetch behind it. Tensor-parallel collectives of activations
// go on the compute stream: nothing could run beside them. A pipeline stage has a queue per direction and end:
// activations come in and go on to the next stage, gradients come in and go back to the one before, so
// that a transfer only ever waits for its own peer. Keys and values on their way around a context-parallel
// group have a queue beside the attention that they overlap; tensor-parallel collectives have one where they are
// to go on beside multiplies (Strategy::tp_overlap), and so have tokens on their way to experts and back where
// shared experts are computed meanwhile (Strategy::overlap_shared_experts). What lies outside the device (Tier) has a queue per
// direction between device and host, and between host and NVMe; `host` is the host's processors, which compute
// in its memory.
enum class Stream : std::uint8_t {
    compute,
    gather,
    reduce,
    activations_in,
    activations_out,
    gradients_in,
    gradients_out,
    context,
    tensor,
    experts,
    to_host,
    to_device,
    host,
    nvme_read,
    nvme_write,
};
constexpr std::size_t kStreams = 15;
std::string_view stream_name(Stream stream);

// What a transfer's stream makes it a part of: activations, gradients, or neither. The streams of the
// two ends of a transfer differ, their lane is the same.
enum class TransferLane : std::uint8_t { activations, gradients, other };
constexpr std::size_t kTransferLanes = 3;
constexpr TransferLane transfer_lane(Stream stream) {
    switch (stream) {
        case Stream::activations_in:
        case Stream::activations_out:
            return TransferLane::activations;
        case Stream::gradients_in:
        case Stream::gradients_out:
            return TransferLane::gradients;
        default:
            return TransferLane::other;
    }
}

// recompute: forward kernels that the backward pass runs again.
enum class Phase : std::uint8_t { load, forward, recompute, backward, optimizer };
constexpr std::size_t kPhases = 5;
std::string_view phase_name(Phase phase);

// A place in a buffer: byte offset + index of this rank in the instruction's data-parallel group
// times `rank_stride` (how all ranks of a role share one program although each owns another shard).
struct Operand {
    BufferId buffer;
    std::int64_t offset = 0;
    std::int64_t rank_stride = 0;
    GroupId group = {};  // whose index counts instead of the data-parallel group's
    bool valid() const { return buffer.valid(); }
};

struct Compute {
    Kernel kernel;
    DType dtype = DType::fp32;     // storage of activations and parameters
    DType gradient = DType::fp32;  // storage of parameter gradients
    std::array<Operand, kMaxOperands> operands{};
    std::optional<MathType> math = {};  // linear kernels: other than that of `dtype`
    // Linear kernels that multiply in 8 or 4 bits: bit i says that operand i is there in them, since an earlier
    // multiply has cast it or the buffer holds it so (then it is of int8). Simulated only.
    std::uint8_t cast = 0;
    // All of them are, each as this kernel reads it: nothing is cast or transposed. Simulated only.
    bool laid_out = false;

    MathType multiplies_in() const { return math.value_or(math_of(dtype)); }
};

enum class CollectiveKind : std::uint8_t {
    all_reduce,
    reduce_scatter,
    all_gather,
    all_to_all,
    dispatch,
    combine,
};
std::string_view collective_name(CollectiveKind kind);
enum class ReduceOp : std::uint8_t { sum, maximum };

// Sum (all_reduce: or maximum) over the group, in group order (one order per transport, so that all-reduce and
// reduce-scatter give the same bits).
//   all_reduce      recv[elements] in place; send unused
//   reduce_scatter  send[elements] → recv[elements / size]
//   all_gather      send[elements / size] → recv[elements]
//   all_to_all      send[elements] → recv[elements], part i of send being part of member i's recv; not
//                   in place. Simulated only.
//   dispatch        send[elements], rows of tokens → recv, the rows of all ranks that go to one of this rank's
//                   experts: each once to a rank, and once to another node, where a rank passes it on
//                   (DeepEP's normal kernels). How many come is the mean of `routing`. Simulated only.
//   combine         the way back: send → recv[elements], sums of what comes back for each row
// send may alias this rank's slice of recv (all_gather) or recv this rank's slice of send
// (reduce_scatter): in place, as NCCL allows.
struct Collective {
    CollectiveKind kind = CollectiveKind::all_reduce;
    GroupId group;
    std::int64_t elements =
        0;  // of the whole buffer, divisible by the group size but for all_reduce, dispatch and combine
    DType dtype = DType::fp32;
    Operand send, recv;
    ReduceOp reduce = ReduceOp::sum;  // all_reduce alone knows maximum
    // all_gather, reduce_scatter, only simulated (ProfileRules::lists_partitions): equal parts of the buffer, each
    // sent by a call of its own, and whether they are lists of the members' parts, which are copied one by one.
    int calls = 1;
    bool lists = false;
    // dispatch, combine: where rows go, and elements of a row.
    TokenRouting routing = {};
    std::int64_t width = 0;
    // What travels with the rows, in the same call.
    struct Along {
        std::int64_t elements = 0;  // of as many rows
        DType dtype = DType::fp32;
        Operand send, recv;
    };
    std::vector<Along> along = {};

    bool is_routed() const {
        return kind == CollectiveKind::dispatch || kind == CollectiveKind::combine;
    }
    Bytes bytes() const {
        Bytes sum(elements * size_of(dtype));
        for (const Along& a : along) sum += Bytes(a.elements * size_of(a.dtype));
        return sum;
    }
};

// Point-to-point transfers issued together; rendezvous semantics in every runner: a transfer starts
// when both ends have come to it, the exchange is over when all its transfers are. Transfers from one
// rank to another match in the order in which they are issued, each TransferLane for itself: in a lane
// a rank issues its sends to one peer on one stream, and its receives from it on one.
struct Exchange {
    struct Transfer {
        GroupId group;
        int peer = 0;  // index in the group
        bool send = false;
        std::int64_t elements = 0;
        DType dtype = DType::fp32;
        Operand operand;
        // `peer` counts from the rank's own index, around the group: 1 is the next rank, −1 the one
        // before. Only simulated.
        bool around = false;
    };
    std::vector<Transfer> transfers;
};

// An event marks a point of its stream; a waiting stream goes on once that point is reached. One
// instruction of one body records it. A wait, in whatever body, is for the latest recording issued
// before it in the schedule of all steps; before the first one there is nothing to wait for.
struct RecordEvent {
    EventId event;
};
struct WaitEvent {
    EventId event;
    bool host =
        false;  // the host too goes on only then (ProfileRules::blocking_transfers). Simulated only
};

// A scalar that the host reports after the step.
struct CopyToHost {
    enum class What : std::uint8_t { loss, gradient_norm } what = What::loss;
    Operand operand;  // one double; gradient_norm holds Σ g²
};

// Copies between two tiers of the rank's memory, on the stream of that way (stream_between): device and host,
// or host and NVMe. Simulated only.
struct Move {
    std::int64_t elements = 0;
    DType dtype = DType::fp32;
    Operand from, to;
    Bytes bytes() const { return Bytes(elements * size_of(dtype)); }
};

using Operation =
    std::variant<Compute, Collective, Exchange, RecordEvent, WaitEvent, CopyToHost, Move>;

struct Instruction {
    Operation operation;
    Stream stream = Stream::compute;
    Phase phase = Phase::forward;
    std::int32_t layer = -1;  // Model::layers; −1: none
};

// Calls visit(operand, access) for every memory operand of the instruction.
template <class Visitor>
void for_each_operand(const Instruction& instruction, Visitor&& visit) {
    if (const auto* c = std::get_if<Compute>(&instruction.operation)) {
        const auto access = accesses(c->kernel);
        for (std::size_t i = 0; i < kMaxOperands; ++i)
            if (c->operands[i].valid()) visit(c->operands[i], access[i]);
    } else if (const auto* l = std::get_if<Collective>(&instruction.operation)) {
        if (l->kind == CollectiveKind::all_reduce) {
            visit(l->recv, Access::read_write);
        } else {
            visit(l->send, Access::read);
            for (const auto& a : l->along) visit(a.send, Access::read);
            visit(l->recv, Access::write);
            for (const auto& a : l->along) visit(a.recv, Access::write);
        }
    } else if (const auto* x = std::get_if<Exchange>(&instruction.operation)) {
        for (const auto& t : x->transfers) visit(t.operand, t.send ? Access::read : Access::write);
    } else if (const auto* h = std::get_if<CopyToHost>(&instruction.operation)) {
        visit(h->operand, Access::read);
    } else if (const auto* m = std::get_if<Move>(&instruction.operation)) {
        visit(m->from, Access::read);
        visit(m->to, Access::write);
    }
}

}  // namespace shardscope
