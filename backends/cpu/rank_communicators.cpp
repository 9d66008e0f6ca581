#include "backends/cpu/rank_communicators.h"

#include "backends/cpu/thread_communicator.h"

namespace shardscope {
namespace {

constexpr std::size_t kTransfers = kStreams;  // lanes follow the streams of collectives
constexpr std::size_t kUses = kStreams + kTransferLanes;

std::size_t use_of_transfers(Stream stream) {
    return kTransfers + static_cast<std::size_t>(transfer_lane(stream));
}

// What the instructions of a role need: [stream, or kTransfers + lane][group].
using Uses = std::array<std::vector<bool>, kUses>;

Uses uses_of(const RoleProgram& role, std::size_t groups) {
    Uses uses;
    uses.fill(std::vector<bool>(groups, false));
    for (const Body& body : role.bodies)
        for (const Instruction& i : body.instructions) {
            if (const auto* c = std::get_if<Collective>(&i.operation))
                uses[static_cast<std::size_t>(i.stream)].at(c->group.index()) = true;
            if (const auto* x = std::get_if<Exchange>(&i.operation))
                for (const auto& t : x->transfers)
                    uses[use_of_transfers(i.stream)].at(t.group.index()) = true;
        }
    return uses;
}

std::unique_ptr<Communicator>& slot(RankCommunicators& rank, std::size_t use, std::size_t group) {
    auto& list = use >= kTransfers ? rank.transfers[use - kTransfers] : rank.collectives[use];
    return list[group];
}

}  // namespace

void RankCommunicators::abort() const noexcept {
    for (const auto& of_stream : collectives)
        for (const auto& c : of_stream)
            if (c != nullptr) c->abort();
    for (const auto& of_lane : transfers)
        for (const auto& c : of_lane)
            if (c != nullptr) c->abort();
}

std::vector<RankCommunicators> make_rank_communicators(const Program& program, int world) {
    const std::size_t groups = program.groups.size();
    std::vector<Uses> of_role;
    for (const RoleProgram& role : program.roles) of_role.push_back(uses_of(role, groups));
    std::vector<RankCommunicators> ranks(static_cast<std::size_t>(world));
    for (RankCommunicators& rank : ranks) {
        for (auto& of_stream : rank.collectives) of_stream.resize(groups);
        for (auto& of_lane : rank.transfers) of_lane.resize(groups);
    }
    const auto connect = [&](std::size_t use, std::size_t g, Rank first) {
        const Group& group = program.groups[g];
        bool used = false;
        for (int i = 0; i < group.size; ++i)
            used = used || of_role[program.role_of(group.member(first, i))][use][g];
        if (!used) return;
        auto members = make_thread_communicators(group.size);
        for (int i = 0; i < group.size; ++i)
            slot(ranks[group.member(first, i).index()], use, g) =
                std::move(members[static_cast<std::size_t>(i)]);
    };
    for (std::size_t use = 0; use < kUses; ++use)
        for (std::size_t g = 0; g < groups; ++g)
            for (int r = 0; r < world; ++r)
                if (program.groups[g].index_of(Rank(r)) == 0) connect(use, g, Rank(r));
    return ranks;
}

}  // namespace shardscope
