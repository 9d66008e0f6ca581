// Pass "units": which parameters are communicated and sharded together.
#pragma once

#include <optional>
#include <vector>

#include "core/lowering/plan.h"

namespace shardscope {

// What decides the units of a stage beside its layers.
struct UnitRules {
    int zero = 0;  // effective stage: 0 when dp is 1
    int dp = 1;
    DType gradient = DType::fp32;
    Bytes bucket;
    int tp = 1;
    bool sequence_parallel = false;
    bool experts_apart = false;  // Layout's
    int expert_ranks = 1;        // Layout::same_experts
    // Those; where there is one in a shard group, those of the other groups; invalid: there is one in all.
    GroupId same_experts = {};
    OptimizerSpec optimizer = {};
    std::int64_t persistent = 0;      // ProfileRules::persistent
    std::int64_t reuse_distance = 0;  // ProfileRules::reuse_distance
};

// ZeRO 3: one unit per layer that holds parameters. Otherwise consecutive layers of a chunk, taken in
// the order their gradients become ready (last layer first), fill buckets of at least `bucket` bytes of
// `gradient` elements, as PyTorch DDP does. Units come in forward order. Nothing is sharded when dp = 1
// or zero = 0. `model` is one tensor-parallel rank's; a unit holds first what the rank holds alone, then
// what all ranks of its tensor-parallel group hold (Unit::shared). A parameter that a layer borrows from
// a layer of another stage is held by both stages, in a unit of its own (Unit::tied). With ZeRO 3 a chunk's persistent
// parameters are a unit behind the chunk's others, and each weight of a layer of more than reuse_distance / 2
// elements is one. Experts
// that are on other ranks than the rest are in units of their own, behind the layers' others. So is what another optimizer
// steps than the scenario's (steppers_of), since its states are others.
std::vector<Unit> make_units(const Model& model, const std::vector<TensorSplit>& splits,
                             const std::vector<LayerRange>& chunks, const UnitRules& rules);

// Where a parameter lies.
struct Place {
    UnitId unit;
    std::int64_t offset = 0;  // elements
};
std::vector<Place> places_of(const Model& model, const std::vector<Unit>& units);

}  // namespace shardscope
