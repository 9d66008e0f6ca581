#include "core/lowering/gather.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "core/lowering/quantised.h"

namespace shardscope {

void gather_updated(LoweringContext& context, ParameterBuffers& parameters, UnitId id) {
    const Unit& unit = context.units[id.index()];
    const BufferId value = parameters.unit(id).value;
    Collective c;
    c.kind = CollectiveKind::all_gather;
    c.group = unit.group;
    c.elements = unit.padded;
    c.dtype = context.storage;
    c.send = {value, 0, unit.shard * size_of(context.storage), unit.group};
    c.recv = {value, 0, 0};
    c.lists = context.rules.lists_partitions;
    context.builder.collective(Stream::gather, c);
}

bool Gather::overlaps_updates() const {
    return context_.strategy.overlap_gather && (context_.zero == 1 || context_.zero == 2);
}

std::vector<UnitId> Gather::units_of(std::size_t layer) const {
    std::vector<UnitId> units;
    const Layer& l = context_.model.layers[layer];
    for (const auto* list : {&l.parameters, &l.borrowed})
        for (ParameterId p : *list) {
            const UnitId unit = context_.places[p.index()].unit;
            if (std::find(units.begin(), units.end(), unit) == units.end()) units.push_back(unit);
        }
    return units;
}

void Gather::begin_updated(const LayerRange& range) {
    auto& b = context_.builder;
    gathered_.resize(context_.units.size());
    updated_.resize(context_.units.size());
    b.wait(Stream::gather, b.record(Stream::compute));
    for (std::size_t l = range.first; l < range.last; ++l)
        for (const UnitId unit : units_of(l)) {
            if (gathered_[unit.index()] || context_.units[unit.index()].ranks == 1) continue;
            gathered_[unit.index()] = true;
            gather_updated(context_, parameters_, unit);
            updated_[unit.index()] = b.record(Stream::gather);
        }
}

void Gather::await_updated(std::size_t layer) {
    for (const UnitId unit : units_of(layer)) {
        EventId& event = updated_[unit.index()];
        if (event.valid()) context_.builder.wait(Stream::compute, event);
        event = {};
    }
}

std::size_t Gather::kept_layers(const std::vector<std::size_t>& forward,
                                const std::vector<std::size_t>& backward,
                                const std::vector<bool>& recomputed) {
    if (context_.zero < 3) return 0;
    // Elements of weights between a layer's use in the forward body and its next one.
    std::int64_t between = 0;
    std::size_t kept = 0;
    for (; kept < std::min(forward.size(), backward.size()); ++kept) {
        const std::size_t layer = backward[kept];
        if (forward[forward.size() - 1 - kept] != layer) break;
        if (kept > 0 && between >= context_.rules.reuse_distance) break;
        for (const UnitId unit : weights_of(layer).units)
            between += context_.units[unit.index()].elements * (recomputed[layer] ? 3 : 2);
    }
    return kept;
}

void Gather::begin_body(Direction direction, std::vector<std::size_t> layers, std::size_t kept) {
    if (context_.zero < 3) return;
    direction_ = direction;
    layers_ = std::move(layers);
    std::vector<std::size_t> root;
    if (context_.rules.keeps_root) {
        std::ranges::copy_if(layers_, std::back_inserter(root),
                             [&](std::size_t l) { return in_root(l); });
        std::erase_if(layers_, [&](std::size_t l) { return in_root(l); });
        kept = 0;
    }
    ready_.assign(layers_.size(), {});
    kept_ = kept;
    next_ = kept;
    current_ = 0;
    if (layers_.empty() && root.empty()) return;
    // The body's first gathers reuse memory of the body before: they wait for its compute stream.
    record_free();
    if (direction == Direction::forward && !root.empty()) gather_root(root);
    const auto ahead = static_cast<std::size_t>(context_.strategy.prefetch);
    while (next_ < layers_.size() && next_ <= ahead) issue_next();
}

bool Gather::in_root(std::size_t layer) const {
    return context_.rules.keeps_root &&
           !std::holds_alternative<BlockLayer>(context_.model.layers[layer].kind);
}

void Gather::gather_root(const std::vector<std::size_t>& layers) {
    root_.resize(context_.units.size());
    root_ready_.clear();
    root_gathered_.clear();
    std::vector<bool> issued(context_.units.size());
    for (const std::size_t layer : layers) {
        Weights& weights = weights_of(layer);
        for (std::size_t k = 0; k < weights.units.size(); ++k) {
            const std::size_t unit = weights.units[k].index();
            if (issued[unit]) continue;
            issued[unit] = true;
            const Unit& u = context_.units[unit];
            if (!root_[unit].valid())
                root_[unit] = context_.builder.buffer("gathered " + u.name, u.padded,
                                                      context_.storage, Category::communication);
            gather_unit(weights, k, root_[unit], root_ready_);
            root_gathered_.emplace_back(layer, k);
        }
    }
    root_ready_.push_back(context_.builder.record(Stream::gather));
}

void Gather::before_root(std::size_t layer) {
    for (const EventId event : root_ready_) context_.builder.wait(Stream::compute, event);
    root_ready_.clear();
    for (const auto& [of, unit] : root_gathered_) {
        Weights& weights = weights_of(of);
        if (context_.units[weights.units[unit].index()].ranks > 1)
            copy_out(weights, unit, root_[weights.units[unit].index()]);
    }
    root_gathered_.clear();
    for (const UnitId unit : weights_of(layer).units)
        parameters_.set_value(unit, root_[unit.index()]);
}

std::vector<std::size_t> Gather::released(const Weights& weights) const {
    std::vector<std::size_t> list;
    std::int64_t between = 0;
    for (std::size_t k = weights.units.size(); k-- > 0;) {
        if (context_.rules.reuse_distance > 0 && between >= context_.rules.reuse_distance)
            list.push_back(k);
        between += 2 * context_.units[weights.units[k].index()].elements;
    }
    return list;
}

void Gather::after_recompute(std::size_t layer) {
    if (context_.zero < 3 || current_ >= layers_.size() || layers_[current_] != layer) return;
    Weights& weights = weights_of(layer);
    const std::vector<std::size_t> again = released(weights);
    if (again.empty()) return;
    record_free();
    weights.again.resize(weights.units.size());
    for (const std::size_t k : again) {
        const Unit& unit = context_.units[weights.units[k].index()];
        BufferId& copy = weights.again[k];
        if (!copy.valid())
            copy = context_.builder.buffer("gathered again " + unit.name, unit.padded,
                                           context_.storage, Category::communication);
        Events ready;
        gather_unit(weights, k, copy, ready);
        ready.push_back(context_.builder.record(Stream::gather));
        if (context_.rules.lists_partitions || gathers_quantised()) {
            for (const EventId event : ready) context_.builder.wait(Stream::compute, event);
            make_weights(weights, k, copy);
            ready.clear();
        }
        parameters_.set_value(weights.units[k], copy, std::move(ready));
    }
}

void Gather::end_backward() {
    for (const BufferId copy : root_)
        if (copy.valid())
            context_.builder.compute(Zero{1}, context_.storage, context_.storage, {{copy, 0, 0}});
    if (context_.rules.copies_out_gathered) hold_outputs(weights_of(last_gathered_));
}

Gather::Weights& Gather::weights_of(std::size_t layer) {
    weights_.resize(context_.model.layers.size());
    Weights& weights = weights_[layer];
    if (!weights.units.empty()) return weights;
    weights.layer = layer;
    for (const UnitId unit : units_of(layer))
        if (context_.gathers(context_.units[unit.index()]))  // others are held whole
            weights.units.push_back(unit);
    return weights;
}

const std::vector<BufferId>& Gather::copies_of(std::size_t layer, Direction direction) {
    Weights& weights = weights_of(layer);
    auto& copies = weights.copies[static_cast<std::size_t>(direction)];
    if (copies.size() == weights.units.size()) return copies;
    for (const UnitId unit : weights.units) {
        const Unit& u = context_.units[unit.index()];
        copies.push_back(context_.builder.buffer(
            "gathered " + u.name + " for " + context_.model.layers[layer].name +
                (direction == Direction::forward ? " (forward)" : " (backward)"),
            u.padded, context_.storage, Category::communication));
    }
    return copies;
}

BufferId Gather::fetched(Weights& weights, std::size_t unit) {
    const Unit& u = context_.units[weights.units[unit].index()];
    weights.fetched.resize(weights.units.size());
    BufferId& buffer = weights.fetched[unit];
    if (!buffer.valid())
        buffer = context_.builder.buffer(
            fmt::format("fetched {} for {}", u.name, context_.model.layers[weights.layer].name),
            u.shard, context_.stored(u), Category::communication);
    return buffer;
}

// Brings the rank's shard of weights.units[unit] to the device, into `to`.
void Gather::bring(Weights& weights, std::size_t unit, Operand to, Events& ready) {
    auto& b = context_.builder;
    const Unit& u = context_.units[weights.units[unit].index()];
    const DType type = context_.stored(u);
    Operand from{parameters_.unit(weights.units[unit]).value, 0, 0};
    EventId after = free_;
    if (b.role.buffers[from.buffer.index()].tier == Tier::nvme) {
        weights.staged.resize(weights.units.size());
        BufferId& staged = weights.staged[unit];
        if (!staged.valid())
            staged = b.buffer(
                fmt::format("staged {} for {}", u.name, context_.model.layers[weights.layer].name),
                u.shard, type, Category::communication, Residence::transient, Tier::host);
        after = b.move(after, from, {staged, 0, 0}, u.shard, type);
        ready.push_back(after);
        from = {staged, 0, 0};
    }
    ready.push_back(b.move(after, from, to, u.shard, type));
}

// What the rank gives of weights.units[unit]: its shard, or a copy in the type that is gathered.
Operand Gather::shard_to_send(Weights& weights, std::size_t unit, Events& ready) {
    const UnitId id = weights.units[unit];
    auto& b = context_.builder;
    Operand stored{parameters_.unit(id).value, 0, 0};
    const Unit& u = context_.units[id.index()];
    if (context_.fetches(u)) {
        stored = {fetched(weights, unit), 0, 0};
        bring(weights, unit, stored, ready);
        b.wait(context_.casts(u) ? Stream::compute : Stream::gather, ready.back());
    }
    if (!context_.casts(u)) return stored;
    weights.casts.resize(weights.units.size());
    BufferId& cast = weights.casts[unit];
    if (!cast.valid())
        cast = b.buffer(
            fmt::format("cast {} for {}", u.name, context_.model.layers[weights.layer].name),
            u.shard, context_.storage, Category::communication);
    b.compute(Copy{u.shard}, context_.storage, context_.storage, {stored, {cast, 0, 0}});
    b.wait(Stream::gather, b.record(Stream::compute));
    return {cast, 0, 0};
}

Gather::Quantised Gather::quantised(std::vector<Quantised>& list, const Weights& weights,
                                    std::size_t unit, const char* what, std::int64_t elements) {
    list.resize(weights.units.size());
    Quantised& q = list[unit];
    if (q.numbers.valid()) return q;
    auto& b = context_.builder;
    const Unit& u = context_.units[weights.units[unit].index()];
    const std::string name =
        fmt::format("{} {} for {}", what, u.name, context_.model.layers[weights.layer].name);
    const std::int64_t block = quantised_block(u.shard, kWeightBlock);
    q.numbers = b.buffer(name, quantised_bytes(elements, 8), DType::int8, Category::communication);
    q.scales = b.buffer(name + " (scales)", scales_of(elements, block), context_.state,
                        Category::communication);
    return q;
}

void Gather::gather_quantised(Weights& weights, std::size_t unit, Events& ready) {
    auto& b = context_.builder;
    const Unit& u = context_.units[weights.units[unit].index()];
    const std::int64_t block = quantised_block(u.shard, kWeightBlock);
    const Operand stored = shard_to_send(weights, unit, ready);
    const Quantised shard = quantised(weights.shards, weights, unit, "quantised", u.shard);
    const Quantised all =
        quantised(weights.gathered, weights, unit, "gathered quantised", u.padded);
    b.compute_on(Stream::gather, Quantise{u.shard, block, 8}, context_.storage, context_.storage,
                 {stored, {shard.numbers, 0, 0}, {shard.scales, 0, 0}});
    Collective c;
    c.kind = CollectiveKind::all_gather;
    c.group = u.group;
    c.elements = quantised_bytes(u.padded, 8);
    c.dtype = DType::int8;
    c.send = {shard.numbers, 0, 0};
    c.recv = {all.numbers, 0, 0};
    b.collective(Stream::gather, c);
    c.elements = scales_of(u.padded, block);
    c.dtype = context_.state;
    c.send = {shard.scales, 0, 0};
    c.recv = {all.scales, 0, 0};
    b.collective(Stream::gather, c);
}

// Of what has been gathered: numbers become weights, and what the backward pass gathers is put aside.
void Gather::make_weights(Weights& weights, std::size_t unit, BufferId copy) {
    auto& b = context_.builder;
    const UnitId id = weights.units[unit];
    const Unit& u = context_.units[id.index()];
    if (u.ranks == 1) return;
    copy_out(weights, unit, copy);
    const DType type = context_.storage;
    if (gathers_quantised()) {
        const Quantised& all = weights.gathered[unit];
        b.compute(Dequantise{u.padded, 1, quantised_block(u.shard, kWeightBlock), 8}, type, type,
                  {{all.numbers, 0, 0}, {all.scales, 0, 0}, {copy, 0, 0}});
    }
    if (!context_.secondary.valid() || direction_ != Direction::forward) return;
    const std::int64_t part = u.padded / context_.layout.secondary;
    b.compute(Copy{part}, type, type,
              {{copy, 0, part * size_of(type), context_.secondary},
               {parameters_.unit(id).secondary, 0, 0}});
}

// Of a unit that is not sharded.
void Gather::bring_whole(Weights& weights, std::size_t unit, BufferId to, Events& ready) {
    const Unit& u = context_.units[weights.units[unit].index()];
    if (!context_.casts(u)) return bring(weights, unit, {to, 0, 0}, ready);
    auto& b = context_.builder;
    Operand stored{parameters_.unit(weights.units[unit]).value, 0, 0};
    if (context_.fetches(u)) {
        stored = {fetched(weights, unit), 0, 0};
        bring(weights, unit, stored, ready);
        b.wait(Stream::compute, ready.back());
    }
    b.compute(Copy{u.shard}, context_.storage, context_.storage, {stored, {to, 0, 0}});
}

void Gather::issue(std::size_t layer, Events& ready) {
    const std::vector<BufferId>& copies = copies_of(layer, direction_);
    Weights& weights = weights_of(layer);
    for (std::size_t k = 0; k < weights.units.size(); ++k)
        gather_unit(weights, k, copies[k], ready);
    ready.push_back(context_.builder.record(Stream::gather));
}

void Gather::gather_unit(Weights& weights, std::size_t unit, BufferId copy, Events& ready) {
    const UnitId id = weights.units[unit];
    const Unit& u = context_.units[id.index()];
    if (u.ranks == 1) return bring_whole(weights, unit, copy, ready);
    if (gathers_quantised()) return gather_quantised(weights, unit, ready);
    Collective c;
    c.kind = CollectiveKind::all_gather;
    c.group = u.group;
    c.elements = u.padded;
    c.dtype = context_.storage;
    if (gathers_secondary()) {
        c.group = context_.secondary;
        c.send = {parameters_.unit(id).secondary, 0, 0};
    } else {
        c.send = shard_to_send(weights, unit, ready);
    }
    if (context_.rules.lists_partitions) return gather_lists(c, u, copy);
    c.recv = {output_of(weights, unit, copy), 0, 0};
    context_.builder.collective(Stream::gather, c);
}

void Gather::gather_lists(Collective c, const Unit& unit, BufferId copy) {
    auto& b = context_.builder;
    const DType type = context_.storage;
    BufferId& flat = flat_[copy.value];
    if (!flat.valid())
        flat = b.buffer("flat " + b.role.buffers[copy.index()].name, unit.padded, type,
                        Category::communication);
    context_.send_lists(unit, c);
    c.recv = {flat, 0, 0};
    b.compute_on(Stream::gather, Zero{unit.padded}, type, type, {{copy, 0, 0}});
    b.collective(Stream::gather, c);
    b.compute_on(Stream::gather, Copy{unit.padded}, type, type, {{flat, 0, 0}, {copy, 0, 0}});
}

BufferId Gather::output_of(Weights& weights, std::size_t unit, BufferId copy) {
    if (!context_.rules.copies_out_gathered) return copy;
    const Unit& u = context_.units[weights.units[unit].index()];
    auto& outputs = weights.outputs[static_cast<std::size_t>(direction_)];
    outputs.resize(weights.units.size());
    BufferId& output = outputs[unit];
    if (!output.valid())
        output = context_.builder.buffer(
            fmt::format("all-gather output {} for {} ({})", u.name,
                        context_.model.layers[weights.layer].name,
                        direction_ == Direction::forward ? "forward" : "backward"),
            u.padded, context_.storage, Category::communication);
    return output;
}

void Gather::copy_out(Weights& weights, std::size_t unit, BufferId copy) {
    const BufferId output = output_of(weights, unit, copy);
    if (output == copy) return;
    const Unit& u = context_.units[weights.units[unit].index()];
    context_.builder.compute(Copy{u.padded}, context_.storage, context_.storage,
                             {{output, 0, 0}, {copy, 0, 0}});
}

void Gather::hold_outputs(const Weights& weights) {
    for (const BufferId output : weights.outputs[0]) {
        if (!output.valid()) continue;
        if (!read_.valid())
            read_ = context_.builder.buffer("an element of the all-gather output", 1,
                                            context_.storage, Category::workspace);
        context_.builder.compute(Copy{1}, context_.storage, context_.storage,
                                 {{output, 0, 0}, {read_, 0, 0}});
    }
}

void Gather::record_free() {
    free_ = context_.builder.record(Stream::compute);
    context_.builder.wait(Stream::gather, free_);
}

void Gather::before_layer(std::size_t layer) {
    if (context_.zero >= 3 && in_root(layer)) return before_root(layer);
    if (context_.zero < 3 || current_ >= layers_.size() || layers_[current_] != layer) return;
    const auto ahead = current_ + static_cast<std::size_t>(context_.strategy.prefetch);
    if (next_ < layers_.size() && next_ <= ahead) {
        // The memory of the layer just computed is free from here on.
        record_free();
        while (next_ < layers_.size() && next_ <= ahead) issue_next();
    }
    for (const EventId event : ready_[current_]) context_.builder.wait(Stream::compute, event);
    const Direction from = current_ < kept_ ? Direction::forward : direction_;
    const std::vector<BufferId>& copies = copies_of(layer, from);
    const std::vector<UnitId>& units = weights_of(layer).units;
    for (std::size_t k = 0; k < units.size(); ++k) {
        parameters_.set_value(units[k], copies[k]);
        if (from == direction_) make_weights(weights_of(layer), k, copies[k]);
    }
}

void Gather::after_layer(std::size_t layer) {
    if (context_.zero < 3 || current_ >= layers_.size() || layers_[current_] != layer) return;
    if (direction_ == Direction::forward) {
        hold_outputs(weights_of(layer));
        last_gathered_ = layer;
    }
    ++current_;
}

}  // namespace shardscope
