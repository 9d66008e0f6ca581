#include "core/lowering/optimizer_rules.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/error.h"

namespace shardscope {
namespace {

std::int64_t blocks_in(std::int64_t elements) {
    return (elements + kQuantisedBlock - 1) / kQuantisedBlock;
}

// Linear layers of a list, in order: the first reads the inputs, the last gives the classes.
std::vector<std::size_t> linear_layers(const Model& model) {
    std::vector<std::size_t> list;
    for (std::size_t l = 0; l < model.layers.size(); ++l)
        if (std::holds_alternative<LinearLayer>(model.layers[l].kind)) list.push_back(l);
    return list;
}

std::vector<OptimizerKind> muon_steppers(const Model& model) {
    std::vector<OptimizerKind> steppers(model.parameters.size(), OptimizerKind::adamw);
    const auto take = [&](const Layer& layer) {
        for (const ParameterId p : layer.parameters)
            if (matrix_of(model.parameters[p.index()]).rows > 0)
                steppers[p.index()] = OptimizerKind::muon;
    };
    for (const Layer& layer : model.layers)
        if (std::holds_alternative<BlockLayer>(layer.kind)) take(layer);
    const std::vector<std::size_t> linear = linear_layers(model);
    for (std::size_t i = 1; i + 1 < linear.size(); ++i) take(model.layers[linear[i]]);
    return steppers;
}

std::int64_t state_bytes(const Parameter& parameter, OptimizerSpec spec, OptimizerKind stepper,
                         std::int64_t state) {
    const std::int64_t n = parameter.elements();
    spec.kind = stepper;
    if (stepper == OptimizerKind::adam_8bit) return 2 * (n + 4 * blocks_in(n));
    const std::int64_t factored =
        stepper == OptimizerKind::adafactor ? 4 * factored_statistics(parameter) : 0;
    return spec.states() * n * state + factored;
}

// Whether a product's shards still have rows and columns, or its optimizer brings matrices together: FSDP2's parameters
// are DTensors, whose reductions and full_tensor() do that; Muon of Megatron's distributed optimizer gathers its updates
// (Liu et al. 2025, arXiv:2502.16982, section 2.3), as ours does. FSDP1 and DeepSpeed have flat shards.
bool finds_matrices(OptimizerKind kind, RuntimeProfile profile) {
    if (profile == RuntimeProfile::shardscope) return true;
    if (profile == RuntimeProfile::megatron) return kind == OptimizerKind::muon;
    return is_fsdp(profile) && profile != RuntimeProfile::llm_foundry;
}

}  // namespace

MatrixShape matrix_of(const Parameter& parameter) {
    const auto& shape = parameter.shape;
    if (shape.size() < 2) return {};
    MatrixShape matrix{1, shape[shape.size() - 2], shape.back()};
    for (std::size_t d = 0; d + 2 < shape.size(); ++d) matrix.count *= shape[d];
    return matrix;
}

std::int64_t factored_statistics(const Parameter& parameter) {
    const MatrixShape m = matrix_of(parameter);
    return m.rows > 0 ? m.count * (m.rows + m.cols) : parameter.elements();
}

OptimizerSpec stepping(OptimizerSpec optimizer, const Unit& unit) {
    optimizer.kind = unit.optimizer;
    return optimizer;
}

std::int64_t quantised_blocks(const Model& model, const Unit& unit, bool sharded) {
    if (sharded) return blocks_in(unit.shard);
    std::int64_t blocks = 0;
    for (const Unit::Entry& entry : unit.entries)
        blocks += blocks_in(model.parameters[entry.parameter.index()].elements());
    return blocks;
}

std::int64_t factored_statistics(const Model& model, const Unit& unit) {
    std::int64_t sum = 0;
    for (const Unit::Entry& entry : unit.entries)
        sum += factored_statistics(model.parameters[entry.parameter.index()]);
    return sum;
}

std::vector<OptimizerKind> steppers_of(const Model& model, const OptimizerSpec& optimizer) {
    if (optimizer.kind == OptimizerKind::muon) return muon_steppers(model);
    std::vector<OptimizerKind> steppers(model.parameters.size(), optimizer.kind);
    if (optimizer.kind == OptimizerKind::adam_8bit)
        for (std::size_t p = 0; p < steppers.size(); ++p)
            if (model.parameters[p].elements() < kSmallest8Bit) steppers[p] = OptimizerKind::adamw;
    return steppers;
}

std::int64_t optimizer_state_bytes(const Model& model, const TrainingSpec& training) {
    const std::int64_t state = std::max<std::int64_t>(4, size_of(training.precision));
    const std::vector<OptimizerKind> steppers = steppers_of(model, training.optimizer);
    std::int64_t bytes = 0;
    for (std::size_t p = 0; p < steppers.size(); ++p)
        bytes += state_bytes(model.parameters[p], training.optimizer, steppers[p], state);
    return bytes;
}

void check_optimizer(const Model& model, const TrainingSpec& training, const Strategy& strategy) {
    const OptimizerKind kind = training.optimizer.kind;
    if (kind != OptimizerKind::adafactor && kind != OptimizerKind::muon) return;
    if (strategy.zero >= 1 && !finds_matrices(kind, strategy.profile))
        throw Error(
            "optimizer",
            fmt::format("optimizer {} with zero {} in profile {}: it needs rows and columns "
                        "of whole matrices, and how that product finds them in its shards "
                        "is not modelled",
                        name_of(kind), strategy.zero, name_of(strategy.profile)),
            "use zero 0, profile: shardscope, or another optimizer");
    const std::vector<OptimizerKind> steppers = steppers_of(model, training.optimizer);
    if (kind == OptimizerKind::muon && std::ranges::find(steppers, kind) == steppers.end())
        throw Error("optimizer",
                    "optimizer muon steps the matrices of hidden layers, and the model has none "
                    "between its first and its last layer",
                    "use adamw, or a model with blocks or three linear layers");
}

}  // namespace shardscope
