// Which dispatchers of tokens a layout can have.
#pragma once

#include "core/cluster/cluster.h"
#include "core/model/model.h"
#include "core/strategy/validate.h"

namespace shardscope {

// DeepEP's kernels know at most so many ranks (NUM_MAX_NVL_PEERS · NUM_MAX_RDMA_PEERS, csrc/kernels/configs.cuh).
constexpr int kMostDeepEpRanks = 160;

// Whether DeepEP can send between so many ranks of such nodes: groups that are no larger, and lie alike on each node.
bool has_deepep_groups(const Cluster& cluster, int ep, int etp);

// Throws Error "dispatcher".
void check_dispatch(const Cluster& cluster, const Strategy& strategy, const Layout& layout);
// The same of what the model must have.
void check_dispatch(const Model& model, const Strategy& strategy);

}  // namespace shardscope
