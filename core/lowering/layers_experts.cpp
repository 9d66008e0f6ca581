// The experts of a transformer block: routing, and what they compute; shared experts beside them. The way to the ranks
// of the experts and back is in layers_dispatch.cpp.
//
// Routing is taken as balanced: every expert is sent the same number of rows, ExpertsSpec::capacity_factor
// times the mean. What is kept for the backward pass is what Megatron-LM's all-to-all dispatcher with
// grouped multiplies keeps: scores, weights and order of the rows, the experts' input, their gate and up
// products, and what the second multiply reads. Weights are applied before that multiply, so that its
// result need not be kept. The auxiliary loss is left out: a few sums over the scores.
#include "core/lowering/layers.h"

namespace shardscope {
void LayerLowering::route(std::size_t l, const BlockLayer& b) {
    const ExpertRows rows = rows_of(b);
    const std::int64_t local = context_.local_rows(), scores = local * b.experts.count;
    const BufferId logits = temporary(l, "router.logits", scores);
    linear(b.experts.router, saved(l, "mlp_norm", local * b.hidden), logits, wide_tokens());
    const std::int64_t table = rows.copied() ? local * rows.columns : rows.places;
    const BufferId weights = saved(l, "router.weights", table, context_.state);
    emit(Route{local, b.experts.count, table},
         {start_of(logits), start_of(saved(l, "router.scores", scores, context_.state)),
          start_of(weights), start_of(chosen(l, rows))});
    if (rows.moves && !rows.copied())
        send_places(l, rows,
                    {"", "experts.weights received", "experts.weights unsorted", 1, context_.state},
                    weights, expert_weights(l, rows));
}

// residual + what the shared experts give, which all tokens go through.
BufferId LayerLowering::shared_experts_output(std::size_t l, const BlockLayer& b, BufferId residual,
                                              bool whole) {
    const std::int64_t rows = context_.rows(), tokens = context_.local_rows();
    const std::int64_t local = tokens * b.hidden;
    const LinearParameters& gate = b.experts.shared_gate;
    const BufferId act = saved(l, "mlp.act", rows * b.ffn);
    const BufferId sum = temporary(l, "shared.residual", local);
    if (!gate.weight.valid()) {
        if (whole) summed_linear(l, b.down, act, sum, residual);
        return sum;
    }
    const BufferId out = saved(l, "shared.output", local), logits = saved(l, "shared.gate", tokens);
    summed_linear(l, b.down, act, out, {});
    linear(gate, saved(l, "mlp_norm", local), logits, wide_tokens());
    if (whole)
        emit(GateRows{tokens, b.hidden, true},
             {start_of(out), start_of(logits), start_of(residual), start_of(sum)});
    return sum;
}

// Shared experts before the others, or their two linear layers while tokens are on their way there and back.
Value LayerLowering::block_experts(std::size_t l, const BlockLayer& b, BufferId residual,
                                   bool whole) {
    const ExpertsParameters& e = b.experts;
    const ExpertRows rows = rows_of(b);
    const Rows each{rows.here, rows.experts};
    const std::int64_t local = context_.local_rows() * b.hidden;
    const bool first = b.ffn > 0 && !computes_meanwhile(b);
    meanwhile_ = computes_meanwhile(b);
    BufferId base = residual;
    if (first) {
        block_mlp_inner(l, b);
        base = shared_experts_output(l, b, residual, whole);
    }
    route(l, b);
    const BufferId input = saved(l, "experts.input", rows.here * b.hidden);
    send_tokens(l, b,
                {"experts.sent", "experts.received", "experts.unsorted", b.hidden, context_.storage,
                 "experts.tokens", "experts.ordered"},
                saved(l, "mlp_norm", local), input, true);
    if (meanwhile_) block_mlp_inner(l, b);
    arrive();
    const BufferId up = saved(l, "experts.up", rows.here * e.up.out);
    const BufferId act = saved(l, "experts.act", rows.here * e.ffn);
    linear(e.up, input, up, each);
    emit(SwiGlu{rows.here, e.ffn, true},
         {start_of(up), start_of(act), start_of(expert_weights(l, rows))});
    if (!whole) {
        if (meanwhile_) shared_experts_output(l, b, residual, whole);
        meanwhile_ = false;
        return {};
    }
    const BufferId made = temporary(l, "experts.output", rows.here * b.hidden);
    linear(e.down, act, made, each);
    const BufferId out = saved(l, "output", local);
    const Journey back{"experts.returned", "experts.summed", "experts.output unsorted", b.hidden,
                       context_.storage};
    return_tokens(l, b, back, made, out);
    if (meanwhile_) base = shared_experts_output(l, b, residual, whole);
    add_returned(l, b, back, made, base, out);
    meanwhile_ = false;
    return {out, b.hidden, Activation::none, {}};
}

BufferId LayerLowering::shared_down_backward(std::size_t l, const BlockLayer& b, BufferId dy) {
    const std::int64_t tokens = context_.local_rows(), local = tokens * b.hidden;
    const LinearParameters& gate = b.experts.shared_gate;
    if (!gate.weight.valid()) return mlp_down_backward(l, b, all_rows(l, "d output", dy, b.hidden));
    const BufferId dout = temporary(l, "d shared.output", local);
    const BufferId dgate = temporary(l, "d shared.gate", tokens);
    emit(GateRowsGrad{tokens, b.hidden},
         {start_of(dy), start_of(saved(l, "shared.output", local)),
          start_of(saved(l, "shared.gate", tokens)), start_of(dout), start_of(dgate)});
    return mlp_down_backward(l, b, all_rows(l, "d shared.output", dout, b.hidden));
}

// Of the shared experts' part of the block's normalised input.
BufferId LayerLowering::shared_up_backward(std::size_t l, const BlockLayer& b, BufferId dup) {
    const std::int64_t tokens = context_.local_rows(), local = tokens * b.hidden;
    const LinearParameters& gate = b.experts.shared_gate;
    const BufferId dy2 = mlp_up_backward(l, b, dup);
    if (!gate.weight.valid()) return dy2;
    const BufferId dgate = temporary(l, "d shared.gate", tokens);
    linear_weight_grad(gate, saved(l, "mlp_norm", local), dgate, wide_tokens());
    const BufferId part = temporary(l, "d mlp_norm through the gate", local);
    linear_input_grad(gate, dgate, part, wide_tokens());
    add(dy2, part, local);
    return dy2;
}

// Of the router's part of the block's normalised input, from the gradient of its tokens' weights.
BufferId LayerLowering::route_backward(std::size_t l, const BlockLayer& b, BufferId dweights) {
    const ExpertRows rows = rows_of(b);
    const std::int64_t tokens = context_.local_rows(), scores = tokens * b.experts.count;
    const std::int64_t table = rows.copied() ? tokens * rows.columns : rows.places;
    const BufferId dlogits = temporary(l, "d router.logits", scores);
    emit(RouteGrad{tokens, b.experts.count, table},
         {start_of(dweights), start_of(saved(l, "router.scores", scores, context_.state)),
          start_of(chosen(l, rows)), start_of(dlogits)});
    const BufferId y2 = saved(l, "mlp_norm", tokens * b.hidden);
    linear_weight_grad(b.experts.router, y2, dlogits, wide_tokens());
    const BufferId part = temporary(l, "d mlp_norm through the router", tokens * b.hidden);
    linear_input_grad(b.experts.router, dlogits, part, wide_tokens());
    return part;
}

BufferId LayerLowering::expert_weight_gradient(std::size_t l, const ExpertRows& rows) {
    return temporary(l, "d experts.weights", rows.here, context_.state);
}

// From the gradient of what the experts gave to those of their weights and of their input.
BufferId LayerLowering::experts_backward(std::size_t l, const BlockLayer& b, BufferId dout) {
    const ExpertsParameters& e = b.experts;
    const ExpertRows rows = rows_of(b);
    const Rows each{rows.here, rows.experts};
    const std::int64_t all = rows.here * b.hidden;
    linear_weight_grad(e.down, saved(l, "experts.act", rows.here * e.ffn), dout, each);
    const BufferId dact = temporary(l, "d experts.act", rows.here * e.ffn);
    linear_input_grad(e.down, dout, dact, each);
    const BufferId dup = temporary(l, "d experts.up", rows.here * e.up.out);
    const BufferId dweights = expert_weight_gradient(l, rows);
    emit(SwiGluGrad{rows.here, e.ffn, true},
         {start_of(dact), start_of(saved(l, "experts.up", rows.here * e.up.out)), start_of(dup),
          start_of(expert_weights(l, rows)), start_of(dweights)});
    linear_weight_grad(e.up, saved(l, "experts.input", all), dup, each);
    const BufferId dinput = temporary(l, "d experts.input", all);
    linear_input_grad(e.up, dup, dinput, each);
    return dinput;
}

BufferId LayerLowering::block_experts_backward(std::size_t l, const BlockLayer& b, BufferId dy) {
    const ExpertRows rows = rows_of(b);
    const std::int64_t local = context_.local_rows() * b.hidden;
    meanwhile_ = computes_meanwhile(b);
    const BufferId dout = temporary(l, "d experts.output", rows.here * b.hidden);
    send_tokens(l, b,
                {"d experts.output sent", "d experts.output received", "d experts.output unsorted",
                 b.hidden, context_.storage, "d output of experts", "d experts.output ordered"},
                dy, dout, false);
    BufferId shared_dup;
    if (meanwhile_) shared_dup = shared_down_backward(l, b, dy);
    arrive();
    const BufferId dinput = experts_backward(l, b, dout);
    const BufferId dweights = expert_weight_gradient(l, rows);
    const BufferId dy2 = temporary(l, "d mlp_norm through experts", local);
    const Journey back{"d experts.input returned", "d experts.input summed",
                       "d experts.input unsorted", b.hidden, context_.storage};
    BufferId mine = return_tokens(l, b, back, dinput, dy2, dweights);
    const auto return_weights = [&] {
        if (!rows.moves || rows.copied()) return;
        mine = temporary(l, "d router.weights", rows.places, context_.state);
        return_places(
            l, rows,
            {"", "d experts.weights summed", "d experts.weights unsorted", 1, context_.state},
            dweights, mine);
    };
    BufferId dshared;
    if (meanwhile_) {
        return_weights();
        dshared = shared_up_backward(l, b, shared_dup);
    }
    add_returned(l, b, back, dinput, {}, dy2);
    if (!meanwhile_) return_weights();
    add(dy2, route_backward(l, b, mine), local);
    if (b.ffn > 0 && !meanwhile_)
        dshared = shared_up_backward(l, b, shared_down_backward(l, b, dy));
    if (dshared.valid()) add(dy2, dshared, local);
    meanwhile_ = false;
    return dy2;
}

}  // namespace shardscope
