// Over which ranks ZeRO++ spreads what, and what it goes with (Wang et al. 2023).
#pragma once

#include "core/cluster/cluster.h"
#include "core/strategy/strategy.h"

namespace shardscope {

struct ZeroPlusPlus {
    int secondary = 1;    // ranks of a secondary group; 1: no secondary shards
    int node_shards = 0;  // replicas of a node; 0: gradients are reduced as they are
};

// `replicas`: ranks that hold the same parameters. Throws Error "zero++".
ZeroPlusPlus zero_plus_plus(const Cluster& cluster, const Strategy& strategy, int replicas);

}  // namespace shardscope
