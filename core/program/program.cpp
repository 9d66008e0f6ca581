#include "core/program/program.h"

#include <algorithm>

namespace shardscope {

std::size_t Program::role_of(Rank rank) const {
    for (std::size_t i = 0; i < roles.size(); ++i)
        if (std::binary_search(roles[i].ranks.begin(), roles[i].ranks.end(), rank)) return i;
    return 0;
}

std::int64_t unrolled_size(const RoleProgram& role) {
    std::int64_t size = 0;
    for (const Task& t : role.schedule)
        size += static_cast<std::int64_t>(role.bodies[t.body.index()].instructions.size());
    return size;
}

}  // namespace shardscope
