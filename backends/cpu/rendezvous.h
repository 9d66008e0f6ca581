// Where the threads of one communicator meet: each posts its call, and nobody goes on before all
// have posted the same one.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "backends/collective_call.h"
#include "core/error.h"

namespace shardscope {

// What one member asks of the others; buffers as in Communicator.
struct MemberCall {
    CollectiveCall call;
    const std::byte* send = nullptr;
    std::byte* recv = nullptr;
};

// Thread-safe; members wait on a condition variable and never spin, because there may be more of
// them than cores.
class Rendezvous {
public:
    explicit Rendezvous(int size) : calls_(static_cast<std::size_t>(size)) {}

    int size() const { return static_cast<int>(calls_.size()); }

    // Posts `call` and returns once every member has posted. Throws what abort() or a mismatch left,
    // on all members, and from then on always.
    void meet(int rank, const MemberCall& call);

    // Valid between meet() and leave().
    const MemberCall& call(int rank) const { return calls_[static_cast<std::size_t>(rank)]; }

    // Returns once every member has left. An abort does not cut it short: all have met, so all will
    // leave, and nobody may free a buffer that another member still reads.
    void leave();

    void abort() noexcept;

private:
    std::optional<Error> mismatch() const;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<MemberCall> calls_;
    std::size_t arrived_ = 0, left_ = 0;
    std::uint64_t meetings_ = 0, departures_ = 0;
    std::optional<Error> failure_;
};

}  // namespace shardscope
