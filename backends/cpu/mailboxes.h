// Where the transfers between the threads of one group meet: a mailbox per ordered pair of members.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "backends/communicator.h"
#include "core/error.h"

namespace shardscope {

// Senders post where their bytes lie, receivers copy them. Thread-safe; waiting threads sleep, each
// member's on its own condition variable.
class Mailboxes {
public:
    explicit Mailboxes(int size);

    // Communicator::exchange for member `rank`.
    void exchange(int rank, std::span<const Transfer> transfers);
    void abort() noexcept;

private:
    // A pending exchange, on the stack of its thread.
    struct Call {
        std::uint64_t open = 0;  // bit i: transfer i is not done
        int being_read = 0;      // sends that a receiver is copying at this moment
    };
    struct Post {
        const Transfer* transfer = nullptr;
        Call* call = nullptr;
        std::uint64_t bit = 0;
    };
    struct Member {
        std::condition_variable changed;  // a post for it, an end of one of its sends, or a failure
    };

    std::vector<Post>& box(int from, int to) {
        return boxes_[static_cast<std::size_t>(from) * members_.size() +
                      static_cast<std::size_t>(to)];
    }
    Member& member(int rank) { return members_[static_cast<std::size_t>(rank)]; }
    void post_sends(int rank, std::span<const Transfer> transfers, Call& call);
    bool receive_one(int rank, std::span<const Transfer> transfers, Call& call,
                     std::unique_lock<std::mutex>& lock);
    void receive(int rank, const Transfer& into, std::unique_lock<std::mutex>& lock);
    void fail(Error error);

    std::mutex mutex_;
    std::vector<Member> members_;
    std::vector<std::vector<Post>> boxes_;  // posted and not yet taken, oldest first
    std::optional<Error> failure_;
};

}  // namespace shardscope
