#include "core/lowering/reduction.h"

#include <algorithm>

namespace shardscope {

Reduction::Reduction(LoweringContext& context, ParameterBuffers& parameters)
    : context_(context),
      parameters_(parameters),
      last_writer_(context.units.size(), -1),
      bucket_(context.units.size()),
      wide_(context.units.size()),
      reduced_(context.units.size()),
      copy_(context.units.size()) {
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

bool Reduction::reduces() const {
    return kind_.last || (context_.dp.valid() && context_.strategy.reduces_every_micro_batch());
}

bool Reduction::uses_bucket(const Unit& unit) const {
    if (!unit.group.valid() || !context_.strategy.reduces_every_micro_batch()) return false;
    // Stages 2 and 3 have no place for whole gradients; below, later micro-batches must be reduced
    // before they are added.
    return context_.zero >= 2 || !kind_.first;
}

void Reduction::begin_body(MicroBatchKind kind) {
    kind_ = kind;
    flights_.clear();
    for (std::size_t u = 0; u < context_.units.size(); ++u) {
        const Unit& unit = context_.units[u];
        if (!uses_bucket(unit)) continue;
        if (!bucket_[u].valid())
            bucket_[u] = context_.builder.buffer("gradient bucket " + unit.name, unit.padded,
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
    if (!context_.replicas.valid()) return;
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
    if (!unit.group.valid() && !partial) return;
    const BufferId store = parameters_.unit(id).gradient;
    const bool bucket = uses_bucket(unit);
    BufferId whole = bucket ? bucket_[id.index()] : copied(id, store);
    if (bucket) {
        clear_padding(id, whole);
        whole = widened(id, whole);
    }
    b.wait(Stream::reduce, b.record(Stream::compute));
    sum_shared(unit, whole);
    if (!unit.group.valid()) {
        flights_.push_back({id, b.record(Stream::reduce), {}});
        return;
    }
    Collective c;
    c.group = unit.group;
    c.elements = unit.padded;
    c.dtype = context_.gradient;
    Flight flight{id, {}, {}};
    if (context_.zero == 0 || context_.rules.shards_by_all_reduce) {
        c.recv = {whole, 0, 0};
        flight.whole = context_.zero >= 1;
        if (whole != store) flight.partial = whole;
    } else {
        c.kind = CollectiveKind::reduce_scatter;
        c.send = {whole, 0, 0};
        c.recv = own_slice(id);
        if (bucket && !kind_.first) {
            BufferId& reduced = reduced_[id.index()];
            if (!reduced.valid())
                reduced = b.buffer("reduced " + unit.name, unit.shard, context_.gradient,
                                   Category::communication);
            flight.partial = reduced;
            c.recv = {flight.partial, 0, 0};
        }
    }
    b.collective(Stream::reduce, c);
    sum_over_replicas(unit, c);
    flight.done = b.record(Stream::reduce);
    flights_.push_back(flight);
    if (whole != store) finish(1);
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

// What is summed instead of the stored gradients, where a product sums a copy.
BufferId Reduction::copied(UnitId id, BufferId store) {
    const Unit& unit = context_.units[id.index()];
    if (!context_.rules.reduces_copies || !unit.group.valid()) return store;
    BufferId& copy = copy_[id.index()];
    if (!copy.valid())
        copy = context_.builder.buffer("copied " + unit.name, unit.padded, context_.gradient,
                                       Category::communication);
    context_.builder.compute(Copy{unit.padded}, context_.gradient, context_.gradient,
                             {{store, 0, 0}, {copy, 0, 0}});
    return copy;
}

// This rank's share of the unit's gradients, which are stored whole below stage 2.
Operand Reduction::own_slice(UnitId id) const {
    const Unit& unit = context_.units[id.index()];
    const bool whole = context_.zero_of(unit) == 1;
    return {parameters_.unit(id).gradient, 0, whole ? unit.shard * size_of(context_.gradient) : 0,
            unit.group};
}

void Reduction::finish(std::size_t keep) {
    auto& b = context_.builder;
    while (flights_.size() > keep) {
        const Flight flight = flights_.front();
        flights_.erase(flights_.begin());
        b.wait(Stream::compute, flight.done);
        if (!flight.partial.valid()) continue;
        const Unit& unit = context_.units[flight.unit.index()];
        const std::int64_t shard = unit.shard;
        const std::int64_t stride = flight.whole ? shard * size_of(context_.gradient) : 0;
        const Operand store = own_slice(flight.unit), sum{flight.partial, 0, stride, unit.group};
        const bool replaces = context_.rules.reduces_copies && !uses_bucket(unit);
        if (replaces || (kind_.first && flight.whole))
            b.compute(Copy{shard}, context_.gradient, context_.gradient, {sum, store});
        else
            b.compute(Add{shard}, context_.gradient, context_.gradient, {store, sum});
    }
}

void Reduction::after_layer(std::size_t layer) {
    if (!reduces() || !context_.rules.overlaps_reduction) return;
    for (std::size_t u = context_.units.size(); u-- > 0;)
        if (last_writer_[u] == static_cast<std::int32_t>(layer)) reduce(UnitId(u));
}

void Reduction::end_body() {
    if (reduces() && !context_.rules.overlaps_reduction)
        for (std::size_t u = context_.units.size(); u-- > 0;) reduce(UnitId(u));
    finish(0);
}

}  // namespace shardscope
