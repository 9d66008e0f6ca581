// The pipeline of passes: layout → tensor and context parallel → stages, and per stage: units →
// parameters → layers with gather, reduction and transfers around them → schedule → optimizer → memory.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/checked.h"
#include "core/error.h"
#include "core/lowering/context_split.h"
#include "core/lowering/optimizer_rules.h"
#include "core/lowering/plan.h"
#include "core/lowering/stage_lowering.h"
#include "core/lowering/stages.h"
#include "core/program/pack.h"
#include "core/strategy/check_dispatch.h"

namespace shardscope {
namespace {

// Refuses models whose activations could not even be counted, before any size is multiplied out. A layer
// keeps about ten tensors of its widest kind, and unfused attention three of [heads, rows, seq]; an element
// has at most eight bytes. All micro-batches may be in flight.
void check_sizes(const Model& model, const Layout& layout, const Strategy& strategy) {
    constexpr std::int64_t kTensors = 10, kScores = 3, kBytes = 8;
    std::int64_t widest = std::max<std::int64_t>({model.input_width, model.classes, 1});
    std::int64_t heads = 1;
    for (const Parameter& p : model.parameters)
        for (std::int64_t extent : p.shape) widest = std::max(widest, extent);
    for (const Layer& layer : model.layers)
        if (const auto* block = std::get_if<BlockLayer>(&layer.kind))
            heads = std::max(heads, block->heads);
    double copies = 1;  // of every token among the rows of experts
    for (const Layer& layer : model.layers)
        if (const auto* block = std::get_if<BlockLayer>(&layer.kind); block && block->has_experts())
            copies = std::max(copies, static_cast<double>(block->experts.per_token) *
                                          block->experts.capacity_factor);
    // Rows of all ranks come to each.
    if (strategy.dispatcher != Dispatcher::all_to_all)
        copies = std::max(copies, static_cast<double>(layout.ep) * layout.etp);
    const std::int64_t rows =
        checked_mul(checked_mul(layout.micro_batch, model.seq, "tokens per micro-batch"),
                    static_cast<std::int64_t>(std::ceil(copies)), "rows of experts");
    const std::int64_t tensor = checked_mul(rows, widest, "an activation tensor");
    const std::int64_t scores = strategy.attention == AttentionKind::flash
                                    ? 0
                                    : checked_mul(checked_mul(rows, model.seq, "attention scores"),
                                                  heads, "attention scores");
    const std::int64_t layer = checked_add(
        checked_mul(tensor, kTensors * kBytes, "activations of a layer"),
        checked_mul(scores, kScores * kBytes, "activations of a layer"), "activations of a layer");
    const std::int64_t all = checked_mul(layer, static_cast<std::int64_t>(model.layers.size()),
                                         "activations of the model");
    checked_mul(all, layout.micro_batches, "activations of all micro-batches");
}

// What the model and the degrees say of each other.
void check_experts(const Model& model, const Strategy& strategy) {
    if (model.has_experts() || (strategy.ep <= 1 && !strategy.etp)) return;
    const std::string key = strategy.ep > 1 ? "ep" : "etp";
    throw Error("expert-parallel",
                fmt::format("{} {}, but the model has no experts to divide", key,
                            strategy.ep > 1 ? strategy.ep : *strategy.etp),
                fmt::format("leave out {}, or use a model with experts", key));
}

void check_expert_ranks(const Model& model, const Layout& layout, const Strategy& strategy) {
    if (!model.has_experts()) return;
    // Routing needs whole rows of what the experts give, which sums over the group hold.
    if (layout.tp > 1 && !strategy.sequence_parallel)
        throw Error("expert-parallel",
                    fmt::format("tp {} without sequence parallelism: tokens are routed by the rank "
                                "that holds them",
                                layout.tp),
                    "use sequence_parallel: true, or tp 1");
}

void check_rows(const Model& model, const Layout& layout, const Strategy& strategy) {
    if (layout.tp == 1 || !strategy.sequence_parallel) return;
    if (!model.tokens)
        throw Error("sequence-parallel", "the model has no sequence to divide",
                    "leave out sequence_parallel");
    const std::int64_t rows = layout.micro_batch * model.seq;
    if (rows % layout.tp != 0)
        throw Error(
            "sequence-parallel",
            fmt::format("micro_batch {} × seq {}{} = {} rows do not divide over tp {}",
                        layout.micro_batch, model.seq * layout.cp,
                        layout.cp > 1 ? fmt::format(" / cp {}", layout.cp) : "", rows, layout.tp),
            fmt::format("use a micro_batch that is a multiple of {}", layout.tp));
    if (tensor_overlap(strategy) == TensorOverlap::pieces && rows % (layout.tp * layout.tp) != 0)
        throw Error("tp-overlap",
                    fmt::format("{} rows do not divide into {} pieces with as many rows of each of "
                                "tp {} ranks",
                                rows, layout.tp, layout.tp),
                    "use tp_overlap: gradients, or another micro_batch");
}

// In a V both ends of the model are on the first stage. A table that they share gets its gradient from two chunks
// in turn, for which only a gradient kept through the step has room.
void check_v(const Model& model, const Layout& layout, const Strategy& strategy) {
    const bool leave = layout.replicas() > 1 || layout.same_experts() > 1;
    const bool to_host = strategy.offload.optimizer != OffloadTo::none && strategy.zero >= 2;
    const bool reduces = to_host || (leave && strategy.reduces_every_micro_batch());
    if (layout.pp == 1 || strategy.schedule != Schedule::zero_bubble_v || !reduces) return;
    for (const Layer& layer : model.layers)
        if (!layer.borrowed.empty())
            throw Error(
                "schedule",
                fmt::format("schedule zb-v with gradients reduced after every micro-batch{}: "
                            "the tied embedding's is complete two tasks later",
                            strategy.zero >= 2 ? fmt::format(" (zero {})", strategy.zero) : ""),
                "use zero 0 or 1 with reduce_at: boundary, another schedule, or "
                "an untied embedding");
}

// Schedules are lists of tasks, and simulating takes time for each.
void check_tasks(const Layout& layout) {
    constexpr std::int64_t kMost = 2'000'000;
    if (layout.micro_batches > kMost / layout.chunks())
        throw Error("schedule-size",
                    fmt::format("{} micro-batches through {} chunks are more than {} tasks",
                                layout.micro_batches, layout.chunks(), kMost),
                    "use a larger micro_batch, or a smaller global_batch");
}

// Runs `work`; its errors say which strategy they are of.
template <class Work>
auto located(const Strategy& strategy, Work&& work) {
    try {
        return work();
    } catch (const Error& e) {
        throw Error(e.rule, fmt::format("{}: {}", place_of(strategy), e.message), e.fix, e.kind);
    }
}

std::int64_t kv_heads_of(const Model& model) {
    for (const Layer& layer : model.layers)
        if (const auto* block = std::get_if<BlockLayer>(&layer.kind)) return block->kv_heads;
    return 0;
}

// In the order of kDataGroup … kHeadGroup, then those that have names.
std::vector<Group> groups_of(const Model& model, const Layout& layout, Dispatcher dispatcher) {
    const int replicas = layout.replicas();
    const bool grouped = layout.shards < replicas;
    std::vector<Group> groups = {{grouped         ? "shard"
                                  : layout.cp > 1 ? "dp-cp"
                                                  : "dp",
                                  layout.shards, layout.tp},
                                 {"tp", layout.tp, 1},
                                 {"pp", layout.pp, layout.tp * replicas}};
    const std::int64_t kv_heads = kv_heads_of(model);
    if (kv_heads > 0 && kv_heads < layout.tp)
        groups.push_back({"kv", layout.tp / static_cast<int>(kv_heads), 1});
    if (layout.ep > 1) groups.push_back({std::string(kExpertGroup), layout.ep, layout.etp});
    if (layout.experts_apart() && layout.same_experts() > 1)
        groups.push_back(
            {std::string(kExpertDataGroup), layout.same_experts(), layout.etp * layout.ep});
    if (layout.etp > 1 && layout.etp < layout.tp)
        groups.push_back({std::string(kExpertTensorGroup), layout.etp, 1});
    if (dispatcher != Dispatcher::all_to_all && layout.ep > 1 && layout.etp > 1)
        groups.push_back({std::string(kTokenGroup), layout.ep * layout.etp, 1});
    if (layout.cp > 1) groups.push_back({std::string(kContextGroup), layout.cp, layout.tp});
    if (grouped)
        groups.push_back(
            {std::string(kReplicaGroup), replicas / layout.shards, layout.tp * layout.shards});
    if (layout.secondary > 1)
        groups.push_back({std::string(kSecondaryGroup), layout.secondary, layout.tp});
    if (layout.node_shards > 1)
        groups.push_back({std::string(kNodeGroup), layout.node_shards, layout.tp});
    if (layout.node_shards > 0 && layout.node_shards < replicas)
        groups.push_back({std::string(kNodesGroup), replicas / layout.node_shards,
                          layout.tp * layout.node_shards});
    return groups;
}

// The first and the last stage exchange the gradients of what they tie where the optimizer steps.
void check_tied(const LoweringContext& context) {
    const auto tied = [](const Unit& unit) { return unit.tied; };
    if (context.steps_on_host() && std::ranges::any_of(context.units, tied))
        throw Error("offload",
                    fmt::format("{}: offload.optimizer with an embedding that two stages share: "
                                "they exchange its gradients between devices",
                                place_of(context.strategy)),
                    "use pp 1, or a model with an embedding and a classifier of their own");
}

// ZeRO's stage, 0 where nothing is divided: neither what all ranks share, nor experts, which tensor-parallel ranks may
// hold copies of (etp), nor anything that goes to the host.
int stage_of(const Strategy& strategy, const Layout& layout) {
    const bool divides = layout.shards > 1 || layout.same_experts() > 1 ||
                         strategy.offload.optimizer != OffloadTo::none;
    return divides ? strategy.zero : 0;
}

void lower_stage(Plan& plan, const Model& local, int stage, const ExecutionTarget& target) {
    const Layout& layout = plan.layout;
    const DType storage = plan.training.precision;
    const DType gradient =
        plan.training.gradient_dtype.value_or(default_gradient(plan.training, plan.strategy));
    const auto group = [](std::size_t index, int size) {
        return size > 1 ? GroupId(index) : GroupId();
    };
    LoweringContext context{local,
                            plan.training,
                            plan.strategy,
                            target,
                            layout,
                            stage_of(plan.strategy, layout),
                            storage,
                            gradient,
                            storage == DType::fp64 ? DType::fp64 : DType::fp32,
                            group(kDataGroup, layout.shards),
                            group(kTensorGroup, layout.tp),
                            group(kPipelineGroup, layout.pp),
                            group_named(plan.program, kExpertGroup),
                            stage,
                            plan.chunks.back(),
                            {},
                            {},
                            {},
                            rules_of(plan.strategy, storage, gradient),
                            group_named(plan.program, kContextGroup),
                            group_named(plan.program, kReplicaGroup),
                            group_named(plan.program, kSecondaryGroup),
                            group_named(plan.program, kNodeGroup),
                            group_named(plan.program, kNodesGroup),
                            layout.etp < layout.tp ? group_named(plan.program, kExpertTensorGroup)
                                                   : group(kTensorGroup, layout.tp),
                            {}};
    context.tokens = group_named(plan.program, kTokenGroup);
    if (!context.tokens.valid()) context.tokens = layout.ep > 1 ? context.ep : context.etp;
    const Bytes bucket = bucket_of(plan.strategy, context.rules, layout, stage, gradient);
    context.units = make_units(
        local, plan.splits, context.chunks,
        {context.zero, layout.shards, context.gradient, bucket, layout.tp,
         context.sequence_parallel(), layout.experts_apart(), layout.same_experts(),
         group_named(plan.program, layout.same_experts() > 1 ? kExpertDataGroup : kReplicaGroup),
         plan.training.optimizer, context.rules.persistent, context.rules.reuse_distance});
    check_tied(context);
    context.places = places_of(local, context.units);
    StageLowering(context).run();

    RoleProgram role = context.builder.take();
    role.name = layout.pp > 1      ? fmt::format("stage {}", stage)
                : layout.world > 1 ? "all ranks"
                                   : "rank 0";
    const int ranks = layout.tp * layout.replicas();
    for (int r = 0; r < ranks; ++r) role.ranks.push_back(Rank(stage * ranks + r));
    plan.units.push_back(std::move(context.units));
    plan.program.roles.push_back(std::move(role));
}

std::int64_t hidden_of(const Model& model) {
    for (const Layer& layer : model.layers)
        if (const auto* embedding = std::get_if<EmbeddingLayer>(&layer.kind))
            return embedding->hidden;
    return 0;
}

// What a product's process holds beside the plan.
void add_product(RuntimeMemory& runtime, const Plan& plan, const Device& device) {
    const ProfileConstants& constants = device.constants_of(plan.strategy.profile);
    if (plan.layout.world > 1) runtime.communicators += constants.process;
    const std::int64_t tensor = plan.layout.micro_batch * plan.model->seq * hidden_of(*plan.model) *
                                size_of(plan.training.precision);
    runtime.workspace += Bytes(std::llround(constants.scratch * static_cast<double>(tensor)));
}

}  // namespace

GroupId group_named(const Program& program, std::string_view name) {
    for (std::size_t g = 0; g < program.groups.size(); ++g)
        if (program.groups[g].name == name) return GroupId(g);
    return {};
}

ExecutionTarget ExecutionTarget::of(const Device& device) {
    ExecutionTarget target;
    target.tiled_attention_workspace = device.kind == DeviceKind::cpu;
    target.host_computes = device.kind == DeviceKind::cpu;
    target.transposes_8_bits = device.architecture != Architecture::blackwell;
    target.threads = device.kind == DeviceKind::cpu ? device.threads : 1;
    return target;
}

Plan lower(const Scenario& scenario, const std::shared_ptr<const Model>& model,
           const Strategy& strategy, const ExecutionTarget& target) {
    Plan plan;
    plan.strategy = as_executed(strategy);
    // Before the layout, which would say what divides experts that are not there.
    located(strategy, [&] { check_experts(*model, strategy); });
    plan.layout = layout_for(scenario, strategy);
    plan.training = scenario.training;
    plan.target = target;
    plan.model = model;
    const Layout& layout = plan.layout;
    const bool split_parameters = layout.tp > 1 || layout.ep > 1;  // etp divides tp
    const bool divided = split_parameters || layout.cp > 1;
    LocalModel split;  // empty where ranks have the model as it is: it is not copied
    located(strategy, [&] {
        check_tasks(layout);
        check_sizes(*model, layout, strategy);
        check_expert_ranks(*model, layout, strategy);
        check_dispatch(*model, strategy);
        check_optimizer(*model, scenario.training, strategy);
        check_v(*model, layout, plan.strategy);
        if (split_parameters) split = split_model(*model, layout.tp, layout.ep, layout.etp);
        if (layout.cp > 1)
            split.model =
                divide_sequence(split_parameters ? std::move(split.model) : *model, strategy);
        check_rows(divided ? split.model : *model, layout, strategy);
    });
    const Model& local = divided ? split.model : *model;
    plan.splits = std::move(split.splits);
    plan.splits.resize(model->parameters.size());
    plan.program.groups = groups_of(*model, plan.layout, strategy.dispatcher);
    const std::vector<LayerRange> chunks =
        located(strategy, [&] { return partition_layers(local, strategy); });
    for (int stage = 0; stage < plan.layout.pp; ++stage) {
        auto& mine = plan.chunks.emplace_back();
        for (const int c : chunks_of_stage(plan.strategy, stage))
            mine.push_back(chunks[static_cast<std::size_t>(c)]);
        lower_stage(plan, local, stage, target);
    }
    Packer packer;
    for (std::size_t role = 0; role < plan.program.roles.size(); ++role) {
        RuntimeMemory runtime = predict_runtime(scenario.cluster, plan.program, role,
                                                strategy.profile == RuntimeProfile::shardscope
                                                    ? CommunicatorUse::per_stream
                                                    : CommunicatorUse::per_group,
                                                target.cudnn_attention);
        add_product(runtime, plan, scenario.cluster.device);
        const RoleProgram& mine = plan.program.roles[role];
        plan.memory.push_back(strategy.profile == RuntimeProfile::shardscope
                                  ? plan_memory(mine, runtime.total(), packer)
                                  : plan_caching_memory(mine, runtime.total(), packer,
                                                        segments_of(strategy),
                                                        scenario.cluster.device.memory));
        plan.memory.back().runtime_parts = runtime;
    }
    return plan;
}

}  // namespace shardscope
