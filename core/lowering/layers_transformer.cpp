// Embedding, transformer block and head.
#include "core/lowering/layers.h"

namespace shardscope {
namespace {

Operand at(BufferId buffer) { return {buffer, 0, 0}; }

std::int64_t qkv_width(const BlockLayer& b) { return (b.heads + 2 * b.kv_heads) * b.head_dim; }

Attention attention_of(const BlockLayer& b, std::int64_t samples, AttentionKind kind) {
    return {samples, b.seq, b.heads, b.kv_heads, b.head_dim, kind};
}

}  // namespace

Value LayerLowering::forward_layer(std::size_t l, const EmbeddingLayer& e, const Value& x) {
    const BufferId y = saved(l, "output", context_.rows() * e.hidden);
    emit(Embedding{context_.rows(), e.seq, e.vocab, e.hidden},
         {at(x.buffer), parameters_.value(e.table), parameters_.value(e.positions), at(y)});
    return {y, e.hidden, Activation::none, {}};
}

BufferId LayerLowering::backward_layer(std::size_t l, const EmbeddingLayer& e, BufferId dy) {
    const auto table = parameters_.gradient(e.table);
    const auto positions = parameters_.gradient(e.positions);
    emit(EmbeddingGrad{context_.rows(), e.seq, e.vocab, e.hidden, table.accumulate,
                       positions.accumulate},
         {at(inputs_[l].buffer), at(dy), table.operand, positions.operand});
    return {};
}

BufferId LayerLowering::attention_stats(std::size_t l, const Attention& a) {
    // Log-sum-exps need fp32; the probabilities of unfused attention are activations like any other.
    const DType type = a.kind == AttentionKind::flash ? context_.state : context_.storage;
    return saved(l, "attention.stats", attention_stats_elements(a), type);
}

Value LayerLowering::forward_layer(std::size_t l, const BlockLayer& b, const Value& x) {
    const std::int64_t rows = context_.rows(), h = b.hidden, q = b.heads * b.head_dim;
    const BufferId y1 = saved(l, "attention_norm", rows * h);
    norm(b.attention_norm, h, x.buffer, y1,
         saved(l, "attention_norm.stats", stats_elements(b.attention_norm), context_.state));
    const BufferId qkv = saved(l, "qkv", rows * qkv_width(b));
    linear(b.qkv, y1, qkv);
    if (b.rotary)
        emit(Rope{rows, b.seq, b.heads, b.kv_heads, b.head_dim, b.rope_theta, false}, {at(qkv)});
    const Attention a = attention_of(b, context_.layout.micro_batch, context_.strategy.attention);
    const bool tiled = context_.target.tiled_attention_workspace;
    const BufferId o = saved(l, "attention", rows * q);
    emit(a, {at(qkv), at(o), at(attention_stats(l, a)),
             at(temporary(l, "attention.tile", tiled ? attention_workspace_elements(a) : 0,
                          context_.state))});
    const BufferId s = saved(l, "attention.residual", rows * h);
    linear(b.projection, o, s, x.buffer);
    const BufferId y2 = saved(l, "mlp_norm", rows * h);
    norm(b.mlp_norm, h, s, y2,
         saved(l, "mlp_norm.stats", stats_elements(b.mlp_norm), context_.state));
    const BufferId up = saved(l, "mlp.up", rows * b.up.out);
    const BufferId act = saved(l, "mlp.act", rows * b.ffn);
    if (b.swiglu) {
        linear(b.up, y2, up);
        emit(SwiGlu{rows, b.ffn}, {at(up), at(act)});
    } else {
        linear(b.up, y2, act, {}, Activation::gelu, up);
    }
    const BufferId out = saved(l, "output", rows * h);
    linear(b.down, act, out, s);
    return {out, h, Activation::none, {}};
}

BufferId LayerLowering::block_mlp_backward(std::size_t l, const BlockLayer& b, BufferId dy) {
    const std::int64_t rows = context_.rows();
    const BufferId s = saved(l, "attention.residual", rows * b.hidden);
    const BufferId act = saved(l, "mlp.act", rows * b.ffn);
    const BufferId up = saved(l, "mlp.up", rows * b.up.out);
    linear_weight_grad(b.down, act, dy);
    const BufferId dup = temporary(l, "d mlp.up", rows * b.up.out);
    if (b.swiglu) {
        const BufferId dact = temporary(l, "d mlp.act", rows * b.ffn);
        linear_input_grad(b.down, dy, dact);
        emit(SwiGluGrad{rows, b.ffn}, {at(dact), at(up), at(dup)});
    } else {
        linear_input_grad(b.down, dy, dup, Activation::gelu, up);
    }
    linear_weight_grad(b.up, saved(l, "mlp_norm", rows * b.hidden), dup);
    const BufferId dy2 = temporary(l, "d mlp_norm", rows * b.hidden);
    linear_input_grad(b.up, dup, dy2);
    const BufferId ds = temporary(l, "d attention.residual", rows * b.hidden);
    norm_grad(b.mlp_norm, b.hidden, dy2, s,
              saved(l, "mlp_norm.stats", stats_elements(b.mlp_norm), context_.state), dy, ds);
    return ds;
}

BufferId LayerLowering::block_attention_backward(std::size_t l, const BlockLayer& b, BufferId ds) {
    const std::int64_t rows = context_.rows(), q = b.heads * b.head_dim;
    const Attention a = attention_of(b, context_.layout.micro_batch, context_.strategy.attention);
    const AttentionGrad g{a.samples, a.seq, a.heads, a.kv_heads, a.head_dim, a.kind};
    const bool tiled = context_.target.tiled_attention_workspace;
    const BufferId o = saved(l, "attention", rows * q);
    linear_weight_grad(b.projection, o, ds);
    const BufferId d_o = temporary(l, "d attention", rows * q);
    linear_input_grad(b.projection, ds, d_o);
    const BufferId dqkv = temporary(l, "d qkv", rows * qkv_width(b));
    emit(g, {at(d_o), at(saved(l, "qkv", rows * qkv_width(b))), at(o), at(attention_stats(l, a)),
             at(dqkv),
             at(temporary(l, "d attention.tile", tiled ? attention_workspace_elements(g) : 0,
                          context_.state))});
    if (b.rotary)
        emit(Rope{rows, b.seq, b.heads, b.kv_heads, b.head_dim, b.rope_theta, true}, {at(dqkv)});
    linear_weight_grad(b.qkv, saved(l, "attention_norm", rows * b.hidden), dqkv);
    const BufferId dy1 = temporary(l, "d attention_norm", rows * b.hidden);
    linear_input_grad(b.qkv, dqkv, dy1);
    const BufferId dx = temporary(l, "d input", rows * b.hidden);
    norm_grad(b.attention_norm, b.hidden, dy1, inputs_[l].buffer,
              saved(l, "attention_norm.stats", stats_elements(b.attention_norm), context_.state),
              ds, dx);
    return dx;
}

BufferId LayerLowering::backward_layer(std::size_t l, const BlockLayer& b, BufferId dy) {
    return block_attention_backward(l, b, block_mlp_backward(l, b, dy));
}

Value LayerLowering::forward_layer(std::size_t l, const HeadLayer& head, const Value& x) {
    const std::int64_t rows = context_.rows();
    const BufferId y = saved(l, "norm", rows * head.hidden);
    norm(head.norm, head.hidden, x.buffer, y,
         saved(l, "norm.stats", stats_elements(head.norm), context_.state));
    const BufferId logits = saved(l, "logits", rows * head.vocab);
    linear(head.classifier, y, logits);
    loss_of(logits);
    return {logits, head.vocab, Activation::none, {}};
}

BufferId LayerLowering::backward_layer(std::size_t l, const HeadLayer& head, BufferId) {
    const std::int64_t rows = context_.rows();
    const BufferId y = saved(l, "norm", rows * head.hidden);
    const BufferId dlogits = saved(l, "logits", rows * head.vocab);
    linear_weight_grad(head.classifier, y, dlogits);
    const BufferId dy = temporary(l, "d norm", rows * head.hidden);
    linear_input_grad(head.classifier, dlogits, dy);
    const BufferId dx = temporary(l, "d input", rows * head.hidden);
    norm_grad(head.norm, head.hidden, dy, inputs_[l].buffer,
              saved(l, "norm.stats", stats_elements(head.norm), context_.state), {}, dx);
    return dx;
}

}  // namespace shardscope
