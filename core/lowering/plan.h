// Lowering: Scenario + Strategy → Plan, the object that runners execute or simulate.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/model/model.h"
#include "core/program/memory_plan.h"
#include "core/program/program.h"
#include "core/scenario.h"
#include "core/strategy/validate.h"

namespace shardscope {

// What the executing device has, so that the plan decides and executors obey.
struct ExecutionTarget {
    AttentionKind attention = AttentionKind::flash;
    // Bytes of temporary the device's attention kernels want (forward, backward), per call.
    // cpu: one score tile per call; gpu: none beyond registers.
    bool tiled_attention_workspace = false;
    static ExecutionTarget of(const Device& device);
};

// The parameters that are communicated and sharded together: a gradient bucket (ZeRO 0–2) or a layer
// (ZeRO 3), stored flat, without padding between parameters.
struct Unit {
    struct Entry {
        ParameterId parameter;
        std::int64_t offset = 0;  // elements from the unit's start
    };
    std::string name;  // "blocks.0 … blocks.3"
    std::vector<Entry> entries;
    std::int64_t elements = 0;  // sum of the parameters'
    std::int64_t shard = 0;     // elements one rank owns; = elements when nothing is sharded.
                                // Sharded: ⌈elements/dp⌉ rounded up to kShardAlignment
    std::int64_t padded = 0;    // shard · dp, or elements when nothing is sharded
};
constexpr std::int64_t kShardAlignment = 16;  // elements

// A slice of a global tensor that a rank holds between steps.
struct ShardSlice {
    enum class Tensor : std::uint8_t { parameter, gradient, master, state1, state2 };
    ParameterId parameter;
    Tensor tensor = Tensor::parameter;
    std::int64_t global_first = 0, count = 0;  // elements of the parameter
    BufferId buffer;
    std::int64_t buffer_first = 0;  // elements into the buffer
};

struct Plan {
    Strategy strategy;
    Layout layout;
    TrainingSpec training;
    std::shared_ptr<const Model> model;
    std::vector<Unit> units;
    Program program;
    std::vector<MemoryPlan> memory;  // per role

    const MemoryPlan& memory_of(Rank rank) const { return memory[program.role_of(rank)]; }
};

// Throws Error for invalid strategies (layout_for) and for what this version cannot lower.
Plan lower(const Scenario& scenario, const std::shared_ptr<const Model>& model,
           const Strategy& strategy, const ExecutionTarget& target);

// Every parameter, gradient and optimizer slice that `rank` holds, in buffer order: the ShardMap.
// Gradient slices are valid after a step, until the next one begins.
std::vector<ShardSlice> shard_map(const Plan& plan, Rank rank);

}  // namespace shardscope
