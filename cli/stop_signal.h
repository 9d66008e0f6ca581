// SIGTERM as a wish to stop: the first one asks, a second one ends the process at once.
#pragma once

#include <csignal>
#include <stop_token>
#include <thread>

namespace shardscope {

// From construction to destruction. Made before any other thread of the process, which all inherit that the
// signal is blocked for them; one thread of its own waits for it. SIGINT does what it always does. Where the
// parent had SIGTERM ignored, it stays so.
class StopSignal {
public:
    StopSignal();
    ~StopSignal();
    StopSignal(const StopSignal&) = delete;
    StopSignal& operator=(const StopSignal&) = delete;

    std::stop_token token() const { return source_.get_token(); }

private:
    void watch(const std::stop_token& leave);

    std::stop_source source_;
    sigset_t previous_{};
    std::jthread watcher_;  // last: it ends first
};

}  // namespace shardscope
