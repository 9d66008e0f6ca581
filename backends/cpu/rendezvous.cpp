#include "backends/cpu/rendezvous.h"

#include <string_view>

#include "backends/communicator.h"

namespace shardscope {
namespace {

std::string describe(std::size_t rank, const MemberCall& call) {
    static constexpr std::string_view kNames[] = {"barrier", "all_reduce", "reduce_scatter",
                                                  "all_gather"};
    std::string text = "member " + std::to_string(rank) + " called ";
    text += kNames[static_cast<std::size_t>(call.kind)];
    if (call.kind == MemberCall::Kind::barrier) return text;
    if (call.op == ReduceOp::maximum) text += " (maximum)";
    return text + " of " + std::to_string(call.elements) + " " + std::string(name_of(call.dtype)) +
           " elements";
}

bool same(const MemberCall& a, const MemberCall& b) {
    return a.kind == b.kind && a.elements == b.elements && a.dtype == b.dtype && a.op == b.op;
}

}  // namespace

std::optional<Error> Rendezvous::mismatch() const {
    for (std::size_t r = 1; r < calls_.size(); ++r) {
        if (same(calls_[r], calls_[0])) continue;
        return Error(
            "collective-mismatch", describe(r, calls_[r]) + " while " + describe(0, calls_[0]),
            "every member must make the same calls in the same order", ErrorKind::run_failed);
    }
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
