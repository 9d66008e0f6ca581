#include "core/lowering/host_optimizer.h"

#include <algorithm>

#include <fmt/format.h>

namespace shardscope {

HostOptimizer::HostOptimizer(LoweringContext& context, ParameterBuffers& parameters)
    : context_(context), parameters_(parameters), start_(context.builder.record(Stream::compute)) {
    context.builder.wait(Stream::host, start_);
    for (const Unit& unit : context.units) largest_ = std::max(largest_, unit.shard);
}

void HostOptimizer::take_norm(BufferId on_device) {
    auto& b = context_.builder;
    norm_ = parameters_.host_norm();
    const EventId summed = b.record(Stream::compute);
    b.wait(Stream::host, b.move(summed, {on_device, 0, 0}, {norm_, 0, 0}, 1, DType::fp64));
}

bool HostOptimizer::on_nvme(BufferId buffer) const {
    return buffer.valid() && context_.builder.role.buffers[buffer.index()].tier == Tier::nvme;
}

Operand HostOptimizer::staging(Set& set, What what, DType type) {
    constexpr std::array kNames = {"updated parameters", "master", "state1", "state2"};
    BufferId& buffer = set.buffers[what];
    if (!buffer.valid())
        buffer = context_.builder.buffer(
            fmt::format("staged {} {}", kNames[what], &set - sets_.data()), largest_, type,
            what == updated ? Category::parameters : Category::optimizer_states,
            Residence::transient, Tier::host);
    return {buffer, 0, 0};
}

// Where the step finds what it reads and writes: in place, or read from NVMe, once the set is free.
Operand HostOptimizer::at_hand(Set& set, What what, BufferId buffer, DType type,
                               std::int64_t elements) {
    if (!buffer.valid()) return {};
    if (!on_nvme(buffer)) return {buffer, 0, 0};
    auto& b = context_.builder;
    const Operand staged = staging(set, what, type);
    const EventId free = set.written.valid() ? set.written : start_;
    b.wait(Stream::host, b.move(free, {buffer, 0, 0}, staged, elements, type));
    return staged;
}

void HostOptimizer::write_back(Set& set, What what, BufferId buffer, DType type,
                               std::int64_t elements, EventId stepped) {
    if (!on_nvme(buffer)) return;
    set.written = written_ =
        context_.builder.move(stepped, staging(set, what, type), {buffer, 0, 0}, elements, type);
}

EventId HostOptimizer::step(UnitId id) {
    auto& b = context_.builder;
    const Unit& unit = context_.units[id.index()];
    const UnitBuffers& u = parameters_.unit(id);
    const DType state = context_.state, stored = context_.stored(unit);
    const std::int64_t n = unit.shard;
    Set& set = sets_[id.index() % kSets];
    const Operand master_in = at_hand(set, master, u.master, state, n);
    const Operand state1_in = at_hand(set, state1, u.state1, state, n);
    const Operand state2_in = at_hand(set, state2, u.state2, state, n);
    const bool fetched = context_.fetches(unit);
    // A step without a master reads the parameters too.
    Operand value{u.value, 0, 0};
    if (fetched && !context_.keeps_master(unit)) {
        // Parameters that are not fetched may still be on their way from there to the device.
        if (set.sent.valid() && on_nvme(u.value)) b.wait(Stream::nvme_read, set.sent);
        value = at_hand(set, updated, u.value, stored, n);
    } else if (!fetched || on_nvme(u.value)) {
        value = staging(set, updated, stored);
    }
    for (const EventId left : {set.sent, set.written})
        if (left.valid()) b.wait(Stream::host, left);
    DType gradient = context_.gradient;
    Operand stepped{u.stepped, 0, 0};
    if (u.wide.valid()) {
        b.compute_on(Stream::host, Copy{n}, state, state, {stepped, {u.wide, 0, 0}});
        stepped = {u.wide, 0, 0};
        gradient = state;
    }
    const auto& training = context_.training;
    b.compute_on(Stream::host,
                 OptimizerStep{n, training.optimizer, training.clip, context_.keeps_master(unit)},
                 stored, gradient,
                 {stepped, {norm_, 0, 0}, value, master_in, state1_in, state2_in});
    const EventId done = b.record(Stream::host);
    write_back(set, master, u.master, state, n, done);
    write_back(set, state1, u.state1, state, n, done);
    write_back(set, state2, u.state2, state, n, done);
    write_back(set, updated, u.value, stored, n, done);
    if (fetched) return {};
    const bool whole = context_.is_sharded(unit) && context_.zero_of(unit) < 3;
    const Operand own{u.value, 0, whole ? n * size_of(stored) : 0, unit.group};
    set.sent = sent_ = b.move(done, value, own, n, stored);
    return sent_;
}

void HostOptimizer::finish() {
    auto& b = context_.builder;
    b.wait(Stream::compute, b.record(Stream::host));
    for (const EventId last : {sent_, written_})
        if (last.valid()) b.wait(Stream::compute, last);
}

}  // namespace shardscope
