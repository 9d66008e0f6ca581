// What a strategy must satisfy on a given scenario, and the numbers that follow from it.
#pragma once

#include <cstdint>
#include <string>

#include "core/model/model.h"
#include "core/scenario.h"

namespace shardscope {

// The batch arithmetic of one strategy: global_batch = micro_batch · micro_batches · dp.
struct Layout {
    int world = 1, dp = 1, tp = 1, pp = 1;
    int ep = 1;              // so many ranks of a stage share the experts
    int etp = 1;             // neighbours that divide each expert: tp of them, or fewer
    int cp = 1;              // ranks that divide the tokens of each sample
    int shards = 1;          // ranks that ZeRO shards over, neighbours among the replicas
    int secondary = 1;       // ranks that keep the forward pass's parameters among them (hpZ)
    int node_shards = 0;     // replicas of a node, where gradients are reduced by way of them (qgZ)
    int virtual_stages = 1;  // model chunks per pipeline stage
    std::int64_t micro_batch = 0;    // samples per rank and micro-batch
    std::int64_t micro_batches = 0;  // per rank and step (gradient accumulation)
    // Ranks that hold the same parameters, over which gradients are summed and ZeRO shards.
    int replicas() const { return dp * cp; }
    // Ranks of a shard group that hold the same experts, over which ZeRO shards these: all such ranks where all replicas
    // are one group.
    int same_experts() const { return tp * shards / (etp * ep); }
    // Experts are on other ranks than the other parameters.
    bool experts_apart() const { return ep > 1 || etp < tp; }
    // Model chunks in all; core/lowering/stages.h has the stage of each.
    std::int64_t chunks() const { return std::int64_t{pp} * virtual_stages; }
};

// Throws Error with the arithmetic and degrees that would work: "world-size: tp 4 × pp 3 = 12 does
// not divide 16 ranks; use pp 1, 2 or 4". What depends on the model (heads that tp divides, layers for
// every chunk) is for lowering to refuse. Any number of micro-batches goes with any pp.
//
// Rules: "range", "reduce-at", "world-size", "batch", "sequence-parallel", "context-parallel",
// "virtual-stages", "partition", "pattern", "expert-parallel", "dispatcher", "shard-group",
// "offload", "zero++".
Layout layout_for(const Scenario& scenario, const Strategy& strategy);

// The data-parallel degree that goes with a strategy's ranks, tp, cp and pp; throws "range" and "world-size".
int data_parallel_degree(const Cluster& cluster, const Strategy& strategy);

// Where a strategy stands, for messages: its file and line, or its name.
std::string place_of(const Strategy& strategy);

// What is wrong with a Partition::pattern: "not a regular expression (…)", empty when nothing is.
std::string pattern_fault(const std::string& pattern);
inline constexpr const char* kPatternFix =
    "write an ECMAScript regular expression such as \"^blocks\"";

}  // namespace shardscope
