#include "core/program/communicators.h"

#include <algorithm>
#include <set>

#include "core/error.h"

namespace shardscope {
namespace {

using Edge = std::tuple<std::int32_t, std::int32_t, TransferLane>;

constexpr std::array<const char*, kTransferLanes> kLaneNames{"activations", "gradients",
                                                             "transfers"};

// Whether any role uses the group on the stream.
bool is_used(const Program& program, Stream stream, std::size_t group) {
    const auto uses = [&](const Instruction& i) {
        const auto* c = std::get_if<Collective>(&i.operation);
        return c != nullptr && i.stream == stream && c->group.index() == group;
    };
    return std::ranges::any_of(program.roles, [&](const RoleProgram& role) {
        return std::ranges::any_of(role.bodies, [&](const Body& body) {
            return std::ranges::any_of(body.instructions, uses);
        });
    });
}

std::vector<Rank> all_ranks(const Program& program) {
    std::vector<Rank> ranks;
    for (const RoleProgram& role : program.roles)
        ranks.insert(ranks.end(), role.ranks.begin(), role.ranks.end());
    std::ranges::sort(ranks, {}, &Rank::value);
    return ranks;
}

std::vector<std::vector<Rank>> sets_of(const Program& program, const Group& group) {
    std::vector<std::vector<Rank>> sets;
    for (const Rank first : all_ranks(program)) {
        if (group.index_of(first) != 0) continue;
        sets.emplace_back();
        for (int i = 0; i < group.size; ++i) sets.back().push_back(group.member(first, i));
    }
    return sets;
}

std::set<Edge> edges_of(const Program& program) {
    std::set<Edge> edges;
    for (const RoleProgram& role : program.roles)
        for (const Body& body : role.bodies)
            for (const Instruction& i : body.instructions) {
                const auto* exchange = std::get_if<Exchange>(&i.operation);
                if (exchange == nullptr) continue;
                for (const auto& t : exchange->transfers)
                    for (const Rank rank : role.ranks) {
                        const Rank peer = program.groups[t.group.index()].peer(rank, t);
                        const auto [from, to] =
                            t.send ? std::pair(rank, peer) : std::pair(peer, rank);
                        edges.emplace(from.value, to.value, transfer_lane(i.stream));
                    }
            }
    return edges;
}

// Edges that share no rank go into one split; of each edge the first split of its lane with room.
void add_transfers(const std::set<Edge>& edges, CommunicatorPlan& plan) {
    std::array<std::vector<int>, kTransferLanes> rounds;  // splits of each lane
    for (const Edge& edge : edges) {
        const auto& [from, to, lane] = edge;
        if (from == to)
            throw Error("unsupported", "rank " + std::to_string(from) + " sends to itself", "",
                        ErrorKind::run_failed);
        auto& mine = rounds[static_cast<std::size_t>(lane)];
        const Rank a(from), b(to);
        const auto has_room = [&](int split) {
            const CommunicatorSplit& s = plan.splits[static_cast<std::size_t>(split)];
            return s.set_of(a) < 0 && s.set_of(b) < 0;
        };
        auto round = std::ranges::find_if(mine, has_room);
        if (round == mine.end()) {
            const std::string name = kLaneNames[static_cast<std::size_t>(lane)];
            plan.splits.push_back({name + " " + std::to_string(mine.size() + 1), {}});
            mine.push_back(static_cast<int>(plan.splits.size()) - 1);
            round = std::prev(mine.end());
        }
        plan.splits[static_cast<std::size_t>(*round)].members.push_back({a, b});
        plan.transfers.emplace(edge, *round);
    }
}

}  // namespace

int CommunicatorSplit::set_of(Rank rank) const {
    for (std::size_t s = 0; s < members.size(); ++s)
        if (std::ranges::find(members[s], rank) != members[s].end()) return static_cast<int>(s);
    return -1;
}

int CommunicatorPlan::of_collectives(Stream stream, GroupId group) const {
    return collectives[static_cast<std::size_t>(stream)].at(group.index());
}

int CommunicatorPlan::of_transfer(Rank from, Rank to, TransferLane lane) const {
    const auto found = transfers.find({from.value, to.value, lane});
    return found == transfers.end() ? -1 : found->second;
}

CommunicatorPlan plan_communicators(const Program& program) {
    CommunicatorPlan plan;
    for (std::size_t s = 0; s < kStreams; ++s)
        for (std::size_t g = 0; g < program.groups.size(); ++g) {
            const auto stream = static_cast<Stream>(s);
            const bool used = is_used(program, stream, g);
            plan.collectives[s].push_back(used ? static_cast<int>(plan.splits.size()) : -1);
            if (!used) continue;
            const Group& group = program.groups[g];
            plan.splits.push_back(
                {group.name + " " + std::string(stream_name(stream)), sets_of(program, group)});
        }
    add_transfers(edges_of(program), plan);
    return plan;
}

}  // namespace shardscope
