#include "backends/cpu/stream_worker.h"

namespace shardscope {

StreamWorker::StreamWorker(std::function<void()> start,
                           std::function<void(const StreamWork&)> execute, std::size_t capacity)
    : start_(std::move(start)),
      execute_(std::move(execute)),
      ring_(capacity),
      thread_([this] { run(); }) {}

StreamWorker::~StreamWorker() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    pushed_.notify_one();
    thread_.join();
}

void StreamWorker::push(const StreamWork& work) {
    {
        std::unique_lock lock(mutex_);
        done_.wait(lock, [&] { return pending_ < ring_.size(); });
        ring_[(first_ + pending_) % ring_.size()] = work;
        ++pending_;
    }
    pushed_.notify_one();
}

void StreamWorker::drain() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return pending_ == 0; });
}

bool StreamWorker::idle() {
    const std::lock_guard lock(mutex_);
    return pending_ == 0;
}

void StreamWorker::run() {
    start_();
    std::unique_lock lock(mutex_);
    while (true) {
        pushed_.wait(lock, [&] { return pending_ > 0 || stop_; });
        if (pending_ == 0) return;
        // Its place stays taken while it runs, so that push() cannot overwrite it.
        const StreamWork& work = ring_[first_];
        lock.unlock();
        execute_(work);
        lock.lock();
        first_ = (first_ + 1) % ring_.size();
        --pending_;
        done_.notify_one();
    }
}

}  // namespace shardscope
