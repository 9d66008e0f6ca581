// Collectives and transfers among the ranks of one group, over one transport. Each stream of a rank has
// a communicator of its own for the collectives of a group; its transfers share one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/dtype.h"
#include "core/program/instruction.h"

namespace shardscope {

// The rule of errors that only say that another rank failed.
inline constexpr std::string_view kCommunicationAborted = "communication-aborted";

// One end of a point-to-point transfer.
struct Transfer {
    int peer = 0;  // index in the group; may be the own one
    bool send = false;
    std::byte* address = nullptr;  // read if `send`, else written
    std::int64_t bytes = 0;
};
constexpr std::size_t kMaxTransfers = 64;  // of one exchange

// Blocking calls. All but exchange() and abort() are for one thread per member, and every member must
// make the same of them in the same order. Sums run in rank order for every element (so all_reduce
// and reduce_scatter agree bit for bit), in the buffers' own precision (bf16: in fp32). Buffers may
// alias as Collective allows. Throws Error{run_failed, kCommunicationAborted} when a member called
// abort().
class Communicator {
public:
    virtual ~Communicator() = default;
    virtual int rank() const = 0;
    virtual int size() const = 0;
    virtual void all_reduce(std::byte* buffer, std::int64_t elements, DType dtype,
                            ReduceOp op = ReduceOp::sum) = 0;
    // send[shard · size] → recv[shard]
    virtual void reduce_scatter(const std::byte* send, std::byte* recv, std::int64_t shard,
                                DType dtype) = 0;
    // send[shard] → recv[shard · size]
    virtual void all_gather(const std::byte* send, std::byte* recv, std::int64_t shard,
                            DType dtype) = 0;
    virtual void barrier() = 0;

    // All transfers at once, at most kMaxTransfers; returns when all are done, which takes the peers'
    // ends of them. Threads of one member may be in calls at the same time, but of those that send to
    // one peer only one, and of those that receive from it: what a member sends to another matches
    // what that one receives from it in the order of the calls. Lengths that differ throw
    // Error{run_failed, "exchange-mismatch"} on all members.
    virtual void exchange(std::span<const Transfer> transfers) = 0;

    // Makes every pending and later call of every member throw. Thread-safe, idempotent.
    virtual void abort() noexcept = 0;
};

}  // namespace shardscope
