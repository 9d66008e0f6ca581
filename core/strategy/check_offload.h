// What can be offloaded together with what, and what the cluster must state of its hosts for it.
#pragma once

#include "core/cluster/cluster.h"
#include "core/strategy/strategy.h"

namespace shardscope {

// Throws Error "offload".
void check_offload(const Cluster& cluster, const Strategy& strategy);

}  // namespace shardscope
