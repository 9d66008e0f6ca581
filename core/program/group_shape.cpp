#include "core/program/group_shape.h"

#include <algorithm>

namespace shardscope {

GroupShape shape_of(const Group& group, Rank member, const Cluster& cluster) {
    GroupShape shape{group.size, 0, 0, group.size, 1, 0, 0};
    const int leaf_size = cluster.inter_node.leaf_nodes;
    int node = -1, here = 0, leaf = -1, on_leaf = 0;
    const auto leave = [&] {
        if (node < 0) return;
        shape.fewest = std::min(shape.fewest, here);
        shape.pairs_inside += std::int64_t{here} * (here - 1);
    };
    for (int i = 0; i < group.size; ++i) {
        const int at = group.member(member, i).value / std::max(1, cluster.gpus_per_node);
        if (at != node) {
            leave();
            node = at;
            here = 0;
            ++shape.nodes;
            const int at_leaf = leaf_size > 0 ? node / leaf_size : 0;
            on_leaf = at_leaf == leaf ? on_leaf + 1 : 1;
            leaf = at_leaf;
            shape.leaf_nodes = std::max(shape.leaf_nodes, on_leaf);
        }
        shape.per_node = std::max(shape.per_node, ++here);
    }
    leave();
    return shape;
}

GroupShape widest_shape(const Group& group, std::span<const Rank> ranks, const Cluster& cluster) {
    const int index = group.index_of(ranks.front());
    GroupShape widest;
    for (const Rank rank : ranks) {
        if (group.index_of(rank) != index) continue;  // in a set that is looked at already
        const GroupShape shape = shape_of(group, rank, cluster);
        const bool wider = shape.nodes > widest.nodes ||
                           (shape.nodes == widest.nodes && shape.per_node < widest.per_node);
        if (rank == ranks.front() || wider) widest = shape;
    }
    return widest;
}

}  // namespace shardscope
