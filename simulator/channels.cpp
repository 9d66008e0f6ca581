#include "simulator/channels.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/program/group_shape.h"

namespace shardscope {
namespace {

// First number of a channel's key: collectives and transfers never share one.
constexpr std::int32_t kCollectives = 0, kTransfers = 1;

}  // namespace

bool lie_unevenly(const Program& program, const Cluster& cluster) {
    int ranks = 0;
    for (const RoleProgram& role : program.roles) ranks += static_cast<int>(role.ranks.size());
    if (cluster.nodes <= 1 || ranks > kSeparateRanks) return false;
    for (const RoleProgram& role : program.roles) {
        std::map<int, int> on_node;
        for (const Rank rank : role.ranks) ++on_node[rank.value / cluster.gpus_per_node];
        for (const auto& [node, count] : on_node)
            if (count != on_node.begin()->second) return true;
    }
    return std::ranges::any_of(program.groups, [&](const Group& group) {
        const GroupShape first = shape_of(group, Rank(0), cluster);
        for (int rank = 0; rank < ranks; ++rank) {
            const GroupShape shape = shape_of(group, Rank(rank), cluster);
            if (shape.per_node != shape.fewest || shape.nodes != first.nodes) return true;
        }
        return false;
    });
}

std::vector<LockStep> lock_steps(const Program& program, bool separate_ranks) {
    std::vector<LockStep> steps;
    for (std::size_t role = 0; role < program.roles.size(); ++role) {
        const std::span<const Rank> ranks = program.roles[role].ranks;
        if (!separate_ranks) steps.push_back({role, ranks});
        for (std::size_t i = 0; separate_ranks && i < ranks.size(); ++i)
            steps.push_back({role, ranks.subspan(i, 1)});
    }
    return steps;
}

Channels::Channels(const Program& program, const Cluster& cluster, std::vector<LockStep> steps,
                   double list_bandwidth)
    : program_(program),
      cluster_(cluster),
      steps_(std::move(steps)),
      list_bandwidth_(list_bandwidth),
      separate_(steps_.size() > program.roles.size()),
      cost_(cluster) {
    for (std::size_t role = 0; role < steps_.size(); ++role)
        for (const Rank rank : steps_[role].ranks) {
            if (rank.index() >= role_of_.size()) role_of_.resize(rank.index() + 1, -1);
            role_of_[rank.index()] = static_cast<std::int32_t>(role);
        }
}

// The role's ranks may be in several sets of the group; they go on together when the slowest has
// finished: the one that lies on most nodes.
// How many sets of the group have members among the roles' ranks on one node.
int Channels::groups_at_once(const Group& group, const std::vector<std::int32_t>& roles,
                             int node) const {
    const int per_node = std::max(1, cluster_.gpus_per_node);
    std::set<int> sets;          // by their first member
    std::set<std::size_t> seen;  // of the program's roles
    for (const std::int32_t role : roles) {
        if (!seen.insert(steps_[static_cast<std::size_t>(role)].role).second) continue;
        const auto& ranks = siblings(static_cast<std::size_t>(role));
        const auto first = std::lower_bound(ranks.begin(), ranks.end(), Rank(node * per_node));
        for (auto rank = first; rank != ranks.end() && rank->value / per_node == node; ++rank)
            sets.insert(group.member(*rank, 0).value);
    }
    return std::max(1, static_cast<int>(sets.size()));
}

const Channels::GroupUse& Channels::use(std::size_t role, GroupId group) {
    const auto [it, added] = uses_.try_emplace({role, group.value});
    GroupUse& use = it->second;
    if (!added) return use;
    const Group& g = program_.groups[group.index()];
    const Rank rank = first_rank(role);
    use.shape = widest_shape(g, steps_[role].ranks, cluster_);
    for (int i = 0; i < g.size; ++i) use.roles.push_back(role_of_[g.member(rank, i).index()]);
    std::sort(use.roles.begin(), use.roles.end());
    use.roles.erase(std::unique(use.roles.begin(), use.roles.end()), use.roles.end());
    const int node = rank.value / std::max(1, cluster_.gpus_per_node);
    if (use.shape.nodes > 1) use.shape.at_once = groups_at_once(g, use.roles, node);
    return use;
}

std::int32_t Channels::channel(std::vector<std::int32_t> key, std::size_t lanes) {
    const auto next = static_cast<std::int32_t>(participants_.size());
    const auto [it, added] = channels_.try_emplace(std::move(key), next);
    if (added) participants_.push_back(static_cast<std::int32_t>(lanes));
    return it->second;
}

std::int32_t Channels::node_link(std::size_t role) {
    const int node = first_rank(role).value / std::max(1, cluster_.gpus_per_node);
    const auto next = static_cast<std::int32_t>(nodes_.size());
    const std::int32_t number = nodes_.try_emplace(node, next).first->second;
    return device_link(steps_.size()) + 2 * number;
}

// The mean over the group's ranks and nodes, in both directions. Roles are alike on all of their
// nodes; what stages on the same node share is found by the node of a role's first rank.
LinkLoad Channels::load_of(std::size_t role, const Collective& collective,
                           const CollectiveTime& time, const GroupShape& shape) {
    LinkLoad load;
    const double seconds = time.seconds.value;
    if (!shares_links() || !time.algorithm || !(seconds > 0)) return load;
    const auto bytes = static_cast<double>(collective.bytes().value);
    const bool routed = collective.is_routed();
    const LinkTraffic traffic =
        routed ? link_traffic(collective.routing, bytes, shape)
               : link_traffic(cost_kind(collective.kind), *time.algorithm, bytes, shape);
    const auto add = [&](std::int32_t link, double moved, double bandwidth) {
        const double share = std::min(1.0, moved / seconds / bandwidth);
        if (!(share > 0)) return;
        load.uses.push_back({link, share});
        load.uses.push_back({link + 1, share});
    };
    add(device_link(role), traffic.intra / shape.size, cost_.links().device_bandwidth());
    if (traffic.inter > 0)
        add(node_link(role), traffic.inter / shape.nodes * in_flow(shape.at_once),
            cost_.links().node_bandwidth());
    load.transfers = in_flow(shape.at_once);
    const int channels = cost_.links().channels(shape);
    load.channels = routed && channels > 0 ? kDeepEpMultiprocessors : channels;
    return load;
}

// Call after call, and the copies between lists and the collective's own buffer.
CollectiveTime Channels::time_of(const Collective& collective, const GroupShape& shape) const {
    CollectiveTime time = cost_.timed(collective, shape);
    if (collective.lists && list_bandwidth_ > 0)
        time.seconds += Seconds(static_cast<double>(collective.bytes().value) / list_bandwidth_);
    return time;
}

Channels::Part Channels::collective(std::size_t role, Stream stream, const Collective& collective) {
    const GroupUse& group = use(role, collective.group);
    const auto [known, fresh] =
        times_.try_emplace({role, collective.group.value, collective.kind, collective.bytes().value,
                            collective.calls, collective.lists ? 1 : 0});
    if (fresh) known->second = time_of(collective, group.shape);
    const CollectiveTime& timed = known->second;
    const Seconds time = timed.seconds;
    LinkLoad load = load_of(role, collective, timed, group.shape);
    if (group.roles.size() <= 1) return {-1, time.value, std::move(load)};
    std::vector<std::int32_t> key{kCollectives, collective.group.value,
                                  static_cast<std::int32_t>(stream)};
    key.insert(key.end(), group.roles.begin(), group.roles.end());
    return {channel(std::move(key), group.roles.size()), time.value, std::move(load)};
}

// Of the leaf switches that the role's ranks send out of, the one that most of its nodes send out of at once: so many
// nodes it has for each of those.
std::optional<double> Channels::leaf_use(std::size_t role, const Group& group,
                                         const Exchange::Transfer& transfer) const {
    const int per_node = std::max(1, cluster_.gpus_per_node);
    const int leaf = cluster_.inter_node.leaf_nodes;
    if (leaf <= 0) return std::nullopt;
    std::map<int, std::set<int>> senders;  // by leaf, nodes
    for (const Rank rank : siblings(role)) {
        const int node = rank.value / per_node;
        const int other = group.peer(rank, transfer).value / per_node;
        if (node / leaf != other / leaf) senders[node / leaf].insert(node);
    }
    std::optional<double> least;
    for (const auto& [number, nodes] : senders) {
        const int here = std::min(leaf, cluster_.nodes - number * leaf);
        const double each = static_cast<double>(here) / static_cast<double>(nodes.size());
        least = std::min(least.value_or(each), each);
    }
    return least;
}

Channels::Part Channels::transfer(std::size_t role, Stream stream,
                                  const Exchange::Transfer& transfer) {
    const Group& group = program_.groups[transfer.group.index()];
    const Rank peer = group.peer(first_rank(role), transfer);
    const int per_node = std::max(1, cluster_.gpus_per_node);
    // The role's ranks transfer at the same time and go on together: the farthest pair decides.
    const auto leaves = [&](Rank rank) {
        return rank.value / per_node != group.peer(rank, transfer).value / per_node;
    };
    const bool same_node = std::ranges::none_of(steps_[role].ranks, leaves);
    const int node = first_rank(role).value / per_node;
    const auto beside = [&](Rank rank) { return rank.value / per_node == node && leaves(rank); };
    const int at_once =
        std::max(1, static_cast<int>(std::ranges::count_if(siblings(role), beside)));
    const Bytes bytes(transfer.elements * size_of(transfer.dtype));
    const double seconds =
        cost_.transfer(bytes, {same_node, at_once, leaf_use(role, group, transfer)}).value;
    const auto self = static_cast<std::int32_t>(role), other = role_of_[peer.index()];
    LinkLoad load;
    if (shares_links() && !cost_.measured_transfers(same_node) && seconds > 0) {
        const double moved = static_cast<double>(bytes.value) * (same_node ? 1 : in_flow(at_once));
        const double full =
            same_node ? cost_.links().device_bandwidth() : cost_.links().node_bandwidth();
        const std::int32_t link = same_node ? device_link(role) : node_link(role);
        const double share = std::min(1.0, moved / seconds / full);
        load.transfers = in_flow(at_once);
        if (share > 0) load.uses.push_back({link + (transfer.send ? 0 : 1), share});
    }
    if (other == self) return {-1, seconds, std::move(load)};
    const std::int32_t from = transfer.send ? self : other, to = transfer.send ? other : self;
    const auto lane = static_cast<std::int32_t>(transfer_lane(stream));
    return {channel({kTransfers, transfer.group.value, from, to, lane}, 2), seconds,
            std::move(load)};
}

}  // namespace shardscope
