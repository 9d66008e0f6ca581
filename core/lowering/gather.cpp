#include "core/lowering/gather.h"

#include <algorithm>

namespace shardscope {

void Gather::begin_body(Direction direction, std::vector<std::size_t> layers, bool kept) {
    if (context_.zero < 3) return;
    direction_ = direction;
    layers_ = std::move(layers);
    ready_.assign(layers_.size(), EventId());
    kept_ = kept;
    next_ = kept ? 1 : 0;
    current_ = 0;
    if (layers_.empty()) return;
    // The body's first gathers reuse memory of the body before: they wait for its compute stream.
    context_.builder.wait(Stream::gather, context_.builder.record(Stream::compute));
    const auto ahead = static_cast<std::size_t>(context_.strategy.prefetch);
    while (next_ < layers_.size() && next_ <= ahead) issue(next_++);
}

std::vector<UnitId> Gather::units_of(std::size_t layer) const {
    const Layer& l = context_.model.layers[layer];
    std::vector<UnitId> units;
    const auto add = [&](ParameterId p) {
        const UnitId unit = context_.places[p.index()].unit;
        if (std::find(units.begin(), units.end(), unit) == units.end()) units.push_back(unit);
    };
    for (ParameterId p : l.parameters) add(p);
    for (ParameterId p : l.borrowed) add(p);
    return units;
}

BufferId Gather::copy_of(UnitId unit, std::size_t layer, Direction direction) {
    const Unit& u = context_.units[unit.index()];
    return context_.builder.buffer(
        "gathered " + u.name + " for " + context_.model.layers[layer].name +
            (direction == Direction::forward ? " (forward)" : " (backward)"),
        u.padded, context_.storage, Category::communication);
}

void Gather::issue(std::size_t index) {
    for (UnitId unit : units_of(layers_[index])) {
        const Unit& u = context_.units[unit.index()];
        Collective c;
        c.kind = CollectiveKind::all_gather;
        c.group = context_.dp;
        c.elements = u.padded;
        c.dtype = context_.storage;
        c.send = {parameters_.unit(unit).value, 0, 0};
        c.recv = {copy_of(unit, layers_[index], direction_), 0, 0};
        context_.builder.collective(Stream::gather, c);
    }
    ready_[index] = context_.builder.record(Stream::gather);
}

void Gather::before_layer(std::size_t layer) {
    if (context_.zero < 3 || current_ >= layers_.size() || layers_[current_] != layer) return;
    const auto ahead = current_ + static_cast<std::size_t>(context_.strategy.prefetch);
    if (next_ < layers_.size() && next_ <= ahead) {
        // The memory of the layer just computed is free from here on.
        context_.builder.wait(Stream::gather, context_.builder.record(Stream::compute));
        while (next_ < layers_.size() && next_ <= ahead) issue(next_++);
    }
    if (ready_[current_].valid()) context_.builder.wait(Stream::compute, ready_[current_]);
    const Direction from = current_ == 0 && kept_ ? Direction::forward : direction_;
    for (UnitId unit : units_of(layer)) parameters_.set_value(unit, copy_of(unit, layer, from));
}

void Gather::after_layer(std::size_t layer) {
    if (context_.zero >= 3 && current_ < layers_.size() && layers_[current_] == layer) ++current_;
}

}  // namespace shardscope
