// Which roles communicate with which, seen from one representative of each: the ranks of a role do the
// same things at the same time.
#pragma once

#include <compare>
#include <cstddef>
#include <vector>

#include "core/program/program.h"

namespace shardscope {

// Sets of roles, each ascending, that have ranks in common sets of the group: their collectives meet.
std::vector<std::vector<std::size_t>> roles_that_meet(const Program& program, GroupId group);

// Where transfers match one to one in the order of their issue.
struct Channel {
    GroupId group;
    std::size_t from = 0, to = 0;  // roles
    auto operator<=>(const Channel&) const = default;
};

// The channel of a transfer that `role` issues; its peer must be a member of the group.
Channel channel_of(const Program& program, std::size_t role, const Exchange::Transfer& transfer);

}  // namespace shardscope
