#include "backends/rank_failures.h"

#include <string>

#include "backends/communicator.h"

namespace shardscope {
namespace {

Error current_error(Rank rank) {
    const std::string where = "rank " + std::to_string(rank.value) + ": ";
    try {
        throw;
    } catch (const Error& e) {
        return Error(e.rule, where + e.message, e.fix, e.kind);
    } catch (const std::exception& e) {
        return Error("run", where + e.what(), "", ErrorKind::run_failed);
    } catch (...) {
        return Error("run", where + "unknown exception", "", ErrorKind::run_failed);
    }
}

}  // namespace

void RankFailures::add_current(Rank rank) noexcept {
    const Error error = current_error(rank);
    const std::lock_guard lock(mutex_);
    if (!kept_ || (kept_->rule == kCommunicationAborted && error.rule != kept_->rule))
        kept_ = error;
}

void RankFailures::rethrow() const {
    if (const auto error = kept()) throw *error;
}

std::optional<Error> RankFailures::kept() const {
    const std::lock_guard lock(mutex_);
    return kept_;
}

}  // namespace shardscope
