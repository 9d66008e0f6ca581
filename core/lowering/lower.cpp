// The pipeline of passes: layout → units → parameters → layers with gather and reduction around them
// → optimizer → schedule → memory.
#include <algorithm>

#include "core/checked.h"
#include "core/lowering/gather.h"
#include "core/lowering/layers.h"
#include "core/lowering/optimizer_pass.h"
#include "core/lowering/plan.h"
#include "core/lowering/reduction.h"

namespace shardscope {
namespace {

// Layers whose pass reads weights, in the order the pass visits them.
std::vector<std::size_t> reading_layers(const LayerLowering& layers, std::size_t count,
                                        bool backward) {
    std::vector<std::size_t> list;
    for (std::size_t l = 0; l < count; ++l)
        if (layers.reads_weights(l, backward)) list.push_back(l);
    if (backward) std::reverse(list.begin(), list.end());
    return list;
}

class StepLowering {
public:
    explicit StepLowering(Context& context)
        : context_(context),
          parameters_(context),
          layers_(context, parameters_),
          gather_(context, parameters_),
          reduction_(context, parameters_) {}

    void run() {
        const BodyId forward = lower_forward();
        const std::int64_t micro_batches = context_.layout.micro_batches;
        BodyId backward[3];  // first, middle, last; created when wanted
        for (std::int64_t m = 0; m < micro_batches; ++m) {
            const MicroBatchKind kind{m == 0, m + 1 == micro_batches};
            BodyId& body = backward[kind.first && !kind.last ? 0 : kind.last ? 2 : 1];
            if (!body.valid()) body = lower_backward(kind);
            const auto id = static_cast<std::int32_t>(m);
            context_.builder.role.schedule.push_back({forward, id});
            context_.builder.role.schedule.push_back({body, id});
        }
        const BodyId optimizer = lower_optimizer(context_, parameters_, layers_.loss());
        context_.builder.role.schedule.push_back(
            {optimizer, static_cast<std::int32_t>(micro_batches - 1)});
    }

private:
    std::size_t layer_count() const { return context_.model.layers.size(); }

    BodyId lower_forward() {
        const BodyId body = context_.builder.begin_body("forward");
        context_.builder.at(Phase::forward, -1);
        parameters_.begin_body({});
        gather_.begin_body(Gather::Direction::forward,
                           reading_layers(layers_, layer_count(), false), false);
        layers_.load_batch();
        for (std::size_t l = 0; l < layer_count(); ++l) {
            context_.builder.at(Phase::forward, static_cast<std::int32_t>(l));
            gather_.before_layer(l);
            layers_.forward(l);
            gather_.after_layer(l);
        }
        return body;
    }

    BodyId lower_backward(MicroBatchKind kind) {
        const std::string suffix = kind.first && kind.last ? ""
                                   : kind.first            ? " (first)"
                                   : kind.last             ? " (last)"
                                                           : " (middle)";
        const BodyId body = context_.builder.begin_body("backward" + suffix);
        context_.builder.at(Phase::backward, -1);
        parameters_.begin_body(kind);
        reduction_.begin_body(kind);
        // The last layer computes forward and backward back to back: its weights stay gathered.
        const auto forward = reading_layers(layers_, layer_count(), false);
        const auto backward = reading_layers(layers_, layer_count(), true);
        const bool keep =
            !forward.empty() && !backward.empty() && forward.back() == backward.front();
        gather_.begin_body(Gather::Direction::backward, backward, keep);
        for (std::size_t l = layer_count(); l-- > 0;) {
            context_.builder.at(Phase::backward, static_cast<std::int32_t>(l));
            gather_.before_layer(l);
            layers_.backward(l);
            gather_.after_layer(l);
            reduction_.after_layer(l);
        }
        reduction_.end_body();
        return body;
    }

    Context& context_;
    ParameterBuffers parameters_;
    LayerLowering layers_;
    Gather gather_;
    Reduction reduction_;
};

// Refuses models whose activations could not even be counted, before any size is multiplied out.
void check_sizes(const Model& model, const Layout& layout) {
    std::int64_t widest = std::max<std::int64_t>({model.input_width, model.classes, 1});
    for (const Parameter& p : model.parameters)
        for (std::int64_t extent : p.shape) widest = std::max(widest, extent);
    const std::int64_t rows = checked_mul(layout.micro_batch, model.seq, "tokens per micro-batch");
    const std::int64_t tensor = checked_mul(rows, widest, "an activation tensor");
    // A block keeps about ten tensors of its widest kind, of at most eight bytes an element; unfused
    // attention keeps rows × seq per head, and heads are narrower than `widest`.
    const std::int64_t layer = checked_mul(checked_mul(tensor, model.seq, "attention scores"), 256,
                                           "activations of a layer");
    checked_mul(layer, static_cast<std::int64_t>(model.layers.size()), "activations of the model");
}

}  // namespace

ExecutionTarget ExecutionTarget::of(const Device& device) {
    ExecutionTarget target;
    target.tiled_attention_workspace = device.kind == DeviceKind::cpu;
    return target;
}

Plan lower(const Scenario& scenario, const std::shared_ptr<const Model>& model,
           const Strategy& strategy, const ExecutionTarget& target) {
    Plan plan;
    plan.strategy = strategy;
    plan.layout = layout_for(scenario, strategy);
    plan.training = scenario.training;
    plan.model = model;
    const DType storage = scenario.training.precision;
    const int dp = plan.layout.dp;
    check_sizes(*model, plan.layout);
    Context context{*model,
                    plan.training,
                    plan.strategy,
                    target,
                    plan.layout,
                    dp > 1 ? strategy.zero : 0,
                    storage,
                    scenario.training.gradient_dtype.value_or(storage),
                    storage == DType::fp64 ? DType::fp64 : DType::fp32,
                    dp > 1 ? GroupId(0) : GroupId(),
                    {},
                    {},
                    {}};
    context.units = make_units(*model, strategy, dp, context.gradient);
    context.places = places_of(*model, context.units);
    StepLowering(context).run();

    RoleProgram& role = context.builder.role;
    role.name = plan.layout.world == 1 ? "rank 0" : "all ranks";
    for (int r = 0; r < plan.layout.world; ++r) role.ranks.push_back(Rank(r));
    plan.units.push_back(std::move(context.units));
    plan.program.groups = {{"dp", dp, 1}, {"tp", 1, 1}, {"pp", 1, dp}};
    plan.program.roles.push_back(std::move(role));
    plan.memory.push_back(plan_memory(plan.program.roles[0], scenario.cluster.device.runtime));
    return plan;
}

}  // namespace shardscope
