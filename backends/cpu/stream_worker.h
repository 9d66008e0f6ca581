// A stream of one CPU rank beside the compute stream: a thread that executes work in the order in
// which it was pushed.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "backends/executor.h"

namespace shardscope {

// One thing to do on a stream. Instructions are borrowed: they belong to the Program.
struct StreamWork {
    enum class Kind : std::uint8_t { compute, collective, exchange, record, wait };
    Kind kind = Kind::record;
    const Compute* compute = nullptr;
    const Collective* collective = nullptr;
    const Exchange* exchange = nullptr;
    Addresses operands{};             // compute, exchange
    StepContext context;              // compute
    const std::byte* send = nullptr;  // collective
    std::byte* recv = nullptr;
    EventId event;  // record, wait
    std::uint64_t ticket = 0;
};

// push() and drain() are for one thread, that of the rank.
class StreamWorker {
public:
    // `execute` runs on the worker's thread and must not throw; `start` runs there first.
    StreamWorker(std::function<void()> start, std::function<void(const StreamWork&)> execute,
                 std::size_t capacity = kCapacity);
    ~StreamWorker();  // executes what was pushed, then ends the thread
    StreamWorker(const StreamWorker&) = delete;
    StreamWorker& operator=(const StreamWorker&) = delete;

    // Waits for a free place when `capacity` items are pending. That cannot deadlock where an item
    // only waits for events whose recording was pushed, or executed, before it, and for ranks that
    // push the same. A stream that waits for ranks of other roles needs room for a whole step.
    void push(const StreamWork& work);

    // Returns when everything pushed was executed.
    void drain();
    bool idle();

    static constexpr std::size_t kCapacity = 256;

private:
    void run();

    std::function<void()> start_;
    std::function<void(const StreamWork&)> execute_;
    std::mutex mutex_;
    std::condition_variable pushed_, done_;
    std::vector<StreamWork> ring_;
    std::size_t first_ = 0, pending_ = 0;  // the item being executed counts as pending
    bool stop_ = false;
    std::thread thread_;  // last: starts when the rest exists
};

}  // namespace shardscope
