// Lowering: Scenario + Strategy → Plan, the object that runners execute or simulate.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/lowering/tensor_split.h"
#include "core/model/model.h"
#include "core/program/memory_plan.h"
#include "core/program/program.h"
#include "core/scenario.h"
#include "core/strategy/validate.h"

namespace shardscope {

// What the executing device has, so that the plan decides and executors obey.
struct ExecutionTarget {
    // Bytes of temporary the device's attention kernels want (forward, backward), per call.
    // cpu: one score tile per call; gpu: none beyond registers.
    bool tiled_attention_workspace = false;
    int threads = 1;  // that a rank divides its kernels over; attention needs a tile for each
    // The thread that issues instructions executes the compute stream itself (CPU backend; Host::runs_compute).
    bool host_computes = false;
    // Multiplies in 8 bits with a scale per tensor read both operands along the summed dimension, so that gradients want
    // a transpose of each (before Blackwell: is_non_tn_fp8_gemm_supported of Transformer Engine's utils.py).
    bool transposes_8_bits = true;
    bool cudnn_attention = false;  // attention is cuDNN's, which has a workspace outside the plan
    static ExecutionTarget of(const Device& device);
};

// The parameters that are communicated and sharded together: a gradient bucket (ZeRO 0–2) or a layer
// (ZeRO 3), stored flat, without padding between parameters.
struct Unit {
    struct Entry {
        ParameterId parameter;
        std::int64_t offset = 0;  // elements from the unit's start
    };
    // Elements that several tensor-parallel ranks hold alike.
    struct Shared {
        std::int64_t first = 0, last = 0;  // elements of the unit
        GroupId group;                     // who holds them
        int ranks = 1;                     // the group's size
        bool partial = false;  // each rank's gradient is a part: they are summed over the group
    };
    std::string name;  // "blocks.0 … blocks.3"
    std::vector<Entry> entries;
    GroupId
        group;  // who reduces its gradients and shards it: data-parallel ranks, or those of them
                // that hold the same experts; invalid: nobody else holds it
    int ranks = 1;               // the group's size; 1 with a group: who only reduces its gradients
    std::int64_t elements = 0;   // sum of the parameters'
    std::int64_t shard = 0;      // elements one rank owns; = elements when nothing is sharded.
                                 // Sharded: ⌈elements/ranks⌉ rounded up to kShardAlignment
    std::int64_t padded = 0;     // shard · ranks, or elements when nothing is sharded
    std::vector<Shared> shared;  // ascending, disjoint
    OptimizerKind optimizer =
        OptimizerKind::adamw;  // that steps it (core/lowering/optimizer_rules.h)
    // A tied embedding that the first and the last pipeline stage each hold: their gradients are
    // exchanged and added before the optimizer steps; only the first stage's count in the norm.
    bool tied = false;
    // ZeRO 3: every rank has its parameters whole, as ZeRO 2 does (ProfileRules::persistent).
    bool persistent = false;
};
constexpr std::int64_t kShardAlignment = 16;  // elements

// The ZeRO stage of a unit where the strategy's is `zero`.
inline int stage_of(const Unit& unit, int zero) {
    return unit.persistent ? std::min(zero, 2) : zero;
}

// A slice of a global tensor that a rank holds between steps.
struct ShardSlice {
    enum class Tensor : std::uint8_t { parameter, gradient, master, state1, state2 };
    ParameterId parameter;
    Tensor tensor = Tensor::parameter;
    std::int64_t global_first = 0, count = 0;  // elements of the parameter
    BufferId buffer;
    std::int64_t buffer_first = 0;  // elements into the buffer
};

// Program::groups of every plan. Ranks are numbered with the tensor-parallel index fastest, then the
// context-parallel one, then the data-parallel one, then the stage. The data group has all ranks that hold
// the same parameters, those of context parallelism among them; or where ZeRO shards over groups, one of
// those.
constexpr std::size_t kDataGroup = 0, kTensorGroup = 1, kPipelineGroup = 2;
constexpr std::size_t kHeadGroup = 3;  // ranks that share key and value heads (kv_heads < tp)
// By name, where there are any: ranks that divide experts among them, neighbours among the data-parallel
// ones (where etp is less than tp, among those of a stage), those that hold the same experts, and, between 1 and
// tp of them, those that divide each expert.
constexpr std::string_view kExpertGroup = "ep", kExpertDataGroup = "edp",
                           kExpertTensorGroup = "etp";
// By name, where dispatchers go to all ranks of both: those of the expert group and of their etp.
constexpr std::string_view kTokenGroup = "ep-etp";
// By name, where there are any: ranks that divide the tokens of each sample, and those that hold the same
// shards in other shard groups.
constexpr std::string_view kContextGroup = "cp", kReplicaGroup = "replicas";
// By name, of ZeRO++: ranks that keep the parameters of the forward pass among them; those of a node among
// the data group, and those with the same place in their nodes.
constexpr std::string_view kSecondaryGroup = "secondary", kNodeGroup = "node",
                           kNodesGroup = "nodes";
// Invalid where there is none of that name.
GroupId group_named(const Program& program, std::string_view name);

// Layers [first, last) of the model.
struct LayerRange {
    std::size_t first = 0, last = 0;
};

struct Plan {
    Strategy strategy;
    Layout layout;
    TrainingSpec training;
    ExecutionTarget target;
    std::shared_ptr<const Model> model;
    std::vector<std::vector<Unit>> units;         // per role
    std::vector<TensorSplit> splits;              // per parameter of the model
    std::vector<std::vector<LayerRange>> chunks;  // per role: what its chunks are made of
    Program program;
    std::vector<MemoryPlan> memory;  // per role

    // The rank's index in its groups.
    int data_index(Rank rank) const { return program.groups[kDataGroup].index_of(rank); }
    int tensor_index(Rank rank) const { return program.groups[kTensorGroup].index_of(rank); }
    int expert_index(Rank rank) const {
        const GroupId group = group_named(program, kExpertGroup);
        return group.valid() ? program.groups[group.index()].index_of(rank) : 0;
    }
    int expert_tensor_index(Rank rank) const { return tensor_index(rank) % layout.etp; }
    // The ZeRO stage of a unit: nothing is sharded that one rank holds alone.
    int zero_of(const Unit& unit) const {
        return unit.ranks > 1 ? stage_of(unit, strategy.zero) : 0;
    }

    const MemoryPlan& memory_of(Rank rank) const { return memory[program.role_of(rank)]; }
};

// Throws Error for invalid strategies (layout_for) and for what this version cannot lower.
Plan lower(const Scenario& scenario, const std::shared_ptr<const Model>& model,
           const Strategy& strategy, const ExecutionTarget& target);

// Every parameter, gradient and optimizer slice that `rank` holds, in buffer order: the ShardMap.
// Gradient slices are valid after a step, until the next one begins.
std::vector<ShardSlice> shard_map(const Plan& plan, Rank rank);

// What a checkpoint of the plan holds, of all ranks together: parameters and optimizer states as they are kept
// between steps, each once. 16-bit parameters are written beside their fp32 master weights, as products do:
// what is loaded to generate text, and what training goes on from. FSDP's are copies of fp32 ones, which
// alone are written, and so are those of a device whose host steps fp32 ones.
Bytes checkpoint_size(const Plan& plan);

}  // namespace shardscope
