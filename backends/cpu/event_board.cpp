#include "backends/cpu/event_board.h"

namespace shardscope {

void EventBoard::reach(EventId event, std::uint64_t ticket) {
    {
        const std::lock_guard lock(mutex_);
        reached_[event.index()].store(ticket, std::memory_order_release);
    }
    changed_.notify_all();
}

bool EventBoard::wait(EventId event, std::uint64_t ticket) {
    const auto& reached = reached_[event.index()];
    if (reached.load(std::memory_order_acquire) >= ticket) return true;
    std::unique_lock lock(mutex_);
    const auto is_reached = [&] { return reached.load(std::memory_order_relaxed) >= ticket; };
    changed_.wait(lock, [&] { return aborted_ || is_reached(); });
    return is_reached();
}

void EventBoard::abort() noexcept {
    {
        const std::lock_guard lock(mutex_);
        aborted_ = true;
    }
    changed_.notify_all();
}

}  // namespace shardscope
