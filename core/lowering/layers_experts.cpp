// The experts of a transformer block: routing, the way to the ranks of the experts and back, and what they
// compute; shared experts beside them.
//
// Routing is taken as balanced: every expert is sent the same number of rows, ExpertsSpec::capacity_factor
// times the mean. What is kept for the backward pass is what Megatron-LM's all-to-all dispatcher with
// grouped multiplies keeps: scores, weights and order of the rows, the experts' input, their gate and up
// products, and what the second multiply reads. Weights are applied before that multiply, so that its
// result need not be kept. The auxiliary loss is left out: a few sums over the scores.
#include <cmath>

#include "core/lowering/layers.h"

namespace shardscope {
LayerLowering::ExpertRows LayerLowering::rows_of(const BlockLayer& b) const {
    const Layout& layout = context_.layout;
    const double places = static_cast<double>(context_.local_rows() * b.experts.per_token) *
                          b.experts.capacity_factor;
    ExpertRows rows;
    // The ranks of the group are sent equal parts.
    rows.places = static_cast<std::int64_t>(std::ceil(places / layout.ep)) * layout.ep;
    rows.here = rows.places * layout.etp;
    rows.experts = b.experts.local;
    rows.moves = layout.ep > 1 || layout.etp > 1;
    return rows;
}

BufferId LayerLowering::chosen(std::size_t l, const ExpertRows& rows) {
    return saved(l, "router.chosen", rows.places, DType::int32);
}

BufferId LayerLowering::expert_weights(std::size_t l, const ExpertRows& rows) {
    return rows.moves ? saved(l, "experts.weights", rows.here, context_.state)
                      : saved(l, "router.weights", rows.places, context_.state);
}

void LayerLowering::permute(const Permute& kernel, DType type, BufferId x, BufferId order,
                            BufferId y) {
    if (part_ == BackwardPart::weight) return;
    context_.builder.compute(kernel, type, context_.gradient,
                             {start_of(x), start_of(order), start_of(y)});
}

BufferId LayerLowering::on_the_way(std::size_t l, const char* what, std::int64_t rows,
                                   const Journey& way) {
    return named(l, what, Variant::plain, rows * way.width, way.type, Category::communication);
}

// An all-to-all among the ranks that share experts, an all-gather among those that share each expert, and
// the rows of each expert together, which come apart by sender.
void LayerLowering::to_experts(std::size_t l, const ExpertRows& rows, const Journey& way,
                               BufferId from, BufferId to) {
    if (part_ == BackwardPart::weight) return;
    const bool gathers = context_.etp.valid(), sorts = rows.experts > 1;
    BufferId last = from;
    if (context_.layout.ep > 1) {
        const BufferId next = gathers || sorts ? on_the_way(l, way.second, rows.places, way) : to;
        collective(context_.ep, CollectiveKind::all_to_all, last, next, rows.places * way.width,
                   way.type);
        last = next;
    }
    if (gathers) {
        const BufferId next = sorts ? on_the_way(l, way.third, rows.here, way) : to;
        collective(context_.etp, CollectiveKind::all_gather, last, next, rows.here * way.width,
                   way.type);
        last = next;
    }
    if (sorts) permute({rows.here, rows.here, way.width}, way.type, last, {}, to);
}

void LayerLowering::from_experts(std::size_t l, const ExpertRows& rows, const Journey& way,
                                 BufferId from, BufferId to) {
    if (part_ == BackwardPart::weight) return;
    const bool exchanges = context_.layout.ep > 1;
    BufferId last = from;
    if (rows.experts > 1) {
        last = on_the_way(l, way.third, rows.here, way);
        permute({rows.here, rows.here, way.width}, way.type, from, {}, last);
    }
    if (context_.etp.valid()) {
        const BufferId next = exchanges ? on_the_way(l, way.second, rows.places, way) : to;
        collective(context_.etp, CollectiveKind::reduce_scatter, last, next, rows.here * way.width,
                   way.type);
        last = next;
    }
    if (exchanges)
        collective(context_.ep, CollectiveKind::all_to_all, last, to, rows.places * way.width,
                   way.type);
}

void LayerLowering::tokens_to_experts(std::size_t l, const BlockLayer& b, const Journey& way,
                                      BufferId x, BufferId to) {
    const ExpertRows rows = rows_of(b);
    const BufferId placed = rows.moves ? on_the_way(l, way.first, rows.places, way) : to;
    permute({context_.local_rows(), rows.places, way.width}, way.type, x, chosen(l, rows), placed);
    if (rows.moves) to_experts(l, rows, way, placed, to);
}

void LayerLowering::tokens_from_experts(std::size_t l, const BlockLayer& b, const Journey& way,
                                        BufferId from, BufferId residual, BufferId y) {
    const ExpertRows rows = rows_of(b);
    const BufferId placed = rows.moves ? on_the_way(l, way.first, rows.places, way) : from;
    if (rows.moves) from_experts(l, rows, way, from, placed);
    emit(Unpermute{context_.local_rows(), rows.places, b.hidden, residual.valid()},
         {start_of(placed), start_of(chosen(l, rows)), start_of(residual), start_of(y)});
}

void LayerLowering::route(std::size_t l, const BlockLayer& b) {
    const ExpertRows rows = rows_of(b);
    const std::int64_t local = context_.local_rows(), scores = local * b.experts.count;
    const BufferId logits = temporary(l, "router.logits", scores);
    linear(b.experts.router, saved(l, "mlp_norm", local * b.hidden), logits, wide_tokens());
    const BufferId weights = saved(l, "router.weights", rows.places, context_.state);
    emit(Route{local, b.experts.count, rows.places},
         {start_of(logits), start_of(saved(l, "router.scores", scores, context_.state)),
          start_of(weights), start_of(chosen(l, rows))});
    if (rows.moves)
        to_experts(l, rows,
                   {"", "experts.weights received", "experts.weights unsorted", 1, context_.state},
                   weights, expert_weights(l, rows));
}

// residual + the shared experts, which all tokens go through.
BufferId LayerLowering::shared_experts(std::size_t l, const BlockLayer& b, BufferId residual,
                                       bool whole) {
    if (b.ffn == 0) return residual;
    const std::int64_t rows = context_.rows(), tokens = context_.local_rows();
    const std::int64_t local = tokens * b.hidden;
    const LinearParameters& gate = b.experts.shared_gate;
    block_mlp_inner(l, b);
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

Value LayerLowering::block_experts(std::size_t l, const BlockLayer& b, BufferId residual,
                                   bool whole) {
    const ExpertsParameters& e = b.experts;
    const ExpertRows rows = rows_of(b);
    const Rows each{rows.here, rows.experts};
    const std::int64_t local = context_.local_rows() * b.hidden;
    const BufferId base = shared_experts(l, b, residual, whole);
    route(l, b);
    const BufferId input = saved(l, "experts.input", rows.here * b.hidden);
    tokens_to_experts(
        l, b, {"experts.sent", "experts.received", "experts.unsorted", b.hidden, context_.storage},
        saved(l, "mlp_norm", local), input);
    const BufferId up = saved(l, "experts.up", rows.here * e.up.out);
    const BufferId act = saved(l, "experts.act", rows.here * e.ffn);
    linear(e.up, input, up, each);
    emit(SwiGlu{rows.here, e.ffn, true},
         {start_of(up), start_of(act), start_of(expert_weights(l, rows))});
    if (!whole) return {};
    const BufferId made = temporary(l, "experts.output", rows.here * b.hidden);
    linear(e.down, act, made, each);
    const BufferId out = saved(l, "output", local);
    tokens_from_experts(l, b,
                        {"experts.returned", "experts.summed", "experts.output unsorted", b.hidden,
                         context_.storage},
                        made, base, out);
    return {out, b.hidden, Activation::none, {}};
}

// Of the shared experts' part of the block's normalised input.
BufferId LayerLowering::shared_experts_backward(std::size_t l, const BlockLayer& b, BufferId dy) {
    const std::int64_t tokens = context_.local_rows(), local = tokens * b.hidden;
    const LinearParameters& gate = b.experts.shared_gate;
    if (!gate.weight.valid()) return mlp_backward(l, b, all_rows(l, "d output", dy, b.hidden));
    const BufferId dout = temporary(l, "d shared.output", local);
    const BufferId dgate = temporary(l, "d shared.gate", tokens);
    emit(GateRowsGrad{tokens, b.hidden},
         {start_of(dy), start_of(saved(l, "shared.output", local)),
          start_of(saved(l, "shared.gate", tokens)), start_of(dout), start_of(dgate)});
    const BufferId dy2 = mlp_backward(l, b, all_rows(l, "d shared.output", dout, b.hidden));
    linear_weight_grad(gate, saved(l, "mlp_norm", local), dgate, wide_tokens());
    const BufferId part = temporary(l, "d mlp_norm through the gate", local);
    linear_input_grad(gate, dgate, part, wide_tokens());
    add(dy2, part, local);
    return dy2;
}

// Of the router's part of the block's normalised input, from the gradient of the experts' weights.
BufferId LayerLowering::route_backward(std::size_t l, const BlockLayer& b, BufferId dweights) {
    const ExpertRows rows = rows_of(b);
    const std::int64_t tokens = context_.local_rows(), scores = tokens * b.experts.count;
    if (rows.moves) {
        const BufferId mine = temporary(l, "d router.weights", rows.places, context_.state);
        from_experts(
            l, rows,
            {"", "d experts.weights summed", "d experts.weights unsorted", 1, context_.state},
            dweights, mine);
        dweights = mine;
    }
    const BufferId dlogits = temporary(l, "d router.logits", scores);
    emit(RouteGrad{tokens, b.experts.count, rows.places},
         {start_of(dweights), start_of(saved(l, "router.scores", scores, context_.state)),
          start_of(chosen(l, rows)), start_of(dlogits)});
    const BufferId y2 = saved(l, "mlp_norm", tokens * b.hidden);
    linear_weight_grad(b.experts.router, y2, dlogits, wide_tokens());
    const BufferId part = temporary(l, "d mlp_norm through the router", tokens * b.hidden);
    linear_input_grad(b.experts.router, dlogits, part, wide_tokens());
    return part;
}

BufferId LayerLowering::block_experts_backward(std::size_t l, const BlockLayer& b, BufferId dy) {
    const ExpertsParameters& e = b.experts;
    const ExpertRows rows = rows_of(b);
    const Rows each{rows.here, rows.experts};
    const std::int64_t local = context_.local_rows() * b.hidden, all = rows.here * b.hidden;
    const BufferId dout = temporary(l, "d experts.output", all);
    tokens_to_experts(l, b,
                      {"d experts.output sent", "d experts.output received",
                       "d experts.output unsorted", b.hidden, context_.storage},
                      dy, dout);
    linear_weight_grad(e.down, saved(l, "experts.act", rows.here * e.ffn), dout, each);
    const BufferId dact = temporary(l, "d experts.act", rows.here * e.ffn);
    linear_input_grad(e.down, dout, dact, each);
    const BufferId dup = temporary(l, "d experts.up", rows.here * e.up.out);
    const BufferId dweights = temporary(l, "d experts.weights", rows.here, context_.state);
    emit(SwiGluGrad{rows.here, e.ffn, true},
         {start_of(dact), start_of(saved(l, "experts.up", rows.here * e.up.out)), start_of(dup),
          start_of(expert_weights(l, rows)), start_of(dweights)});
    linear_weight_grad(e.up, saved(l, "experts.input", all), dup, each);
    const BufferId dinput = temporary(l, "d experts.input", all);
    linear_input_grad(e.up, dup, dinput, each);
    const BufferId dy2 = temporary(l, "d mlp_norm through experts", local);
    tokens_from_experts(l, b,
                        {"d experts.input returned", "d experts.input summed",
                         "d experts.input unsorted", b.hidden, context_.storage},
                        dinput, {}, dy2);
    add(dy2, route_backward(l, b, dweights), local);
    if (b.ffn > 0) add(dy2, shared_experts_backward(l, b, dy), local);
    return dy2;
}

}  // namespace shardscope
