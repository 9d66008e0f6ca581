// A thread that notices when other ranks, or NCCL, have failed, and then ends this rank's communication.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "backends/cuda/nccl/communicators.h"
#include "backends/process/message_link.h"
#include "core/error.h"

namespace shardscope::cuda {

// Looks ten times a second, as long as it lives. Both must outlive it.
class Watchdog {
public:
    Watchdog(MessageLink& link, NcclCommunicators& communicators);
    ~Watchdog();

    // What it found; thread-safe. The communicators have been aborted by then.
    std::optional<Error> failure() const;

    // Why a call threw `aborted`, a kCommunicationAborted: what was found, which may be told a little after the
    // abort; where nothing was, the same.
    Error cause_of(const Error& aborted) const;

private:
    void watch();
    std::optional<Error> look() const;

    MessageLink& link_;
    NcclCommunicators& communicators_;
    mutable std::mutex mutex_;
    std::condition_variable ends_;
    mutable std::condition_variable found_;
    bool ending_ = false;
    std::optional<Error> failure_;
    std::thread thread_;  // last: it uses the rest
};

}  // namespace shardscope::cuda
