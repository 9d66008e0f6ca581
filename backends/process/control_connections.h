// The connections between rank 0 and every other process that carry news about failures and the end.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include <poll.h>

#include "backends/process/news.h"
#include "backends/process/socket.h"
#include "core/error.h"

namespace shardscope::net {

// Not thread-safe.
class ControlConnections {
public:
    // As Meeting::control has them: [rank] on rank 0 (none to itself), one elsewhere.
    explicit ControlConnections(std::vector<Socket> sockets, bool root)
        : sockets_(std::move(sockets)), root_(root) {}

    // What to poll for, beside anything else; read() when one of them is readable.
    void add_to(std::vector<pollfd>& entries) const;

    // Reads what has come without waiting: the news of a failure, or that a process ended without a
    // goodbye (rule kRankLost); nothing when there is none.
    std::optional<Error> read();

    void tell(const Error& error) noexcept { send_to_all(News::of(error)); }
    void say_goodbye() noexcept { send_to_all({}); }

    // Waits until the others have ended; returns at the deadline at the latest.
    void wait_for_end(Deadline deadline) noexcept;

private:
    void send_to_all(const News& news) noexcept;  // that are still there
    std::optional<Error> read_one(std::size_t i);

    std::vector<Socket> sockets_;  // closed when the other end said goodbye or is lost
    bool root_;
};

}  // namespace shardscope::net
