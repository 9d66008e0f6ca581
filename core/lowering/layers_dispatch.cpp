// How tokens come to the ranks of their experts and back (Strategy::dispatcher).
//
// Two ways. Places: a rank lays out a row per token and expert, and all-to-alls send each to its expert's rank
// (Megatron-LM's MoEAlltoAllTokenDispatcher). Copies: a rank's rows go to ranks as they are, with a table of weights and
// of marks, from which each rank takes what its experts are to compute; what they give is summed per row before it
// goes back. Copies go to all ranks by an all-gather (MoEAllGatherTokenDispatcher), or to those with an expert of the
// token by DeepEP's kernels (MoEFlexTokenDispatcher); either reaches all ranks that divide an expert, so that one
// collective does what an all-to-all and an all-gather do for places.
//
// How many rows come is the mean of balanced routing (TokenRouting), rounded up.
#include <cmath>
#include <utility>

#include "core/lowering/layers.h"

namespace shardscope {

LayerLowering::ExpertRows LayerLowering::rows_of(const BlockLayer& b) const {
    const Layout& layout = context_.layout;
    const ExpertsParameters& e = b.experts;
    const std::int64_t local = context_.local_rows();
    const double places = static_cast<double>(local * e.per_token) * e.capacity_factor;
    ExpertRows rows;
    // The ranks of the group are sent equal loads.
    rows.places = static_cast<std::int64_t>(std::ceil(places / layout.ep)) * layout.ep;
    rows.here = rows.places * layout.etp;
    rows.experts = e.local;
    rows.moves = layout.ep > 1 || layout.etp > 1;
    if (!rows.moves || context_.strategy.dispatcher == Dispatcher::all_to_all) return rows;
    rows.routing = {e.count,           e.per_token, e.groups, e.groups_per_token,
                    e.capacity_factor, layout.etp};
    const std::int64_t all = local * layout.ep * layout.etp;
    if (context_.strategy.dispatcher == Dispatcher::all_gather) {
        rows.come = all;
        rows.columns = e.count;
    } else {
        constexpr double kRounding = 1e-12;
        const double come = static_cast<double>(all) * rows.routing.reach(layout.ep);
        rows.come = static_cast<std::int64_t>(std::ceil(come * (1 - kRounding)));
        rows.columns = e.per_token * layout.etp;
    }
    return rows;
}

// The token at each place; of copies, what says which experts a row goes to: a map of them all, or their numbers.
BufferId LayerLowering::chosen(std::size_t l, const ExpertRows& rows) {
    if (!rows.copied()) return saved(l, "router.chosen", rows.places, DType::int32);
    const bool map = context_.strategy.dispatcher == Dispatcher::all_gather;
    return saved(l, "router.chosen", context_.local_rows() * rows.columns,
                 map ? DType::int8 : DType::int32);
}

// Of the copies that have come: the row at each place of the rank's experts.
BufferId LayerLowering::chosen_copies(std::size_t l, const ExpertRows& rows) {
    return saved(l, "experts.chosen", rows.here, DType::int32);
}

BufferId LayerLowering::expert_weights(std::size_t l, const ExpertRows& rows) {
    return rows.moves ? saved(l, "experts.weights", rows.here, context_.state)
                      : saved(l, "router.weights", rows.places, context_.state);
}

bool LayerLowering::computes_meanwhile(const BlockLayer& b) const {
    return context_.strategy.overlap_shared_experts && b.ffn > 0 &&
           (context_.layout.ep > 1 || context_.layout.etp > 1);
}

void LayerLowering::permute(const Permute& kernel, DType type, BufferId x, BufferId order,
                            BufferId y) {
    if (part_ == BackwardPart::weight) return;
    await(x);
    await(y);
    context_.builder.compute(kernel, type, context_.gradient,
                             {start_of(x), start_of(order), start_of(y)});
}

BufferId LayerLowering::on_the_way(std::size_t l, const char* what, std::int64_t rows,
                                   const Journey& way) {
    return named(l, what, way.variant, rows * way.width, way.type, Category::communication);
}

void LayerLowering::on_arrival(std::function<void()> work) {
    if (meanwhile_)
        arrivals_.push_back(std::move(work));
    else
        work();
}

void LayerLowering::arrive() {
    for (const auto& work : std::exchange(arrivals_, {})) work();
}

void LayerLowering::collective_of_experts(Collective c, bool follows) {
    if (part_ == BackwardPart::weight) return;
    auto& b = context_.builder;
    if (follows)
        on_the_way_.erase(c.send.buffer);  // the stream that brings it goes on with it
    else
        await(c.send.buffer);
    std::vector<BufferId> brought{c.recv.buffer};
    for (const Collective::Along& a : c.along) {
        await(a.send.buffer);
        brought.push_back(a.recv.buffer);
    }
    for (const BufferId buffer : brought) await(buffer);
    if (!meanwhile_) return b.collective(Stream::compute, std::move(c));
    b.wait(Stream::experts, b.record(Stream::compute));
    b.collective(Stream::experts, std::move(c));
    const EventId there = b.record(Stream::experts);
    for (const BufferId buffer : brought) on_the_way_[buffer] = {there};
}

void LayerLowering::exchange(GroupId group, CollectiveKind kind, BufferId from, BufferId to,
                             std::int64_t elements, DType type, bool follows) {
    collective_of_experts({.kind = kind,
                           .group = group,
                           .elements = elements,
                           .dtype = type,
                           .send = start_of(from),
                           .recv = start_of(to)},
                          follows);
}

// An all-to-all among the ranks that share experts, an all-gather among those that share each expert, and
// the rows of each expert together, which come apart by sender.
void LayerLowering::send_places(std::size_t l, const ExpertRows& rows, const Journey& way,
                                BufferId from, BufferId to) {
    if (part_ == BackwardPart::weight) return;
    const bool gathers = context_.etp.valid(), sorts = rows.experts > 1;
    const bool exchanges = context_.layout.ep > 1;
    BufferId last = from;
    if (exchanges) {
        const BufferId next = gathers || sorts ? on_the_way(l, way.second, rows.places, way) : to;
        exchange(context_.ep, CollectiveKind::all_to_all, last, next, rows.places * way.width,
                 way.type);
        last = next;
    }
    if (gathers) {
        const BufferId next = sorts ? on_the_way(l, way.third, rows.here, way) : to;
        exchange(context_.etp, CollectiveKind::all_gather, last, next, rows.here * way.width,
                 way.type, exchanges);
        last = next;
    }
    if (sorts)
        on_arrival([=, this] {
            permute({rows.here, rows.here, way.width}, way.type, last, {}, to);
        });
}

void LayerLowering::return_places(std::size_t l, const ExpertRows& rows, const Journey& way,
                                  BufferId from, BufferId to) {
    if (part_ == BackwardPart::weight) return;
    const bool exchanges = context_.layout.ep > 1, sums = context_.etp.valid();
    BufferId last = from;
    if (rows.experts > 1) {
        last = on_the_way(l, way.third, rows.here, way);
        permute({rows.here, rows.here, way.width}, way.type, from, {}, last);
    }
    if (sums) {
        const BufferId next = exchanges ? on_the_way(l, way.second, rows.places, way) : to;
        exchange(context_.etp, CollectiveKind::reduce_scatter, last, next, rows.here * way.width,
                 way.type);
        last = next;
    }
    if (exchanges)
        exchange(context_.ep, CollectiveKind::all_to_all, last, to, rows.places * way.width,
                 way.type, sums);
}

// One byte per element and the scales; both take the same way.
std::vector<LayerLowering::Load> LayerLowering::cast_load(std::size_t l, const ExpertRows& rows,
                                                          const Load& load) {
    const std::int64_t local = context_.local_rows();
    Journey numbers = load.way, scales = load.way;
    numbers.type = DType::int8;
    numbers.variant = Variant::narrow;
    scales.type = context_.state;
    scales.width = load.way.width / kDispatchBlock;
    scales.variant = Variant::scales;
    std::vector<Load> loads;
    for (const Journey& way : {numbers, scales})
        loads.push_back(
            {way, on_the_way(l, way.cast, local, way), on_the_way(l, way.ordered, rows.here, way)});
    emit(Quantise{local * load.way.width, kDispatchBlock, 8},
         {start_of(load.x), start_of(loads[0].x), start_of(loads[1].x)});
    return loads;
}

void LayerLowering::send_tokens(std::size_t l, const BlockLayer& b, const Journey& way, BufferId x,
                                BufferId to, bool weights) {
    const ExpertRows rows = rows_of(b);
    const std::int64_t local = context_.local_rows();
    if (!rows.moves)
        return permute({local, rows.places, way.width}, way.type, x, chosen(l, rows), to);
    std::vector<Load> loads{{way, x, to}};
    const bool narrow = context_.strategy.dispatch_precision == DispatchPrecision::fp8;
    if (narrow) loads = cast_load(l, rows, loads.front());
    if (rows.copied()) {
        send_copies(l, rows, loads, weights);
    } else {
        for (const Load& load : loads) {
            const Journey& mine = load.way;
            const BufferId placed = on_the_way(l, mine.first, rows.places, mine);
            permute({local, rows.places, mine.width}, mine.type, load.x, chosen(l, rows), placed);
            send_places(l, rows, mine, placed, load.to);
        }
    }
    if (!narrow) return;
    on_arrival([=, this] {
        emit(Dequantise{rows.here * way.width, 1, kDispatchBlock, 8},
             {start_of(loads[0].to), start_of(loads[1].to), start_of(to)});
    });
}

// Weights and marks of all rows that come, from which a rank takes what is its own. They are gathered, or go
// along with the rows.
std::vector<Collective::Along> LayerLowering::send_table(std::size_t l, const ExpertRows& rows) {
    const std::int64_t mine = context_.local_rows() * rows.columns, all = rows.come * rows.columns;
    const BufferId marks = chosen(l, rows);
    const BufferId weights = saved(l, "router.weights", mine, context_.state);
    const auto coming = [&](const char* what, DType type) {
        return named(l, what, Variant::plain, all, type, Category::communication);
    };
    const DType mark = type_of(marks);
    const BufferId all_marks = coming("experts.marks received", mark);
    const BufferId all_weights = coming("experts.weights received", context_.state);
    std::vector<Collective::Along> along;
    const bool map = context_.strategy.dispatcher == Dispatcher::all_gather;
    if (map) {
        exchange(context_.tokens, CollectiveKind::all_gather, marks, all_marks, all, mark);
        exchange(context_.tokens, CollectiveKind::all_gather, weights, all_weights, all,
                 context_.state);
    } else {
        along = {{mine, mark, start_of(marks), start_of(all_marks)},
                 {mine, context_.state, start_of(weights), start_of(all_weights)}};
    }
    return along;
}

void LayerLowering::select_copies(std::size_t l, const ExpertRows& rows) {
    const bool map = context_.strategy.dispatcher == Dispatcher::all_gather;
    const std::int64_t all = rows.come * rows.columns;
    const auto came = [&](const char* what, DType type) {
        return start_of(named(l, what, Variant::plain, all, type, Category::communication));
    };
    emit(SelectRows{rows.come, rows.columns, rows.here, map},
         {came("experts.marks received", map ? DType::int8 : DType::int32),
          came("experts.weights received", context_.state), start_of(chosen_copies(l, rows)),
          start_of(expert_weights(l, rows))});
}

Collective LayerLowering::routed(CollectiveKind kind, const ExpertRows& rows, const Journey& way,
                                 BufferId from, BufferId to) const {
    return {.kind = kind,
            .group = context_.tokens,
            .elements = context_.local_rows() * way.width,
            .dtype = way.type,
            .send = start_of(from),
            .recv = start_of(to),
            .routing = rows.routing,
            .width = way.width};
}

void LayerLowering::send_copies(std::size_t l, const ExpertRows& rows,
                                const std::vector<Load>& loads, bool weights) {
    std::vector<Collective::Along> along;
    if (weights) along = send_table(l, rows);
    std::vector<BufferId> came;
    for (const Load& load : loads)
        came.push_back(on_the_way(l, load.way.second, rows.come, load.way));
    if (context_.strategy.dispatcher == Dispatcher::all_gather) {
        for (std::size_t i = 0; i < loads.size(); ++i)
            exchange(context_.tokens, CollectiveKind::all_gather, loads[i].x, came[i],
                     rows.come * loads[i].way.width, loads[i].way.type);
    } else {
        Collective c = routed(CollectiveKind::dispatch, rows, loads[0].way, loads[0].x, came[0]);
        c.along = std::move(along);
        for (std::size_t i = 1; i < loads.size(); ++i)
            c.along.push_back({context_.local_rows() * loads[i].way.width, loads[i].way.type,
                               start_of(loads[i].x), start_of(came[i])});
        collective_of_experts(std::move(c));
    }
    if (weights) on_arrival([=, this] { select_copies(l, rows); });
    for (std::size_t i = 0; i < loads.size(); ++i)
        on_arrival([=, this, load = loads[i], from = came[i]] {
            permute({rows.come, rows.here, load.way.width}, load.way.type, from,
                    chosen_copies(l, rows), load.to);
        });
}

BufferId LayerLowering::return_copies(std::size_t l, const ExpertRows& rows, const Journey& way,
                                      BufferId from, BufferId to, BufferId dweights) {
    const BufferId summed = on_the_way(l, way.second, rows.come, way);
    const Operand order = start_of(chosen_copies(l, rows));
    emit(Unpermute{rows.come, rows.here, way.width, false},
         {start_of(from), order, {}, start_of(summed)});
    const std::int64_t local = context_.local_rows() * rows.columns;
    const std::int64_t all = rows.come * rows.columns;
    BufferId table, mine;
    if (dweights.valid()) {
        table = named(l, "d experts.weights of rows", Variant::plain, all, context_.state,
                      Category::communication);
        mine = temporary(l, "d router.weights", local, context_.state);
        emit(SelectRowsGrad{rows.come, rows.columns, rows.here},
             {start_of(dweights), order, start_of(table)});
    }
    if (context_.strategy.dispatcher == Dispatcher::all_gather) {
        exchange(context_.tokens, CollectiveKind::reduce_scatter, summed, to, rows.come * way.width,
                 way.type);
        if (table.valid())
            exchange(context_.tokens, CollectiveKind::reduce_scatter, table, mine, all,
                     context_.state);
        return mine;
    }
    Collective c = routed(CollectiveKind::combine, rows, way, summed, to);
    if (table.valid()) c.along = {{local, context_.state, start_of(table), start_of(mine)}};
    collective_of_experts(std::move(c));
    return mine;
}

BufferId LayerLowering::return_tokens(std::size_t l, const BlockLayer& b, const Journey& way,
                                      BufferId from, BufferId to, BufferId dweights) {
    const ExpertRows rows = rows_of(b);
    if (!rows.moves) return dweights;
    if (rows.copied()) return return_copies(l, rows, way, from, to, dweights);
    const BufferId placed = on_the_way(l, way.first, rows.places, way);
    return_places(l, rows, way, from, placed);
    return {};
}

void LayerLowering::add_returned(std::size_t l, const BlockLayer& b, const Journey& way,
                                 BufferId from, BufferId residual, BufferId y) {
    const ExpertRows rows = rows_of(b);
    const std::int64_t local = context_.local_rows();
    if (rows.copied()) {
        if (residual.valid())
            emit(BiasResidual{local, b.hidden, false, true}, {start_of(y), {}, start_of(residual)});
        return;
    }
    const BufferId placed = rows.moves ? on_the_way(l, way.first, rows.places, way) : from;
    emit(Unpermute{local, rows.places, b.hidden, residual.valid()},
         {start_of(placed), start_of(chosen(l, rows)), start_of(residual), start_of(y)});
}

}  // namespace shardscope
