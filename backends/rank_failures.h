// What went wrong on the ranks of a run, and which of it to tell.
#pragma once

#include <exception>
#include <mutex>
#include <optional>

#include "core/error.h"
#include "core/ids.h"

namespace shardscope {

// Thread-safe. Keeps the first failure, except that kCommunicationAborted gives way to anything else.
class RankFailures {
public:
    // Call in a handler: takes the exception being handled.
    void add_current(Rank rank) noexcept;

    // Throws what was kept, its message starting with "rank 3: "; nothing if there was none.
    void rethrow() const;
    std::optional<Error> kept() const;

private:
    mutable std::mutex mutex_;
    std::optional<Error> kept_;
};

}  // namespace shardscope
