// The events of one rank's streams: which were reached, and threads that wait for them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "core/ids.h"

namespace shardscope {

// Thread-safe. An event is reached with growing tickets, one per recording, so that it can be
// recorded again without being reset. Waiting threads sleep.
class EventBoard {
public:
    explicit EventBoard(int events) : reached_(static_cast<std::size_t>(events)) {}

    void reach(EventId event, std::uint64_t ticket);

    // Returns true once the event was reached with `ticket` or a later one, false after abort().
    bool wait(EventId event, std::uint64_t ticket);

    void abort() noexcept;

private:
    std::vector<std::atomic<std::uint64_t>> reached_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool aborted_ = false;
};

}  // namespace shardscope
