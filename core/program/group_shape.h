// Where the members of a group lie, and what they share with its siblings.
#pragma once

#include <span>

#include "core/cluster/cluster.h"
#include "core/program/program.h"

namespace shardscope {

struct GroupShape {
    int size = 1;
    int nodes = 1;
    int per_node = 1;  // most members on one node
    int fewest = 1;    // fewest members on one node: they bound what the group sends across
    // Groups with members on the busiest node that do the same at the same time, this one included:
    // with tp8 eight data-parallel groups, each of one rank per node.
    int at_once = 1;
    // Most nodes of the group on one leaf switch; equal to `nodes` where all are.
    int leaf_nodes = 1;
    std::int64_t pairs_inside = 0;  // ordered pairs of members on one node
};

// `at_once` stays 1: it depends on who else communicates (Channels).
GroupShape shape_of(const Group& group, Rank member, const Cluster& cluster);
// Of the sets that `ranks` are in, which are in the same place of each, the one on most nodes, and of those the one
// with fewest members on a node.
GroupShape widest_shape(const Group& group, std::span<const Rank> ranks, const Cluster& cluster);

}  // namespace shardscope
