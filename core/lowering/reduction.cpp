#include "core/lowering/reduction.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/lowering/quantised.h"

namespace shardscope {
namespace {

constexpr int kGradientBits = 4;

}  // namespace

Reduction::Reduction(LoweringContext& context, ParameterBuffers& parameters)
    : context_(context),
      parameters_(parameters),
      last_writer_(context.units.size(), -1),
      bucket_(context.units.size()),
      written_(context.units.size()),
      wide_(context.units.size()),
      reduced_(context.units.size()),
      stages_(context.units.size()),
      copy_(context.units.size()),
      with_host_(context.units.size()) {
    // Backward visits layers from last to first, so the smallest layer that writes completes a unit.
    for (auto chunk = context.chunks.rbegin(); chunk != context.chunks.rend(); ++chunk)
        for (std::size_t l = chunk->last; l-- > chunk->first;) {
            const Layer& layer = context.model.layers[l];
            for (const auto* list : {&layer.parameters, &layer.borrowed})
                for (ParameterId p : *list)
                    last_writer_[context.places[p.index()].unit.index()] =
                        static_cast<std::int32_t>(l);
        }
}

bool Reduction::reduces() const { return kind_.last || context_.reduces_every_micro_batch(); }

bool Reduction::uses_bucket(const Unit& unit) const {
    if (context_.keeps_gradients_on_host(unit)) return true;
    if (!unit.group.valid() || !context_.strategy.reduces_every_micro_batch()) return false;
    // Stages 2 and 3 have no place for whole gradients; below, later micro-batches must be reduced
    // before they are added.
    return context_.zero >= 2 || !kind_.first;
}

void Reduction::begin_body(MicroBatchKind kind) {
    kind_ = kind;
    flights_.clear();
    late_.clear();
    leaving_ = {};
    for (std::size_t u = 0; u < context_.units.size(); ++u) {
        const Unit& unit = context_.units[u];
        if (context_.adds_written()) {
            if (!written_[u].valid())
                written_[u] = context_.builder.buffer("written gradients " + unit.name, unit.padded,
                                                      context_.written(), Category::workspace);
            parameters_.set_gradient(UnitId(u), written_[u]);
            continue;
        }
        if (!uses_bucket(unit)) continue;
        if (!bucket_[u].valid())
            bucket_[u] = context_.builder.buffer("gradient bucket " + unit.name,
                                                 bucket_elements(unit, context_.written()),
                                                 context_.written(), Category::communication);
        parameters_.set_gradient(UnitId(u), bucket_[u]);
    }
}

void Reduction::clear_padding(UnitId unit, BufferId bucket) {
    const Unit& u = context_.units[unit.index()];
    if (u.padded == u.elements) return;
    // Buckets reuse memory: without this, padding would carry garbage into norms and states.
    context_.builder.compute(Zero{u.padded - u.elements}, context_.written(), context_.written(),
                             {{bucket, u.elements * size_of(context_.written()), 0}});
}

void Reduction::sum_shared(const Unit& unit, BufferId whole) {
    for (const Unit::Shared& shared : unit.shared) {
        if (!shared.partial) continue;
        Collective c;
        c.group = shared.group;
        c.elements = shared.last - shared.first;
        c.dtype = context_.gradient;
        c.recv = {whole, shared.first * size_of(context_.gradient), 0};
        context_.builder.collective(Stream::reduce, c);
    }
}

// Between shard groups: what has been summed within them.
void Reduction::sum_over_replicas(const Unit& unit, const Collective& summed) {
    if (!context_.replicas.valid() || unit.group == context_.replicas) return;
    Collective c;
    c.group = context_.replicas;
    c.elements = summed.kind == CollectiveKind::reduce_scatter ? unit.shard : unit.padded;
    c.dtype = summed.dtype;
    c.recv = summed.recv;
    context_.builder.collective(Stream::reduce, c);
}

void Reduction::reduce(UnitId id) {
    auto& b = context_.builder;
    const Unit& unit = context_.units[id.index()];
    const bool partial = std::any_of(unit.shared.begin(), unit.shared.end(),
                                     [](const Unit::Shared& s) { return s.partial; });
    const bool to_host = context_.keeps_gradients_on_host(unit);
    const bool takes_leave = context_.steps_on_host() && (to_host || kind_.last);
    if (!unit.group.valid() && !partial && !takes_leave) return;
    const BufferId store = parameters_.unit(id).gradient;
    const bool bucket = uses_bucket(unit);
    // What tensor-parallel ranks have in common is summed as it is stored, not as it is copied.
    const bool narrows = !bucket && context_.rules.reduces_narrow_copies && unit.group.valid();
    BufferId whole = bucket    ? bucket_[id.index()]
                     : narrows ? store
                               : copied(id, store, Stream::compute);
    if (bucket) {
        clear_padding(id, whole);
        if (context_.rules.joins_gradients) whole = joined(id, whole);
        whole = widened(id, whole);
    }
    const EventId computed = b.record(Stream::compute);
    b.wait(Stream::reduce, computed);
    // The division, which reads and writes what a copy does.
    if (bucket && context_.rules.joins_gradients)
        b.compute_on(Stream::reduce, Copy{unit.padded}, context_.gradient, context_.gradient,
                     {{whole, 0, 0}, {whole, 0, 0}});
    sum_shared(unit, whole);
    if (narrows) whole = copied(id, store, Stream::reduce);
    Flight flight{id, {}, {}, false, narrows ? context_.storage : context_.gradient, {}, {}};
    if (unit.group.valid())
        sum_over_group(flight, whole, store);
    else if (to_host)
        flight.partial = whole;
    flight.done = b.record(Stream::reduce);
    const bool waits = context_.rules.reduces_in_turn;
    if (context_.rules.lists_partitions || waits) b.wait(Stream::compute, flight.done);
    if (to_host)
        send_to_host(flight, computed);
    else if (takes_leave && !flight.partial.valid())
        flight.left = move_to_host(flight, own_slice(id), flight.done);
    flights_.push_back(flight);
    if (whole != store) finish(waits ? 0 : 1);
}

// Over the ranks that hold the unit, and their like in other shard groups.
void Reduction::sum_over_group(Flight& flight, BufferId whole, BufferId store) {
    auto& b = context_.builder;
    const UnitId id = flight.unit;
    const Unit& unit = context_.units[id.index()];
    Collective c;
    c.group = unit.group;
    c.elements = unit.padded;
    c.dtype = flight.type;
    if (!context_.is_sharded(unit) || context_.rules.shards_by_all_reduce) {
        c.recv = {whole, 0, 0};
        flight.whole = context_.is_sharded(unit);
        if (whole != store) flight.partial = whole;
    } else {
        c.kind = CollectiveKind::reduce_scatter;
        c.send = {whole, 0, 0};
        if (context_.rules.lists_partitions) {
            context_.send_lists(unit, c);
            c.send = {flat_copy(id, whole), 0, 0};
        }
        const bool to_host = context_.keeps_gradients_on_host(unit);
        if (!to_host) c.recv = own_slice(id);
        if (to_host || (uses_bucket(unit) && !kind_.first)) {
            BufferId& reduced = reduced_[id.index()];
            if (!reduced.valid())
                reduced = b.buffer("reduced " + unit.name, unit.shard, context_.gradient,
                                   Category::communication);
            flight.partial = reduced;
            c.recv = {flight.partial, 0, 0};
        }
    }
    if (context_.layout.node_shards > 0) return sum_quantised(id, whole, c.recv);
    b.collective(Stream::reduce, c);
    sum_over_replicas(unit, c);
}

// What PyTorch's reduce-scatter of a list sends.
BufferId Reduction::flat_copy(UnitId id, BufferId whole) {
    const BufferId flat = flat_buffer(id, "flat gradients to send ", context_.gradient);
    context_.builder.compute_on(Stream::reduce, Copy{context_.units[id.index()].padded},
                                context_.gradient, context_.gradient,
                                {{whole, 0, 0}, {flat, 0, 0}});
    return flat;
}

// The flat parameter's gradient, of those of its views.
BufferId Reduction::joined(UnitId id, BufferId bucket) {
    const DType type = context_.written();
    const BufferId flat = flat_buffer(id, "joined gradients ", type);
    context_.builder.compute(Copy{context_.units[id.index()].padded}, type, type,
                             {{bucket, 0, 0}, {flat, 0, 0}});
    return flat;
}

BufferId Reduction::flat_buffer(UnitId id, const char* what, DType type) {
    const Unit& unit = context_.units[id.index()];
    BufferId& flat = copy_[id.index()];
    if (!flat.valid())
        flat =
            context_.builder.buffer(what + unit.name, unit.padded, type, Category::communication);
    return flat;
}

// The bucket in the type that is reduced.
BufferId Reduction::widened(UnitId id, BufferId bucket) {
    if (context_.written() == context_.gradient) return bucket;
    const Unit& unit = context_.units[id.index()];
    BufferId& wide = wide_[id.index()];
    if (!wide.valid())
        wide = context_.builder.buffer("wide bucket " + unit.name, unit.padded, context_.gradient,
                                       Category::communication);
    context_.builder.compute(Copy{unit.padded}, context_.gradient, context_.gradient,
                             {{bucket, 0, 0}, {wide, 0, 0}});
    return wide;
}

void Reduction::exchange_quantised(GroupId group, Stage from, Stage to, std::int64_t elements,
                                   std::int64_t block) {
    Collective c;
    c.kind = CollectiveKind::all_to_all;
    c.group = group;
    c.elements = quantised_bytes(elements, kGradientBits);
    c.dtype = DType::int8;
    c.send = {from.numbers, 0, 0};
    c.recv = {to.numbers, 0, 0};
    context_.builder.collective(Stream::reduce, c);
    c.elements = scales_of(elements, block);
    c.dtype = context_.state;
    c.send = {from.scales, 0, 0};
    c.recv = {to.scales, 0, 0};
    context_.builder.collective(Stream::reduce, c);
}

// Two hops: what a rank has of all gradients goes to the ranks of its node, each of which sums its part; those
// sums go to the ranks of the same place in the other nodes (DeepSpeed: all_to_all_quant_reduce in
// runtime/comm/coalesced_collectives.py). Within one node the second hop is none.
void Reduction::sum_quantised(UnitId id, BufferId whole, Operand to) {
    auto& b = context_.builder;
    const Unit& unit = context_.units[id.index()];
    const std::int64_t block = quantised_block(unit.shard, kGradientBlock);
    const std::int64_t local = context_.layout.node_shards, part = unit.padded / local;
    const DType type = context_.gradient;
    auto& stages = stages_[id.index()];
    const auto make = [&](std::size_t i, const char* what, std::int64_t elements) {
        if (stages[i].numbers.valid()) return stages[i];
        const std::string name = fmt::format("{} {}", what, unit.name);
        stages[i].numbers = b.buffer(name, quantised_bytes(elements, kGradientBits), DType::int8,
                                     Category::communication);
        stages[i].scales = b.buffer(name + " (scales)", scales_of(elements, block), context_.state,
                                    Category::communication);
        return stages[i];
    };
    Stage mine = make(0, "quantised gradients", unit.padded);
    b.compute_on(Stream::reduce, Quantise{unit.padded, block, kGradientBits}, type, type,
                 {{whole, 0, 0}, {mine.numbers, 0, 0}, {mine.scales, 0, 0}});
    std::int64_t parts = 1;
    if (context_.node.valid()) {
        const Stage received = make(1, "gradients of the node", unit.padded);
        exchange_quantised(context_.node, mine, received, unit.padded, block);
        mine = received;
        parts = local;
    }
    if (context_.nodes.valid()) {
        const Stage sums = make(2, "sums of the node", part);
        const Stage received = make(3, "sums of all nodes", part);
        b.compute_on(
            Stream::reduce, SumQuantised{part, parts, block, block, kGradientBits}, type, type,
            {{mine.numbers, 0, 0}, {mine.scales, 0, 0}, {sums.numbers, 0, 0}, {sums.scales, 0, 0}});
        exchange_quantised(context_.nodes, sums, received, part, block);
        mine = received;
        parts = part / unit.shard;
    }
    b.compute_on(Stream::reduce, Dequantise{unit.shard, parts, block, kGradientBits}, type, type,
                 {{mine.numbers, 0, 0}, {mine.scales, 0, 0}, to});
}

// What is summed instead of the stored gradients, where a product sums a copy.
BufferId Reduction::copied(UnitId id, BufferId store, Stream stream) {
    const Unit& unit = context_.units[id.index()];
    if (!context_.rules.reduces_copies || !unit.group.valid()) return store;
    BufferId& copy = copy_[id.index()];
    const DType type = context_.rules.reduces_narrow_copies ? context_.storage : context_.gradient;
    if (!copy.valid())
        copy = context_.builder.buffer("copied " + unit.name, bucket_elements(unit, type), type,
                                       Category::communication);
    context_.builder.compute_on(stream, Copy{unit.padded}, context_.gradient, context_.gradient,
                                {{store, 0, 0}, {copy, 0, 0}});
    return copy;
}

std::int64_t Reduction::bucket_elements(const Unit& unit, DType type) const {
    const bool whole = context_.rules.allocates_buckets && context_.zero < 3;
    return whole ? std::max(unit.padded, bucket_size(context_.strategy).value / size_of(type))
                 : unit.padded;
}

// This rank's share of the unit's gradients, which are stored whole below stage 2.
Operand Reduction::own_slice(UnitId id) const {
    const Unit& unit = context_.units[id.index()];
    const bool whole = context_.zero_of(unit) == 1 && unit.ranks > 1;
    return {parameters_.unit(id).gradient, 0, whole ? unit.shard * size_of(context_.gradient) : 0,
            unit.group};
}

// Where this rank's part of what has been summed lies on the device.
Operand Reduction::own_part(const Flight& flight) const {
    const Unit& unit = context_.units[flight.unit.index()];
    const std::int64_t stride = flight.whole ? unit.shard * size_of(flight.type) : 0;
    return {flight.partial, 0, stride, unit.group};
}

void Reduction::add_to_store(const Flight& flight) {
    auto& b = context_.builder;
    const Unit& unit = context_.units[flight.unit.index()];
    const Operand store = own_slice(flight.unit), sum = own_part(flight);
    const bool replaces = context_.rules.reduces_copies && !uses_bucket(unit);
    if (replaces || (kind_.first && flight.whole))
        b.compute(Copy{unit.shard}, context_.gradient, context_.gradient, {sum, store});
    else
        b.compute(Add{unit.shard}, context_.gradient, context_.gradient, {store, sum});
}

BufferId Reduction::sum_with_host(UnitId id) {
    const Unit& unit = context_.units[id.index()];
    BufferId& sum = with_host_[id.index()];
    if (!sum.valid())
        sum = context_.builder.buffer("sum with the host's " + unit.name, unit.shard,
                                      context_.gradient, Category::communication);
    return sum;
}

// The first micro-batch's replaces what is there. `computed`: what is issued now may use memory that the
// compute stream has left.
void Reduction::send_to_host(Flight& flight, EventId computed) {
    auto& b = context_.builder;
    if (kind_.first)
        flight.left = move_to_host(flight, own_part(flight), flight.done);
    else
        flight.fetched = b.move(computed, {parameters_.unit(flight.unit).stepped, 0, 0},
                                {sum_with_host(flight.unit), 0, 0},
                                context_.units[flight.unit.index()].shard, context_.gradient);
}

EventId Reduction::move_to_host(const Flight& flight, Operand from, EventId after) {
    return context_.builder.move(after, from, {parameters_.unit(flight.unit).stepped, 0, 0},
                                 context_.units[flight.unit.index()].shard, context_.gradient);
}

void Reduction::add_to_host(const Flight& flight) {
    auto& b = context_.builder;
    if (flight.left.valid()) return b.wait(Stream::compute, flight.left);
    const std::int64_t shard = context_.units[flight.unit.index()].shard;
    const Operand sum{sum_with_host(flight.unit), 0, 0};
    b.wait(Stream::compute, flight.fetched);
    b.compute(Add{shard}, context_.gradient, context_.gradient, {sum, own_part(flight)});
    leave(move_to_host(flight, sum, b.record(Stream::compute)));
}

// One at a time is on its way while the compute stream goes on.
void Reduction::leave(EventId moved) {
    if (leaving_.valid()) context_.builder.wait(Stream::compute, leaving_);
    leaving_ = moved;
}

void Reduction::finish(std::size_t keep) {
    auto& b = context_.builder;
    while (flights_.size() > keep) {
        const Flight flight = flights_.front();
        flights_.erase(flights_.begin());
        b.wait(Stream::compute, flight.done);
        const Unit& unit = context_.units[flight.unit.index()];
        if (context_.keeps_gradients_on_host(unit)) {
            add_to_host(flight);
            continue;
        }
        if (flight.partial.valid()) add_to_store(flight);
        if (flight.left.valid())
            b.wait(Stream::compute, flight.left);
        else if (context_.steps_on_host() && kind_.last)
            leave(move_to_host(flight, own_slice(flight.unit), b.record(Stream::compute)));
    }
    if (keep == 0) leave({});
}

void Reduction::add_written(UnitId id) {
    const Unit& unit = context_.units[id.index()];
    const Operand store{parameters_.unit(id).gradient, 0, 0}, written{written_[id.index()], 0, 0};
    const DType type = context_.gradient;
    if (kind_.first)
        context_.builder.compute(Copy{unit.elements}, type, type, {written, store});
    else
        context_.builder.compute(Add{unit.elements}, type, type, {store, written});
}

void Reduction::after_layer(std::size_t layer) {
    for (std::size_t u = context_.units.size(); u-- > 0;) {
        if (last_writer_[u] != static_cast<std::int32_t>(layer)) continue;
        if (context_.adds_written()) add_written(UnitId(u));
        if (!reduces()) continue;
        if ((context_.rules.overlaps_reduction || context_.rules.reduces_in_turn) &&
            !in_root(UnitId(u)))
            reduce(UnitId(u));
        else
            late_.push_back(UnitId(u));
    }
}

bool Reduction::in_root(UnitId unit) const {
    const std::int32_t layer = last_writer_[unit.index()];
    return context_.rules.keeps_root &&
           !std::holds_alternative<BlockLayer>(
               context_.model.layers[static_cast<std::size_t>(layer)].kind);
}

void Reduction::end_body() {
    for (const UnitId unit : late_) reduce(unit);
    finish(0);
}

}  // namespace shardscope
