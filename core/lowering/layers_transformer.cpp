// Embedding, transformer block and head.
#include "core/checked.h"
#include "core/lowering/layers.h"

namespace shardscope {
namespace {

std::int64_t normed_width(const BlockLayer& b) { return (b.heads + b.kv_heads) * b.head_dim; }

Rope rope_of(const BlockLayer& b, std::int64_t rows, bool inverse) {
    return {rows,         b.seq,   b.heads,      b.kv_heads,    b.head_dim,
            b.rope_theta, inverse, b.rotary_dim, b.rope_scaling};
}

Attention attention_of(const BlockLayer& b, std::int64_t samples, AttentionKind kind) {
    return {samples,    b.seq, b.heads, b.kv_heads,
            b.head_dim, kind,  1,       b.is_latent() ? b.value_dim : 0};
}

}  // namespace

Value LayerLowering::forward_layer(std::size_t l, const EmbeddingLayer& e, const Value& x) {
    const std::int64_t rows = context_.rows();
    const BufferId y = saved(l, "output", context_.local_rows() * e.hidden);
    const bool scatter = context_.sequence_parallel();
    const BufferId partial = scatter ? temporary(l, "partial sum", rows * e.hidden) : y;
    emit(Embedding{rows, e.seq, e.vocab, e.hidden, e.vocabulary_parallel, e.position_offset,
                   e.scale},
         {start_of(x.buffer), parameters_.value(e.table), parameters_.value(e.positions),
          start_of(partial)});
    if (scatter)
        reduce_scatter(l, "partial sum", partial, y, rows * e.hidden);
    else if (e.vocabulary_parallel)
        all_reduce(y, rows * e.hidden, context_.storage);
    return {y, e.hidden, Activation::none, {}};
}

BufferId LayerLowering::backward_layer(std::size_t l, const EmbeddingLayer& e, BufferId dy) {
    const BufferId all = all_rows(l, "d output", dy, e.hidden, For::weight_gradient);
    if (part_ == BackwardPart::input) return {};
    const auto table = parameters_.gradient(e.table);
    const auto positions = parameters_.gradient(e.positions);
    emit(EmbeddingGrad{context_.rows(), e.seq, e.vocab, e.hidden, table.accumulate,
                       positions.accumulate, e.vocabulary_parallel, e.position_rows,
                       e.position_offset, e.scale},
         {start_of(inputs_[l].buffer), start_of(all), table.operand, positions.operand});
    return {};
}

std::int64_t LayerLowering::mask_elements(std::size_t l, std::int64_t elements) const {
    const auto& block = std::get<BlockLayer>(context_.model.layers[l].kind);
    if (!context_.rules.drops_out || is_gated(block.mlp) || block.rotary_dim > 0) return 0;
    const std::int64_t bytes = size_of(context_.storage);
    return round_up(elements, bytes) / bytes;
}

// Behind the sum are the masks of what attention and the MLP add.
BufferId LayerLowering::residual_sum(std::size_t l, const BlockLayer& b) {
    const std::int64_t local = context_.local_rows() * b.hidden;
    return saved(l, "attention.residual", local + mask_elements(l, 2 * local));
}

BufferId LayerLowering::attention_stats(std::size_t l, const Attention& a) {
    // Log-sum-exps need fp32; the probabilities of unfused attention are activations like any other.
    const std::int64_t elements = attention_stats_elements(a);
    if (a.kind == AttentionKind::flash)
        return saved(l, "attention.stats", elements, context_.state);
    const std::int64_t masks = mask_elements(l, elements);
    // What is left after dropout, for the multiply by the values, is a tensor beside them.
    return saved(l, "attention.stats", masks > 0 ? 2 * elements + masks : elements);
}

BufferId LayerLowering::head_norm_stats(std::size_t l, const BlockLayer& b) {
    const std::int64_t heads = b.heads + b.kv_heads;
    return saved(l, "attention.unnormed.stats", context_.rows() * heads, context_.state);
}

BufferId LayerLowering::saved_up(std::size_t l, const BlockLayer& b) {
    return saved(l, "mlp.up", context_.rows() * b.up.out);
}

void LayerLowering::block_attention(std::size_t l, const BlockLayer& b) {
    if (context_.cp.valid()) return context_attention(l, b);
    const std::int64_t rows = context_.rows();
    Attention a = attention_of(b, context_.layout.micro_batch, context_.strategy.attention);
    a.tiles = context_.target.threads;
    const bool tiled = context_.target.tiled_attention_workspace;
    emit(a, {start_of(saved(l, "qkv", rows * a.qkv_width())),
             start_of(saved(l, "attention", rows * b.heads * b.value_dim)),
             start_of(attention_stats(l, a)),
             start_of(temporary(l, "attention.tile", tiled ? attention_workspace_elements(a) : 0,
                                context_.state))});
}

// The MLP up to its second linear layer, from the normalised input.
void LayerLowering::block_mlp_inner(std::size_t l, const BlockLayer& b) {
    const std::int64_t rows = context_.rows();
    const BufferId y = saved(l, "mlp_norm", context_.local_rows() * b.hidden);
    const BufferId x = all_rows(l, "mlp_norm", y, b.hidden);
    const Activation activation = activation_of(b.mlp);
    const bool keeps_up = is_gated(b.mlp) || needs_argument(activation);
    const BufferId up = keeps_up ? saved_up(l, b) : BufferId();
    const BufferId act = saved(l, "mlp.act", rows * b.ffn);
    if (!is_gated(b.mlp)) return linear(b.up, x, act, activation, up);
    linear(b.up, x, up);
    if (b.mlp == Mlp::swiglu)
        emit(SwiGlu{rows, b.ffn}, {start_of(up), start_of(act)});
    else
        emit(GeGlu{rows, b.ffn, activation}, {start_of(up), start_of(act)});
}

void LayerLowering::block_qkv(std::size_t l, const BlockLayer& b, BufferId y1) {
    if (b.is_latent()) return latent_qkv(l, b, y1);
    const std::int64_t rows = context_.rows();
    const BufferId qkv = saved(l, "qkv", rows * qkv_width(b));
    linear(b.qkv, all_rows(l, "attention_norm", y1, b.hidden), qkv);
    if (const HeadNormParameters& p = b.head_norm; p.query.valid()) {
        const HeadNorm norm{rows, b.heads, b.kv_heads, b.head_dim, p.epsilon};
        emit(norm, {start_of(qkv), parameters_.value(p.query), parameters_.value(p.key),
                    start_of(saved(l, "attention.unnormed", rows * normed_width(b))),
                    start_of(head_norm_stats(l, b))});
    }
    if (b.rotary_dim > 0) emit(rope_of(b, rows, false), {start_of(qkv)});
}

Value LayerLowering::forward_layer(std::size_t l, const BlockLayer& b, const Value& x) {
    const std::int64_t rows = context_.rows(), h = b.hidden, local = context_.local_rows() * h;
    const BufferId y1 = saved(l, "attention_norm", local);
    norm(b.attention_norm, h, x.buffer, y1,
         norm_stats(l, "attention_norm.stats", b.attention_norm));
    block_qkv(l, b, y1);
    block_attention(l, b);
    const BufferId s = residual_sum(l, b);
    // Where nothing but the output depends on the sum, it is not computed again.
    const bool whole = !recomputing_ || context_.rules.recomputes_whole_blocks ||
                       casts_operands();  // the last layer's backward reads what it cast
    const BufferId o = saved(l, "attention", rows * b.heads * b.value_dim);
    keep_original(o);
    if (whole || !b.parallel_residual) summed_linear(l, b.projection, o, s, x.buffer);
    // One after the other: in a call's arguments the order of buffers would be the compiler's choice.
    const BufferId stats = norm_stats(l, "mlp_norm.stats", b.mlp_norm);
    const BufferId y2 = saved(l, "mlp_norm", local);
    norm(b.mlp_norm, h, b.parallel_residual ? x.buffer : s, y2, stats);
    if (b.has_experts()) {
        keep_original(y2);
        return block_experts(l, b, s, whole);
    }
    block_mlp_inner(l, b);
    if (!whole) return {};
    const BufferId out = saved(l, "output", local);
    summed_linear(l, b.down, saved(l, "mlp.act", rows * b.ffn), out, s);
    return {out, h, Activation::none, {}};
}

// What the second linear layer read, for its weight gradient.
BufferId LayerLowering::kept_product(std::size_t l, const BlockLayer& b) {
    const std::int64_t rows = context_.rows();
    if (!context_.rules.multiplies_gates_again || b.mlp != Mlp::swiglu || recomputed_[l])
        return saved(l, "mlp.act", rows * b.ffn);
    const BufferId act =
        named(l, "mlp.act", Variant::again, rows * b.ffn, context_.storage, Category::activations);
    emit(SwiGlu{rows, b.ffn}, {start_of(saved_up(l, b)), start_of(act)});
    return act;
}

BufferId LayerLowering::mlp_backward(std::size_t l, const BlockLayer& b, BufferId dy_all) {
    return mlp_up_backward(l, b, mlp_down_backward(l, b, dy_all));
}

BufferId LayerLowering::mlp_down_backward(std::size_t l, const BlockLayer& b, BufferId dy_all) {
    const std::int64_t rows = context_.rows();
    const BufferId act = kept_product(l, b);
    // Of rows that come in pieces the input gradient can begin with the first.
    if (!in_pieces()) linear_weight_grad(b.down, act, dy_all);
    const BufferId dup = temporary(l, "d mlp.up", rows * b.up.out);
    const Activation activation = activation_of(b.mlp);
    if (is_gated(b.mlp)) {
        const BufferId dact = temporary(l, "d mlp.act", rows * b.ffn);
        linear_input_grad(b.down, dy_all, dact);
        const Kernel gate = b.mlp == Mlp::swiglu ? Kernel(SwiGluGrad{rows, b.ffn})
                                                 : Kernel(GeGluGrad{rows, b.ffn, activation});
        emit(gate, {start_of(dact), start_of(saved_up(l, b)), start_of(dup)});
    } else {
        linear_input_grad(b.down, dy_all, dup, activation,
                          needs_argument(activation) ? saved_up(l, b) : act);
    }
    if (in_pieces()) linear_weight_grad(b.down, act, dy_all);
    return dup;
}

BufferId LayerLowering::mlp_up_backward(std::size_t l, const BlockLayer& b, BufferId dup) {
    const std::int64_t local = context_.local_rows() * b.hidden;
    const BufferId dy2 = temporary(l, "d mlp_norm", local), y2 = saved(l, "mlp_norm", local);
    cast_original(y2);
    column_gradients(l, "mlp_norm", "d mlp_norm partial", b.up, y2, dup, dy2);
    return dy2;
}

BufferId LayerLowering::block_mlp_backward(std::size_t l, const BlockLayer& b, BufferId dy,
                                           BufferId dy_all) {
    const std::int64_t local = context_.local_rows() * b.hidden;
    const BufferId s = b.parallel_residual ? inputs_[l].buffer : residual_sum(l, b);
    const BufferId dy2 =
        b.has_experts() ? block_experts_backward(l, b, dy) : mlp_backward(l, b, dy_all);
    const BufferId ds = temporary(l, "d attention.residual", local);
    norm_grad(b.mlp_norm, b.hidden, dy2, s, norm_stats(l, "mlp_norm.stats", b.mlp_norm), dy, ds);
    return ds;
}

BufferId LayerLowering::block_qkv_backward(std::size_t l, const BlockLayer& b, BufferId dqkv) {
    const std::int64_t rows = context_.rows();
    if (b.rotary_dim > 0) emit(rope_of(b, rows, true), {start_of(dqkv)});
    const HeadNormParameters& p = b.head_norm;
    if (!p.query.valid()) return dqkv;
    const BufferId before = saved(l, "attention.unnormed", rows * normed_width(b));
    const BufferId stats = head_norm_stats(l, b);
    if (norm_weights_now()) {
        const auto query = parameters_.gradient(p.query), key = parameters_.gradient(p.key);
        emit(HeadNormWeightGrad{rows, b.heads, b.kv_heads, b.head_dim, query.accumulate},
             {start_of(dqkv), start_of(before), start_of(stats), query.operand, key.operand});
    }
    const BufferId unnormed = temporary(l, "d unnormed qkv", rows * qkv_width(b));
    emit(HeadNormInputGrad{rows, b.heads, b.kv_heads, b.head_dim},
         {start_of(dqkv), start_of(before), start_of(stats), parameters_.value(p.query),
          parameters_.value(p.key), start_of(unnormed)});
    return unnormed;
}

BufferId LayerLowering::qkv_backward(std::size_t l, const BlockLayer& b, BufferId dqkv) {
    if (b.is_latent()) return latent_qkv_backward(l, b, dqkv);
    const std::int64_t local = context_.local_rows() * b.hidden;
    const BufferId dx1 = block_qkv_backward(l, b, dqkv);
    const BufferId dy1 = temporary(l, "d attention_norm", local);
    column_gradients(l, "attention_norm", "d attention_norm partial", b.qkv,
                     saved(l, "attention_norm", local), dx1, dy1);
    return dy1;
}

BufferId LayerLowering::attention_core_backward(std::size_t l, const BlockLayer& b, BufferId d_o) {
    const std::int64_t rows = context_.rows();
    const Attention a = attention_of(b, context_.layout.micro_batch, context_.strategy.attention);
    const AttentionGrad g{
        a.samples,  a.seq, a.heads, a.kv_heads, a.head_dim, a.kind, context_.target.threads,
        a.value_dim};
    const bool tiled = context_.target.tiled_attention_workspace;
    const BufferId dqkv = temporary(l, "d qkv", rows * a.qkv_width());
    emit(g, {start_of(d_o), start_of(saved(l, "qkv", rows * a.qkv_width())),
             start_of(saved(l, "attention", rows * b.heads * b.value_dim)),
             start_of(attention_stats(l, a)), start_of(dqkv),
             start_of(temporary(l, "d attention.tile", tiled ? attention_workspace_elements(g) : 0,
                                context_.state))});
    return dqkv;
}

BufferId LayerLowering::block_attention_backward(std::size_t l, const BlockLayer& b,
                                                 BufferId dy_all, BufferId dresidual) {
    const std::int64_t rows = context_.rows(), q = b.heads * b.value_dim;
    const std::int64_t local = context_.local_rows() * b.hidden;
    BufferId o = saved(l, "attention", rows * q);
    // Selective recomputation makes attention's output again, but not the copy that the projection made of it.
    if (casts_operands() && recomputes_attention() && !keeps_originals())
        o = named(l, "attention", Variant::plain, rows * q, context_.storage,
                  Category::activations);
    keep_original(o);
    cast_original(o);
    if (!in_pieces()) linear_weight_grad(b.projection, o, dy_all);
    const BufferId d_o = temporary(l, "d attention", rows * q);
    linear_input_grad(b.projection, dy_all, d_o);
    if (in_pieces()) linear_weight_grad(b.projection, o, dy_all);
    const BufferId dqkv = context_.cp.valid() ? context_attention_backward(l, b, d_o)
                                              : attention_core_backward(l, b, d_o);
    const BufferId dy1 = qkv_backward(l, b, dqkv);
    const BufferId dx = temporary(l, "d input", local);
    norm_grad(b.attention_norm, b.hidden, dy1, inputs_[l].buffer,
              norm_stats(l, "attention_norm.stats", b.attention_norm), dresidual, dx);
    return dx;
}

BufferId LayerLowering::backward_layer(std::size_t l, const BlockLayer& b, BufferId dy) {
    // Experts take the rows of their own tokens.
    const BufferId dy_all = b.has_experts() ? dy : all_rows(l, "d output", dy, b.hidden);
    const BufferId ds = block_mlp_backward(l, b, dy, dy_all);
    const BufferId ds_all =
        b.parallel_residual ? dy_all : all_rows(l, "d attention.residual", ds, b.hidden);
    return block_attention_backward(l, b, ds_all, ds);
}

Value LayerLowering::forward_layer(std::size_t l, const HeadLayer& head, const Value& x) {
    const BufferId y = saved(l, "norm", context_.local_rows() * head.hidden);
    norm(head.norm, head.hidden, x.buffer, y, norm_stats(l, "norm.stats", head.norm));
    const BufferId logits = saved(l, "logits", context_.rows() * head.vocab);
    linear(head.classifier, all_rows(l, "norm", y, head.hidden), logits);
    loss_of(l, logits, head.classifier.parallel == TensorParallel::column);
    return {logits, head.vocab, Activation::none, {}};
}

// Our kernels compute the gradient in place; what a product has beside the logits is only there.
void LayerLowering::stand_beside_logits(const HeadLayer& head) {
    if (!context_.rules.keeps_logits) return;
    const std::size_t l = context_.chunks.back().last - 1;
    emit(Zero{1}, {start_of(saved(l, "beside the logits", context_.rows() * head.vocab))});
}

// Each a cross entropy in fp32: the logits made wide, then the logarithm of their softmax.
void LayerLowering::evaluate_metrics(const LayerRange& layers) {
    const std::size_t l = layers.last - 1;
    const auto* head = std::get_if<HeadLayer>(&context_.model.layers[l].kind);
    if (head == nullptr || context_.rules.loss_metrics == 0) return;
    const std::int64_t elements = context_.rows() * head->vocab;
    const BufferId logits = saved(l, "logits", elements);
    const BufferId wide = temporary(l, "logits (fp32)", elements, context_.state);
    const BufferId logarithms = temporary(l, "log-probabilities", elements, context_.state);
    auto& b = context_.builder;
    b.at(Phase::backward, static_cast<std::int32_t>(l));
    for (int i = 0; i < context_.rules.loss_metrics; ++i) {
        b.compute(Copy{elements}, context_.storage, context_.state,
                  {start_of(logits), start_of(wide)});
        b.compute(Copy{elements}, context_.state, context_.state,
                  {start_of(wide), start_of(logarithms)});
    }
}

BufferId LayerLowering::backward_layer(std::size_t l, const HeadLayer& head, BufferId) {
    const std::int64_t local = context_.local_rows() * head.hidden;
    const BufferId dlogits = saved(l, "logits", context_.rows() * head.vocab);
    if (context_.rules.placeholder_gradients) {
        const BufferId placeholder =
            temporary(l, "placeholder gradient", head.classifier.in * head.classifier.out);
        emit(Zero{1}, {start_of(placeholder)});
    }
    const BufferId dy = temporary(l, "d norm", local);
    column_gradients(l, "norm", "d norm partial", head.classifier, saved(l, "norm", local), dlogits,
                     dy);
    const BufferId dx = temporary(l, "d input", local);
    norm_grad(head.norm, head.hidden, dy, inputs_[l].buffer, norm_stats(l, "norm.stats", head.norm),
              {}, dx);
    stand_beside_logits(head);
    return dx;
}

}  // namespace shardscope
