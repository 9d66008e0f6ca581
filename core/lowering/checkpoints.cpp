#include "core/lowering/checkpoints.h"

#include <utility>

namespace shardscope {
namespace {

constexpr std::size_t kNone = static_cast<std::size_t>(-1);

}  // namespace

Checkpoints::Checkpoints(LoweringContext& context)
    : context_(context), checkpoints_(context.model.layers.size()) {}

void Checkpoints::send(std::size_t layer, BufferId input, std::int64_t elements) {
    const Tier tier = tier_of(context_.strategy.offload.activations);
    if (tier == Tier::device) return;
    auto& b = context_.builder;
    const std::string& name = context_.model.layers[layer].name;
    const DType type = context_.storage;
    const auto buffer = [&](const char* what, Tier where) {
        return b.buffer(name + what, elements, type, Category::activations, Residence::transient,
                        where);
    };
    Checkpoint& c = checkpoints_[layer];
    if (!sent(layer)) {  // else: by the body of the first micro-batch, where that differs
        c.elements = elements;
        c.back = buffer(".checkpoint back", Tier::device);
        c.host = buffer(".checkpoint", Tier::host);
        if (tier == Tier::nvme) c.nvme = buffer(".checkpoint stored", Tier::nvme);
    }
    leaving_ = {b.move(b.record(Stream::compute), {input, 0, 0}, {c.host, 0, 0}, elements, type)};
    if (!c.nvme.valid()) return;
    leaving_.push_back(b.move(leaving_.back(), {c.host, 0, 0}, {c.nvme, 0, 0}, elements, type));
}

void Checkpoints::release() {
    for (const EventId event : left_) context_.builder.wait(Stream::compute, event);
    left_ = std::exchange(leaving_, {});
}

void Checkpoints::end_forward() {
    release();
    release();
}

std::size_t Checkpoints::next_below(std::size_t layer) const {
    while (layer-- > first_)
        if (sent(layer)) return layer;
    return kNone;
}

void Checkpoints::begin_backward(const LayerRange& layers) {
    first_ = layers.first;
    coming_.clear();
    fetch(next_below(layers.last));
}

void Checkpoints::fetch(std::size_t layer) {
    if (layer == kNone) return;
    auto& b = context_.builder;
    const Checkpoint& c = checkpoints_[layer];
    const DType type = context_.storage;
    EventId after = b.record(Stream::compute);
    if (c.nvme.valid()) {
        after = b.move(after, {c.nvme, 0, 0}, {c.host, 0, 0}, c.elements, type);
        coming_.push_back(after);
    }
    coming_.push_back(b.move(after, {c.host, 0, 0}, {c.back, 0, 0}, c.elements, type));
}

BufferId Checkpoints::take(std::size_t layer) {
    if (!sent(layer)) return {};
    for (const EventId event : std::exchange(coming_, {}))
        context_.builder.wait(Stream::compute, event);
    fetch(next_below(layer));
    return checkpoints_[layer].back;
}

}  // namespace shardscope
