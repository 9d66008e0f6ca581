// What can be offloaded together with what, and what the cluster must state of its hosts for it.
#pragma once

#include "core/scenario.h"

namespace shardscope {

// Throws Error "offload".
void check_offload(const Cluster& cluster, const OptimizerSpec& optimizer,
                   const Strategy& strategy);

}  // namespace shardscope
