// Collectives among the ranks of one group, over one transport. Gathers and reductions of a rank use
// separate communicators, driven by separate threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/dtype.h"

namespace shardscope {

// The rule of errors that only say that another rank failed.
inline constexpr std::string_view kCommunicationAborted = "communication-aborted";

// Blocking calls; every member must make the same calls in the same order. Sums run in rank order for
// every element (so all_reduce and reduce_scatter agree bit for bit), in the buffers' own precision
// (bf16: in fp32). Buffers may alias as Collective allows. Throws Error{run_failed,
// kCommunicationAborted} when a member called abort().
class Communicator {
public:
    virtual ~Communicator() = default;
    virtual int rank() const = 0;
    virtual int size() const = 0;
    virtual void all_reduce(std::byte* buffer, std::int64_t elements, DType dtype) = 0;
    // send[shard · size] → recv[shard]
    virtual void reduce_scatter(const std::byte* send, std::byte* recv, std::int64_t shard,
                                DType dtype) = 0;
    // send[shard] → recv[shard · size]
    virtual void all_gather(const std::byte* send, std::byte* recv, std::int64_t shard,
                            DType dtype) = 0;
    virtual void barrier() = 0;
    // Makes every pending and later call of every member throw. Thread-safe, idempotent.
    virtual void abort() noexcept = 0;
};

}  // namespace shardscope
