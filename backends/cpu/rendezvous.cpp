#include "backends/cpu/rendezvous.h"

#include <string>

#include "backends/communicator.h"

namespace shardscope {

std::optional<Error> Rendezvous::mismatch() const {
    for (std::size_t r = 1; r < calls_.size(); ++r)
        if (calls_[r].call != calls_[0].call)
            return call_mismatch(static_cast<int>(r), calls_[r].call, 0, calls_[0].call);
    return std::nullopt;
}

void Rendezvous::meet(int rank, const MemberCall& call) {
    std::unique_lock lock(mutex_);
    if (failure_) throw *failure_;
    calls_[static_cast<std::size_t>(rank)] = call;
    const std::uint64_t meeting = meetings_;
    if (++arrived_ == calls_.size()) {
        arrived_ = 0;
        failure_ = mismatch();
        if (!failure_) ++meetings_;
        changed_.notify_all();
    }
    changed_.wait(lock, [&] { return meetings_ != meeting || failure_; });
    // A meeting that took place counts, even if somebody aborted right after it: see leave().
    if (meetings_ == meeting) throw *failure_;
}

void Rendezvous::leave() {
    std::unique_lock lock(mutex_);
    const std::uint64_t departure = departures_;
    if (++left_ == calls_.size()) {
        left_ = 0;
        ++departures_;
        changed_.notify_all();
        return;
    }
    changed_.wait(lock, [&] { return departures_ != departure; });
}

void Rendezvous::abort() noexcept {
    const std::lock_guard lock(mutex_);
    if (!failure_)
        failure_.emplace(std::string(kCommunicationAborted), "another rank ended the communication",
                         "", ErrorKind::run_failed);
    changed_.notify_all();
}

}  // namespace shardscope
