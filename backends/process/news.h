// What processes of a run tell each other when something ends: the same words on every transport.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/error.h"

namespace shardscope {

// The rule of the error that a process has ended, or its machine cannot be reached.
inline constexpr std::string_view kRankLost = "rank-lost";

// Of two explanations of the same end: whether `a` says more than `b`. An error of a rank says more than
// that a rank is lost, and that more than that communication ended.
bool says_more(const Error& a, const Error& b);
bool is_cause(const Error& error);  // nothing says more

// Trivially copyable: sent as it is.
struct News {
    enum class Kind : std::uint32_t { goodbye, failure };
    Kind kind = Kind::goodbye;
    char rule[60] = {}, message[1024] = {}, fix[512] = {};  // of a failure; longer ones are cut

    static News of(const Error& error);
    Error error() const;  // of a failure
};

}  // namespace shardscope
