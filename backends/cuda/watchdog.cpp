#include "backends/cuda/watchdog.h"

#include <chrono>

#include "backends/communicator.h"

namespace shardscope::cuda {

Watchdog::Watchdog(MessageLink& link, NcclCommunicators& communicators)
    : link_(link), communicators_(communicators), thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    ends_.notify_all();
    thread_.join();
}

std::optional<Error> Watchdog::failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
}

Error Watchdog::cause_of(const Error& aborted) const {
    std::unique_lock lock(mutex_);
    found_.wait_for(lock, std::chrono::seconds(1), [&] { return failure_.has_value(); });
    return failure_.value_or(aborted);
}

std::optional<Error> Watchdog::look() const {
    if (auto error = communicators_.async_error()) return error;
    if (const auto error = link_.failure())
        return Error(std::string(kCommunicationAborted), error->message, error->fix,
                     ErrorKind::run_failed);
    return std::nullopt;
}

void Watchdog::watch() {
    std::unique_lock lock(mutex_);
    while (!ends_.wait_for(lock, std::chrono::milliseconds(100), [&] { return ending_; })) {
        lock.unlock();
        const std::optional<Error> found = look();
        // First, so that whoever reads the failure finds nothing of this rank still communicating.
        if (found) communicators_.abort();
        lock.lock();
        if (!found) continue;
        failure_ = found;
        found_.notify_all();
        return;
    }
}

}  // namespace shardscope::cuda
