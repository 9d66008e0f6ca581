#include "core/program/role_links.h"

#include <map>
#include <numeric>

namespace shardscope {

std::vector<std::vector<std::size_t>> roles_that_meet(const Program& program, GroupId group) {
    const Group& g = program.groups[group.index()];
    std::vector<std::size_t> leader(program.roles.size());
    std::iota(leader.begin(), leader.end(), std::size_t{0});
    const auto find = [&](std::size_t role) {
        while (leader[role] != role) role = leader[role] = leader[leader[role]];
        return role;
    };
    std::map<Rank, std::size_t> role_of_set;  // by the set's first member
    for (std::size_t r = 0; r < program.roles.size(); ++r)
        for (const Rank rank : program.roles[r].ranks) {
            const auto [known, is_new] = role_of_set.try_emplace(g.member(rank, 0), r);
            if (is_new) continue;
            const std::size_t a = find(known->second), b = find(r);
            leader[std::max(a, b)] = std::min(a, b);
        }
    std::map<std::size_t, std::vector<std::size_t>> sets;
    for (std::size_t r = 0; r < program.roles.size(); ++r) sets[find(r)].push_back(r);
    std::vector<std::vector<std::size_t>> result;
    result.reserve(sets.size());
    for (auto& [first, roles] : sets) result.push_back(std::move(roles));
    return result;
}

Channel channel_of(const Program& program, std::size_t role, Stream stream,
                   const Exchange::Transfer& transfer) {
    const Group& group = program.groups[transfer.group.index()];
    const Rank self = program.roles[role].ranks.front();
    const std::size_t peer = program.role_of(group.peer(self, transfer));
    const TransferLane lane = transfer_lane(stream);
    return transfer.send ? Channel{transfer.group, lane, role, peer}
                         : Channel{transfer.group, lane, peer, role};
}

}  // namespace shardscope
