// Which lanes of which roles meet when ranks communicate.
//
// Ranks of one role go in lock-step, so what only they take part in needs no meeting: it starts when
// the role arrives. Everything else meets on a channel, found by who takes part. Where every rank is
// simulated by itself it is its own lock-step, and all communication meets.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <tuple>
#include <vector>

#include "core/cluster/cluster.h"
#include "core/program/program.h"
#include "simulator/collective_cost.h"
#include "simulator/lane_program.h"

namespace shardscope {

// Ranks that do the same at the same time in a simulation, by a number of their own.
struct LockStep {
    std::size_t role = 0;  // of the program
    std::span<const Rank> ranks;
};
// The program's roles, or every rank by itself. Refers to `program`.
std::vector<LockStep> lock_steps(const Program& program, bool separate_ranks);

// Most ranks that are simulated one by one.
constexpr int kSeparateRanks = 64;
// Whether ranks of a role are not alike since nodes do not hold whole groups of them: a role's ranks that are not
// equally many on each node they are on, or groups of which one lies on its nodes as no other does. False above
// kSeparateRanks ranks.
bool lie_unevenly(const Program& program, const Cluster& cluster);

class Channels {
public:
    // A "role" of the members below is the number of one of `steps`.
    // `list_bandwidth`: of what lists bring (Collective::lists), in bytes per second; 0: infinite.
    Channels(const Program& program, const Cluster& cluster, std::vector<LockStep> steps,
             double list_bandwidth);

    // What a role's part in a communication takes; channel −1: no other role takes part. The load is
    // empty where times were measured, and of CPUs.
    struct Part {
        std::int32_t channel = -1;
        double seconds = 0;
        LinkLoad load;
    };
    Part collective(std::size_t role, Stream stream, const Collective& collective);
    // The same for one transfer of an exchange on `stream`: only those of one TransferLane meet.
    Part transfer(std::size_t role, Stream stream, const Exchange::Transfer& transfer);

    // Links that the loads name: of every role its devices', and the ports of nodes; two directions.
    std::size_t links() const { return 2 * (steps_.size() + nodes_.size()); }

    std::vector<std::int32_t> take_participants() { return std::move(participants_); }

private:
    struct GroupUse {
        GroupShape shape;
        std::vector<std::int32_t> roles;  // ascending, those with a member in the group
    };
    CollectiveTime time_of(const Collective& collective, const GroupShape& shape) const;
    int groups_at_once(const Group& group, const std::vector<std::int32_t>& roles, int node) const;
    const GroupUse& use(std::size_t role, GroupId group);
    std::optional<double> leaf_use(std::size_t role, const Group& group,
                                   const Exchange::Transfer& transfer) const;
    std::int32_t channel(std::vector<std::int32_t> key, std::size_t lanes);
    LinkLoad load_of(std::size_t role, const Collective& collective, const CollectiveTime& time,
                     const GroupShape& shape);
    // Outgoing; the incoming direction is the next.
    std::int32_t device_link(std::size_t role) const { return static_cast<std::int32_t>(2 * role); }
    std::int32_t node_link(std::size_t role);
    bool shares_links() const { return cluster_.device.kind == DeviceKind::gpu; }
    Rank first_rank(std::size_t role) const { return steps_[role].ranks.front(); }
    // Those that do the same at the same time, simulated together or not.
    const std::vector<Rank>& siblings(std::size_t role) const {
        return program_.roles[steps_[role].role].ranks;
    }
    // Of sets or transfers that run at once on a node, those that one flow stands for.
    int in_flow(int at_once) const { return separate_ ? 1 : at_once; }

    const Program& program_;
    const Cluster& cluster_;
    std::vector<LockStep> steps_;
    const double list_bandwidth_;
    bool separate_;  // every rank by itself
    CollectiveCost cost_;
    std::vector<std::int32_t> role_of_;  // by rank
    std::map<std::pair<std::size_t, std::int32_t>, GroupUse> uses_;
    // What collectives take that were asked for before: layers communicate alike, and route alike.
    std::map<std::tuple<std::size_t, std::int32_t, CollectiveKind, std::int64_t, int, int>,
             CollectiveTime>
        times_;
    std::map<std::vector<std::int32_t>, std::int32_t> channels_;
    std::vector<std::int32_t> participants_;
    std::map<int, std::int32_t> nodes_;  // those with the first rank of a role, numbered
};

}  // namespace shardscope
