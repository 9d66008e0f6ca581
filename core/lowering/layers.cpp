#include "core/lowering/layers.h"

#include <variant>

namespace shardscope {
namespace {

Operand at(BufferId buffer) { return {buffer, 0, 0}; }

}  // namespace

LayerLowering::LayerLowering(Context& context, ParameterBuffers& parameters)
    : context_(context), parameters_(parameters), inputs_(context.model.layers.size() + 1) {
    auto& b = context.builder;
    const Model& m = context.model;
    const std::int64_t samples = context.layout.micro_batch;
    batch_inputs_ =
        m.tokens ? b.buffer("batch inputs", samples * m.seq, DType::int32, Category::activations)
                 : b.buffer("batch inputs", samples * m.input_width, context.storage,
                            Category::activations);
    batch_targets_ =
        b.buffer("batch targets", samples * m.seq, DType::int32, Category::activations);
    loss_ = b.buffer("loss", 1, DType::fp64, Category::workspace, Residence::persistent);
    inputs_[0] = {batch_inputs_, m.input_width, Activation::none, {}};
}

void LayerLowering::load_batch() {
    const Model& m = context_.model;
    context_.builder.at(Phase::load, -1);
    emit(LoadBatch{context_.layout.micro_batch, m.seq, m.input_width, m.tokens},
         {at(batch_inputs_), at(batch_targets_)});
}

void LayerLowering::forward(std::size_t layer) {
    context_.builder.at(Phase::forward, static_cast<std::int32_t>(layer));
    inputs_[layer + 1] =
        std::visit([&](const auto& kind) { return forward_layer(layer, kind, inputs_[layer]); },
                   context_.model.layers[layer].kind);
}

void LayerLowering::backward(std::size_t layer) {
    context_.builder.at(Phase::backward, static_cast<std::int32_t>(layer));
    gradient_ = std::visit([&](const auto& kind) { return backward_layer(layer, kind, gradient_); },
                           context_.model.layers[layer].kind);
}

bool LayerLowering::reads_weights(std::size_t layer, bool backward) const {
    const Layer& l = context_.model.layers[layer];
    if (l.parameters.empty() && l.borrowed.empty()) return false;
    if (!backward) return true;
    if (std::holds_alternative<EmbeddingLayer>(l.kind)) return false;
    // The first layer's input gradient is never wanted.
    return !(std::holds_alternative<LinearLayer>(l.kind) && layer == 0);
}

BufferId LayerLowering::saved(std::size_t layer, const char* what, std::int64_t elements,
                              DType type) {
    return context_.builder.buffer(context_.model.layers[layer].name + "." + what, elements, type,
                                   Category::activations);
}

BufferId LayerLowering::saved(std::size_t layer, const char* what, std::int64_t elements) {
    return saved(layer, what, elements, context_.storage);
}

BufferId LayerLowering::temporary(std::size_t layer, const char* what, std::int64_t elements,
                                  DType type) {
    return context_.builder.buffer(context_.model.layers[layer].name + "." + what, elements, type,
                                   Category::workspace);
}

BufferId LayerLowering::temporary(std::size_t layer, const char* what, std::int64_t elements) {
    return temporary(layer, what, elements, context_.storage);
}

void LayerLowering::emit(Kernel kernel, std::initializer_list<Operand> operands) {
    context_.builder.compute(kernel, context_.storage, context_.gradient, operands);
}

void LayerLowering::linear(const LinearParameters& p, BufferId x, BufferId y, BufferId residual,
                           Activation activation, BufferId pre) {
    emit(Linear{context_.rows(), p.in, p.out, p.bias.valid(), residual.valid(), activation},
         {at(x), parameters_.value(p.weight), parameters_.value(p.bias), at(residual), at(y),
          at(pre)});
}

void LayerLowering::linear_weight_grad(const LinearParameters& p, BufferId x, BufferId dy) {
    const auto dw = parameters_.gradient(p.weight);
    const auto db = parameters_.gradient(p.bias);
    emit(LinearWeightGrad{context_.rows(), p.in, p.out, p.bias.valid(), dw.accumulate},
         {at(x), at(dy), dw.operand, db.operand});
}

void LayerLowering::linear_input_grad(const LinearParameters& p, BufferId dy, BufferId dx,
                                      Activation activation, BufferId aux) {
    emit(LinearInputGrad{context_.rows(), p.in, p.out, activation},
         {at(dy), parameters_.value(p.weight), at(aux), at(dx)});
}

std::int64_t LayerLowering::stats_elements(const NormParameters& p) const {
    return context_.rows() * (p.kind == NormKind::layer_norm ? 2 : 1);
}

void LayerLowering::norm(const NormParameters& p, std::int64_t width, BufferId x, BufferId y,
                         BufferId stats) {
    emit(Norm{context_.rows(), width, p.kind, p.epsilon},
         {at(x), parameters_.value(p.weight), parameters_.value(p.bias), at(y), at(stats)});
}

void LayerLowering::norm_grad(const NormParameters& p, std::int64_t width, BufferId dy, BufferId x,
                              BufferId stats, BufferId dresidual, BufferId dx) {
    const auto dw = parameters_.gradient(p.weight);
    const auto db = parameters_.gradient(p.bias);
    emit(NormWeightGrad{context_.rows(), width, p.kind, dw.accumulate},
         {at(dy), at(x), at(stats), dw.operand, db.operand});
    emit(NormInputGrad{context_.rows(), width, p.kind, dresidual.valid()},
         {at(dy), at(x), at(stats), parameters_.value(p.weight), at(dresidual), at(dx)});
}

void LayerLowering::loss_of(BufferId logits) {
    const std::int64_t global_rows = context_.training.global_batch * context_.model.seq;
    emit(SoftmaxCrossEntropy{context_.rows(), context_.model.classes,
                             1.0 / static_cast<double>(global_rows), true},
         {at(logits), at(batch_targets_), at(loss_)});
}

}  // namespace shardscope
