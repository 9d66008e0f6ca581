// What every lowering pass reads: the inputs, the numbers that follow, and the builder it writes to.
// One per role: a pipeline stage.
#pragma once

#include <algorithm>
#include <vector>

#include "core/lowering/builder.h"
#include "core/lowering/plan.h"
#include "core/lowering/profile_rules.h"
#include "core/lowering/units.h"

namespace shardscope {

struct LoweringContext {
    const Model& model;  // one rank's (core/lowering/tensor_split.h, context_split.h)
    const TrainingSpec& training;
    const Strategy& strategy;
    const ExecutionTarget& target;
    Layout layout;
    int zero = 0;            // effective stage: 0 without replicas, unless the host steps
    DType storage;           // activations and the parameters that kernels read
    DType gradient;          // parameter gradients
    DType state;             // moments, master weights, statistics: fp32, or fp64 in fp64
    GroupId dp, tp, pp, ep;  // invalid where the group has one rank; dp: of all replicas, cp's
                             // among them, or of the shard group
    int stage = 0;           // of the pipeline
    std::vector<LayerRange> chunks;  // of this stage, in model order
    std::vector<Unit> units;
    std::vector<Place> places;  // per parameter; no unit: not on this stage
    RoleBuilder builder;
    ProfileRules rules;
    GroupId cp;  // invalid without context parallelism
    GroupId
        replicas;  // ranks with the same shards in other shard groups; invalid without such groups
    GroupId secondary, node, nodes;  // of ZeRO++ (kSecondaryGroup …)
    GroupId etp;                     // ranks that divide each expert; invalid where one holds it
    GroupId tokens;  // ranks that experts and each of them are divided over: those of ep and etp

    bool master() const { return size_of(storage) < size_of(state); }
    std::int64_t rows() const { return layout.micro_batch * model.seq; }
    // The optimizer's states, master weights and gradients lie outside the device.
    bool steps_on_host() const { return strategy.offload.optimizer != OffloadTo::none; }
    // Gradients leave the rank, or the device, after every micro-batch: where somebody else has a part of them. Experts
    // may have copies where nothing else has (etp).
    bool reduces_every_micro_batch() const {
        const bool leave = dp.valid() || layout.same_experts() > 1 || steps_on_host();
        return leave && strategy.reduces_every_micro_batch();
    }
    // The stage of a unit: nothing is sharded that one rank holds alone, but it may be offloaded, and FSDP has it in
    // fp32 all the same: torchtitan's apply_fsdp wraps experts over a mesh of one rank too.
    int zero_of(const Unit& unit) const {
        const bool alone = unit.ranks == 1 && !steps_on_host() && !rules.casts_before_gather;
        return alone ? 0 : stage_of(unit, zero);
    }
    bool is_sharded(const Unit& unit) const { return zero_of(unit) >= 1 && unit.ranks > 1; }
    // No rank keeps the unit's gradients on the device between micro-batches.
    bool keeps_gradients_on_host(const Unit& unit) const {
        return steps_on_host() && zero_of(unit) >= 2;
    }
    // The unit's parameters lie outside the device.
    bool fetches(const Unit& unit) const {
        return strategy.offload.parameters != OffloadTo::none && zero_of(unit) >= 3;
    }
    // A layer's weights are brought together before it computes.
    bool gathers(const Unit& unit) const {
        return fetches(unit) || (zero_of(unit) >= 3 && (unit.ranks > 1 || casts(unit)));
    }
    // ZeRO 3's shards may be the master weights themselves.
    bool casts(const Unit& unit) const { return zero_of(unit) >= 3 && rules.casts_before_gather; }
    // What the host steps is not what the device computes with, unless that is fetched from there.
    bool keeps_master(const Unit& unit) const {
        return (master() || (steps_on_host() && !fetches(unit))) && !casts(unit);
    }
    // Of parameters between steps.
    DType stored(const Unit& unit) const { return casts(unit) ? state : storage; }
    // The unit's tensors, which the product sends one by one, as lists.
    void send_lists(const Unit& unit, Collective& collective) const {
        collective.lists = true;
        collective.calls = std::max(1, static_cast<int>(unit.entries.size()));
    }
    // Operands of multiplies are tensors in 8 or 4 bits.
    bool casts_operands() const {
        return rules.keeps_cast_operands && training.arithmetic() >= MathType::fp8;
    }
    // What backward kernels write of whole gradients.
    DType written() const {
        const bool apart = zero >= 2 || rules.gathers_stage_once;
        return rules.widens_before_reduction && apart && !layout.experts_apart() ? storage
                                                                                 : gradient;
    }
    // They are added to the gradients that are kept, unit by unit.
    bool adds_written() const { return rules.gathers_stage_once && written() != gradient; }
    bool sequence_parallel() const { return tp.valid() && strategy.sequence_parallel; }
    // Rows of the activations between tensor-parallel regions.
    std::int64_t local_rows() const { return sequence_parallel() ? rows() / layout.tp : rows(); }
};

inline Tier tier_of(OffloadTo to) {
    return to == OffloadTo::none ? Tier::device : to == OffloadTo::cpu ? Tier::host : Tier::nvme;
}

// Which micro-batches of a step run a body, in the order of the schedule: bodies differ where
// gradients are first written and where they are reduced.
struct MicroBatchKind {
    bool first = true, last = true;
};

// Which gradients a backward body computes: zero-bubble schedules part them.
enum class BackwardPart { both, input, weight };

}  // namespace shardscope
