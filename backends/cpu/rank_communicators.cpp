#include "backends/cpu/rank_communicators.h"

#include "backends/cpu/thread_communicator.h"
#include "backends/process/message_communicator.h"

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

// What each role uses, by rank.
class UsesOfRanks {
public:
    explicit UsesOfRanks(const Program& program) : program_(program) {
        for (const RoleProgram& role : program.roles)
            of_role_.push_back(uses_of(role, program.groups.size()));
    }

    // The members of the set of group `g` that `rank` is in, if any of them has a use for it.
    std::vector<Rank> members(std::size_t use, std::size_t g, Rank rank) const {
        const Group& group = program_.groups[g];
        std::vector<Rank> members;
        bool used = false;
        for (int i = 0; i < group.size; ++i) {
            members.push_back(group.member(rank, i));
            used = used || of_role_[program_.role_of(members.back())][use][g];
        }
        if (!used) members.clear();
        return members;
    }

private:
    const Program& program_;
    std::vector<Uses> of_role_;
};

void resize(RankCommunicators& rank, std::size_t groups) {
    for (auto& of_stream : rank.collectives) of_stream.resize(groups);
    for (auto& of_lane : rank.transfers) of_lane.resize(groups);
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
    const UsesOfRanks uses(program);
    std::vector<RankCommunicators> ranks(static_cast<std::size_t>(world));
    for (RankCommunicators& rank : ranks) resize(rank, program.groups.size());
    const auto connect = [&](std::size_t use, std::size_t g, Rank first) {
        const std::vector<Rank> members = uses.members(use, g, first);
        if (members.empty()) return;
        auto communicators = make_thread_communicators(static_cast<int>(members.size()));
        for (std::size_t i = 0; i < members.size(); ++i)
            slot(ranks[members[i].index()], use, g) = std::move(communicators[i]);
    };
    for (std::size_t use = 0; use < kUses; ++use)
        for (std::size_t g = 0; g < program.groups.size(); ++g)
            for (int r = 0; r < world; ++r)
                if (program.groups[g].index_of(Rank(r)) == 0) connect(use, g, Rank(r));
    return ranks;
}

RankCommunicators make_process_communicators(const Program& program, MessageLink& link) {
    const UsesOfRanks uses(program);
    RankCommunicators mine;
    resize(mine, program.groups.size());
    std::uint32_t id = 1;
    for (std::size_t use = 0; use < kUses; ++use)
        for (std::size_t g = 0; g < program.groups.size(); ++g, ++id) {
            const std::vector<Rank> members = uses.members(use, g, link.rank());
            if (!members.empty()) slot(mine, use, g) = make_message_communicator(link, members, id);
        }
    return mine;
}

}  // namespace shardscope
