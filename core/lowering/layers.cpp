#include "core/lowering/layers.h"

#include <array>
#include <variant>

namespace shardscope {
namespace {

struct WidthOf {
    std::int64_t operator()(const EmbeddingLayer& e) const { return e.hidden; }
    std::int64_t operator()(const BlockLayer& b) const { return b.hidden; }
    std::int64_t operator()(const HeadLayer& h) const { return h.vocab; }
    std::int64_t operator()(const LinearLayer& l) const { return l.linear.out; }
    std::int64_t operator()(const ActivationLayer& a) const { return a.width; }
    std::int64_t operator()(const NormLayer& n) const { return n.width; }
    std::int64_t operator()(const LossLayer& l) const { return l.classes; }
};

bool is_linear(const Kernel& kernel) {
    return std::holds_alternative<Linear>(kernel) ||
           std::holds_alternative<LinearInputGrad>(kernel) ||
           std::holds_alternative<LinearWeightGrad>(kernel);
}

bool is_weight_gradient(const Kernel& kernel, bool norms) {
    return std::holds_alternative<LinearWeightGrad>(kernel) ||
           (norms && (std::holds_alternative<NormWeightGrad>(kernel) ||
                      std::holds_alternative<HeadNormWeightGrad>(kernel))) ||
           std::holds_alternative<EmbeddingGrad>(kernel);
}

// What the core of attention makes.
bool is_attentions(std::string_view what) {
    return what == "attention" || what == "attention.stats" || what == "attention.of heads" ||
           what == "qkv.of heads";
}

bool has_loss(const Layer& layer) {
    return std::holds_alternative<HeadLayer>(layer.kind) ||
           std::holds_alternative<LossLayer>(layer.kind);
}

}  // namespace

std::int64_t output_width(const Layer& layer) { return std::visit(WidthOf{}, layer.kind); }

LayerLowering::LayerLowering(LoweringContext& context, ParameterBuffers& parameters)
    : context_(context),
      parameters_(parameters),
      checkpoints_(context),
      overlap_(context.tp.valid() ? tensor_overlap(context.strategy) : TensorOverlap::none),
      inputs_(context.model.layers.size() + 1),
      norm_gradients_wait_(context.adds_written() || context.reduces_every_micro_batch()),
      format_(operand_format(context.training.arithmetic(), context.target.transposes_8_bits)) {
    find_parts();
    auto& b = context.builder;
    const Model& m = context.model;
    const std::int64_t samples = context.layout.micro_batch;
    if (context.chunks.front().first == 0) {
        batch_inputs_ = m.tokens ? b.buffer("batch inputs", samples * m.seq, DType::int32,
                                            Category::activations)
                                 : b.buffer("batch inputs", samples * m.input_width,
                                            context.storage, Category::activations);
        inputs_[0] = {batch_inputs_, m.input_width, Activation::none, {}};
    }
    if (has_loss(m.layers[context.chunks.back().last - 1])) {
        batch_targets_ =
            b.buffer("batch targets", samples * m.seq, DType::int32, Category::activations);
        loss_ = b.buffer("loss", 1, DType::fp64, Category::workspace, Residence::persistent);
    }
    std::int64_t blocks = 0;
    const Recompute& recompute = context.strategy.recompute;
    for (const Layer& layer : m.layers) {
        const bool block = std::holds_alternative<BlockLayer>(layer.kind);
        recomputed_.push_back(block && recompute.kind == Recompute::Kind::full &&
                              recompute.has(blocks));
        if (block) ++blocks;
    }
}

void LayerLowering::load_batch(bool inputs, bool targets) {
    if (!inputs && !targets) return;
    const Model& m = context_.model;
    context_.builder.at(Phase::load, -1);
    emit(LoadBatch{context_.layout.micro_batch, m.seq, m.input_width, m.tokens, inputs, targets},
         {start_of(inputs ? batch_inputs_ : BufferId()),
          start_of(targets ? batch_targets_ : BufferId())});
    if (const auto* head = std::get_if<HeadLayer>(&m.layers.back().kind); head && targets)
        stand_beside_logits(*head);
}

void LayerLowering::begin(Phase phase, std::size_t layer) {
    context_.builder.at(phase, static_cast<std::int32_t>(layer));
    builds_block_ = std::holds_alternative<BlockLayer>(context_.model.layers[layer].kind);
    layer_ = layer;
    cast_.clear();
}

void LayerLowering::forward(std::size_t layer) {
    part_ = BackwardPart::both;
    backward_ = false;
    begin(Phase::forward, layer);
    if (const Value& x = inputs_[layer]; recomputed_[layer])
        checkpoints_.send(layer, x.buffer, context_.local_rows() * x.width);
    inputs_[layer + 1] =
        std::visit([&](const auto& kind) { return forward_layer(layer, kind, inputs_[layer]); },
                   context_.model.layers[layer].kind);
    await_all();
    checkpoints_.release();
}

void LayerLowering::begin_backward(const LayerRange& layers, BufferId dy, BackwardPart part) {
    const std::size_t last_layer = layers.last - 1;
    part_ = part;
    backward_ = true;
    context_.builder.at(Phase::backward, static_cast<std::int32_t>(last_layer));
    if (part != BackwardPart::weight) checkpoints_.begin_backward(layers);
    gradient_ = dy;
    if (dy.valid()) gradient_ = through_activation(last_layer, "d output", output(last_layer), dy);
}

void LayerLowering::continue_backward(const LayerRange& layers, BufferId gradient,
                                      BackwardPart part) {
    part_ = part;
    backward_ = true;
    if (part != BackwardPart::weight) checkpoints_.begin_backward(layers);
    gradient_ = gradient;
}

// Runs a block's forward again, into the buffers that the forward body let go.
void LayerLowering::recompute(std::size_t layer) {
    if (part_ == BackwardPart::weight) return;
    const auto* block = std::get_if<BlockLayer>(&context_.model.layers[layer].kind);
    if (block == nullptr) return;
    begin(Phase::recompute, layer);
    if (const BufferId back = checkpoints_.take(layer); back.valid()) inputs_[layer].buffer = back;
    recomputing_ = true;
    if (recomputed_[layer])
        forward_layer(layer, *block, inputs_[layer]);
    else if (recomputes_attention())
        block_attention(layer, *block);
    await_all();
    recomputing_ = false;
}

void LayerLowering::backward(std::size_t layer) {
    begin(Phase::backward, layer);
    gradient_ = std::visit([&](const auto& kind) { return backward_layer(layer, kind, gradient_); },
                           context_.model.layers[layer].kind);
    await_all();
}

bool LayerLowering::reads_weights(std::size_t layer, bool backward) const {
    const Layer& l = context_.model.layers[layer];
    if (l.parameters.empty() && l.borrowed.empty()) return false;
    if (!backward) return true;
    if (std::holds_alternative<EmbeddingLayer>(l.kind)) return false;
    // The first layer's input gradient is never wanted.
    return !(std::holds_alternative<LinearLayer>(l.kind) && layer == 0);
}

BufferId LayerLowering::named(std::size_t layer, const char* what, Variant variant,
                              std::int64_t elements, DType type, Category category) {
    constexpr std::array<const char*, kVariants> kSuffixes{
        "",          " (again)", " (all rows)", " (rank by rank)",
        " (8 bits)", " (scale)", " (scales)",   " (all columns)"};
    if (elements == 0) return {};
    const std::size_t layers = context_.model.layers.size();
    const std::size_t word = words_.try_emplace(what, words_.size()).first->second;
    named_.resize(words_.size() * layers);
    const auto v = static_cast<std::size_t>(variant);
    BufferId& buffer = named_[word * layers + layer][v];
    if (!buffer.valid())
        buffer =
            context_.builder.buffer(context_.model.layers[layer].name + "." + what + kSuffixes[v],
                                    elements, type, category);
    return buffer;
}

BufferId LayerLowering::saved(std::size_t layer, const char* what, std::int64_t elements,
                              DType type) {
    // Not the forward's buffer, which would have to be kept until then.
    const bool again =
        backward_ && (recomputed_[layer] || (recomputes_attention() && is_attentions(what)));
    return named(layer, what, again ? Variant::again : Variant::plain, elements, type,
                 Category::activations);
}

BufferId LayerLowering::saved(std::size_t layer, const char* what, std::int64_t elements) {
    return saved(layer, what, elements, context_.storage);
}

BufferId LayerLowering::temporary(std::size_t layer, const char* what, std::int64_t elements,
                                  DType type) {
    return named(layer, what, Variant::plain, elements, type, Category::workspace);
}

BufferId LayerLowering::temporary(std::size_t layer, const char* what, std::int64_t elements) {
    return temporary(layer, what, elements, context_.storage);
}

void LayerLowering::emit(const Kernel& kernel, std::initializer_list<Operand> operands,
                         std::uint8_t cast, bool wide) {
    const bool weight = is_weight_gradient(kernel, norm_gradients_wait_);
    if (weight ? part_ == BackwardPart::input : part_ == BackwardPart::weight) return;
    for (const Operand& operand : operands) await(operand.buffer);
    Compute& compute =
        context_.builder.compute(kernel, context_.storage, context_.written(), operands);
    if (!builds_block_ || wide || !is_linear(kernel)) return;
    compute.math = context_.training.math;
    compute.laid_out = casts_operands();
    compute.cast = cast;
    unsigned bit = 1;
    for (const Operand& operand : operands) {
        if (operand.valid() && type_of(operand.buffer) == DType::int8)
            compute.cast = static_cast<std::uint8_t>(compute.cast | bit);
        bit <<= 1;
    }
}

void LayerLowering::collective(GroupId group, CollectiveKind kind, BufferId from, BufferId to,
                               std::int64_t elements, DType type, ReduceOp reduce) {
    await(from);
    await(to);
    context_.builder.collective(Stream::compute, {.kind = kind,
                                                  .group = group,
                                                  .elements = elements,
                                                  .dtype = type,
                                                  .send = start_of(from),
                                                  .recv = start_of(to),
                                                  .reduce = reduce});
}

void LayerLowering::all_reduce(BufferId buffer, std::int64_t elements, DType type,
                               ReduceOp reduce) {
    if (part_ == BackwardPart::weight) return;
    collective(context_.tp, CollectiveKind::all_reduce, {}, buffer, elements, type, reduce);
}

void LayerLowering::reduce_scatter(std::size_t layer, const char* what, BufferId from, BufferId to,
                                   std::int64_t elements, bool ordered) {
    if (part_ == BackwardPart::weight) return;
    if (context_.rules.orders_rows && !ordered) {
        const BufferId rank_by_rank = named(layer, what, Variant::rank_by_rank, elements,
                                            context_.storage, Category::communication);
        emit(Copy{elements}, {start_of(from), start_of(rank_by_rank)});
        from = rank_by_rank;
    }
    collective(context_.tp, CollectiveKind::reduce_scatter, from, to, elements, context_.storage);
}

BufferId LayerLowering::gathered(std::size_t layer, const char* what, std::int64_t width) {
    const Category category =
        context_.rules.keeps_gathered_rows ? Category::activations : Category::communication;
    if (casts_operands())
        return named(layer, what, Variant::all_rows,
                     context_.layout.tp * cast_bytes(context_.local_rows() * width), DType::int8,
                     category);
    return named(layer, what, Variant::all_rows, context_.rows() * width,
                 gathers_in_8_bits(layer) ? DType::int8 : context_.storage, category);
}

// Experts and latent attention do more with gathered rows than multiply.
bool LayerLowering::gathers_in_8_bits(std::size_t layer) const {
    const auto* block = std::get_if<BlockLayer>(&context_.model.layers[layer].kind);
    return context_.rules.gathers_in_8_bits && context_.training.math == MathType::fp8 &&
           block != nullptr && !block->has_experts() && !block->is_latent();
}

BufferId LayerLowering::in_8_bits(std::size_t layer, const char* what, BufferId local,
                                  std::int64_t elements) {
    const auto made = [&](Variant variant, std::int64_t n, DType type) {
        return named(layer, what, variant, n, type, Category::communication);
    };
    const BufferId numbers = made(Variant::narrow, elements, DType::int8);
    const BufferId scale = made(Variant::scale, 1, context_.state);
    emit(Quantise{elements, elements, 8}, {start_of(local), start_of(numbers), start_of(scale)});
    const std::int64_t tp = context_.layout.tp;
    collective(context_.tp, CollectiveKind::all_gather, scale,
               made(Variant::scales, tp, context_.state), tp, context_.state);
    return numbers;
}

void LayerLowering::gather_rows(std::size_t layer, const char* what, BufferId local, BufferId whole,
                                std::int64_t elements) {
    const DType type = type_of(whole);
    BufferId to = whole;
    if (context_.rules.orders_rows)
        to = named(layer, what, Variant::rank_by_rank, elements, type, Category::communication);
    collective(context_.tp, CollectiveKind::all_gather, local, to, elements, type);
    if (to == whole) return;
    await(whole);
    context_.builder.compute(Copy{elements}, type, type, {start_of(to), start_of(whole)});
}

BufferId LayerLowering::all_rows(std::size_t layer, const char* what, BufferId local,
                                 std::int64_t width, For reader) {
    if (!context_.sequence_parallel()) return local;
    if (part_ == BackwardPart::input && reader == For::weight_gradient) return {};
    const std::int64_t elements = context_.rows() * width;
    if (reader == For::attention) {
        const BufferId whole = named(layer, what, Variant::all_rows, elements, context_.storage,
                                     Category::communication);
        gather_for(layer, what, local, whole, elements, reader);
        return whole;
    }
    if (casts_operands()) return all_rows_cast(layer, what, local, width, reader);
    const BufferId whole = gathered(layer, what, width);
    if (gathers_in_8_bits(layer))
        local = in_8_bits(layer, what, local, elements / context_.layout.tp);
    gather_for(layer, what, local, whole, elements, reader);
    return whole;
}

void LayerLowering::gather_for(std::size_t layer, const char* what, BufferId local, BufferId whole,
                               std::int64_t elements, For reader) {
    if (overlaps_gradients() && reader == For::weight_gradient)
        collective_beside(CollectiveKind::all_gather, local, whole, elements);
    else if (in_pieces() && part_ != BackwardPart::weight)
        gather_in_pieces(local, whole, elements);
    else
        gather_rows(layer, what, local, whole, elements);
}

std::int64_t LayerLowering::stats_elements(const NormParameters& p) const {
    return context_.local_rows() * (p.kind == NormKind::layer_norm ? 2 : 1);
}

BufferId LayerLowering::norm_stats(std::size_t l, const char* what, const NormParameters& p) {
    return saved(l, what, stats_elements(p), context_.state);
}

void LayerLowering::norm(const NormParameters& p, std::int64_t width, BufferId x, BufferId y,
                         BufferId stats) {
    emit(Norm{context_.local_rows(), width, p.kind, p.epsilon},
         {start_of(x), parameters_.value(p.weight), parameters_.value(p.bias), start_of(y),
          start_of(stats)});
}

void LayerLowering::norm_grad(const NormParameters& p, std::int64_t width, BufferId dy, BufferId x,
                              BufferId stats, BufferId dresidual, BufferId dx) {
    const std::int64_t rows = context_.local_rows();
    if (norm_weights_now()) {
        const auto dw = parameters_.gradient(p.weight);
        const auto db = parameters_.gradient(p.bias);
        emit(NormWeightGrad{rows, width, p.kind, dw.accumulate},
             {start_of(dy), start_of(x), start_of(stats), dw.operand, db.operand});
    }
    emit(NormInputGrad{rows, width, p.kind, dresidual.valid()},
         {start_of(dy), start_of(x), start_of(stats), parameters_.value(p.weight),
          start_of(dresidual), start_of(dx)});
}

// What a product computes the loss from, where that is not the logits themselves: a chain of wider
// copies, of which the last one holds the gradient in the end.
BufferId LayerLowering::widened_logits(std::size_t l, BufferId logits, std::int64_t elements) {
    constexpr std::array kNames = {"logits (fp32)", "exponentials", "log-probabilities",
                                   "their gradient"};
    const int copies = context_.storage == context_.state ? 0 : context_.rules.loss_copies;
    std::vector<BufferId> chain{logits};
    for (int i = 0; i < copies; ++i) {
        const BufferId next =
            temporary(l, kNames[static_cast<std::size_t>(i)], elements, context_.state);
        context_.builder.compute(Copy{elements}, context_.state, context_.state,
                                 {start_of(chain.back()), start_of(next)});
        chain.push_back(next);
    }
    // All of them are there until the last one is.
    for (std::size_t i = 1; i + 2 < chain.size(); ++i) emit(Zero{1}, {start_of(chain[i])});
    return chain.back();
}

void LayerLowering::loss_of(std::size_t l, BufferId logits, bool vocabulary_parallel) {
    const std::int64_t rows = context_.rows(), classes = context_.model.classes;
    const std::int64_t tp = vocabulary_parallel ? context_.layout.tp : 1;
    const std::int64_t columns = (classes + tp - 1) / tp;
    const BufferId wide = widened_logits(l, logits, rows * columns);
    loss_from(l, wide, vocabulary_parallel, columns);
    if (wide != logits)
        context_.builder.compute(Copy{rows * columns}, context_.storage, context_.gradient,
                                 {start_of(wide), start_of(logits)});
}

void LayerLowering::loss_from(std::size_t l, BufferId logits, bool vocabulary_parallel,
                              std::int64_t columns) {
    const std::int64_t rows = context_.rows(), classes = context_.model.classes;
    const double scale = 1.0 / static_cast<double>(context_.training.global_batch *
                                                   context_.model.seq * context_.layout.cp);
    if (!vocabulary_parallel) {
        emit(SoftmaxCrossEntropy{rows, classes, scale, true},
             {start_of(logits), start_of(batch_targets_), start_of(loss_)});
        return;
    }
    const BufferId largest = temporary(l, "largest logit", rows, context_.state);
    const BufferId sums = temporary(l, "sums", 2 * rows, context_.state);
    emit(VocabularyMax{rows, columns, classes}, {start_of(logits), start_of(largest)});
    all_reduce(largest, rows, context_.state, ReduceOp::maximum);
    emit(VocabularySum{rows, columns, classes},
         {start_of(logits), start_of(largest), start_of(batch_targets_), start_of(sums)});
    all_reduce(sums, 2 * rows, context_.state);
    emit(VocabularyLoss{rows, columns, classes, scale},
         {start_of(logits), start_of(sums), start_of(batch_targets_), start_of(loss_)});
}

}  // namespace shardscope
