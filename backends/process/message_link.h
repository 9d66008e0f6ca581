// Messages between the processes of one run, over one transport (TCP, MPI). What a Communicator does
// among processes is built from them (message_communicator.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/collective_call.h"
#include "core/error.h"
#include "core/ids.h"

namespace shardscope {

// One end of a message between two members of a channel.
struct Message {
    int peer = 0;  // index among the channel's members; may be the own one
    bool send = false;
    std::byte* address = nullptr;  // read if `send`, else written
    std::int64_t bytes = 0;
    CollectiveCall call;  // what it belongs to; both ends must say the same
};
constexpr std::size_t kMaxMessages = 64;  // of one transfer

// Ordered messages among some processes. Messages from one member to another arrive in the order in
// which they were sent. Threads may be in transfer() at the same time, but of those that send to one
// peer only one, and of those that receive from it.
class MessageChannel {
public:
    virtual ~MessageChannel() = default;

    // All messages at once, at most kMaxMessages; returns when what is sent may be overwritten and what
    // is received has come. Small messages may return before their receiver takes them. Throws
    // Error{run_failed}: "collective-mismatch", "exchange-mismatch" where the ends differ,
    // kCommunicationAborted after abort() on any process, or when one is gone.
    virtual void transfer(std::span<const Message> messages) = 0;
};

// One process's end of the transport. Rank r is the r-th process of the run.
class MessageLink {
public:
    virtual ~MessageLink() = default;
    virtual std::string_view name() const = 0;  // "tcp", "mpi"
    virtual Rank rank() const = 0;
    virtual int size() const = 0;
    virtual const std::vector<std::string>& hosts() const = 0;  // of every rank

    // Connects `members` (ascending, this rank among them); all of them must call it, with the same
    // `id`, which no other channel of the run may have while this one exists. Not thread-safe.
    virtual std::unique_ptr<MessageChannel> open(const std::vector<Rank>& members,
                                                 std::uint32_t id) = 0;

    // Makes pending and later transfers fail on every process, telling them why. Only the first call,
    // or the first failure that reached this process, counts. Thread-safe.
    virtual void abort(const Error& why) noexcept = 0;

    // Why the run was aborted: this process's own reason or, better, another's that is none of
    // kCommunicationAborted. Waits up to a second for it where only a lost connection is known.
    virtual std::optional<Error> failure() = 0;

    // Waits until rank 0 has ended, ten seconds at most: after a failure whoever watches the processes
    // shall not end rank 0 before it has told what happened.
    virtual void leave() noexcept = 0;
};

}  // namespace shardscope
