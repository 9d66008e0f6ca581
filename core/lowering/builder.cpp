#include "core/lowering/builder.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace shardscope {

BufferId RoleBuilder::buffer(std::string name, std::int64_t elements, DType dtype,
                             Category category, Residence residence, Tier tier) {
    if (elements == 0) return {};
    role.buffers.push_back({std::move(name), elements, dtype, category, residence, tier});
    return BufferId(role.buffers.size() - 1);
}

BodyId RoleBuilder::begin_body(std::string name, int chunk) {
    close_body();
    role.bodies.push_back({std::move(name), {}, chunk});
    return BodyId(role.bodies.size() - 1);
}

void RoleBuilder::at(Phase phase, std::int32_t layer) {
    phase_ = phase;
    layer_ = layer;
}

void RoleBuilder::close_body() {
    if (role.bodies.empty()) return;
    role.bodies.back().instructions.assign(std::make_move_iterator(open_.begin()),
                                           std::make_move_iterator(open_.end()));
    open_.clear();
}

RoleProgram RoleBuilder::take() {
    close_body();
    return std::move(role);
}

Instruction& RoleBuilder::append(Stream stream) {
    Instruction& instruction = open_.emplace_back();
    instruction.stream = stream;
    instruction.phase = phase_;
    instruction.layer = layer_;
    return instruction;
}

Compute& RoleBuilder::compute(const Kernel& kernel, DType dtype, DType gradient,
                              std::initializer_list<Operand> operands,
                              std::optional<MathType> math) {
    Compute& c = append_kernel(Stream::compute, kernel, dtype, gradient, operands);
    c.math = math;
    return c;
}

void RoleBuilder::compute_on(Stream stream, const Kernel& kernel, DType dtype, DType gradient,
                             std::initializer_list<Operand> operands) {
    append_kernel(stream, kernel, dtype, gradient, operands);
}

Compute& RoleBuilder::append_kernel(Stream stream, const Kernel& kernel, DType dtype,
                                    DType gradient, std::initializer_list<Operand> operands) {
    auto& c = append(stream).operation.emplace<Compute>();
    c.kernel = kernel;
    c.dtype = dtype;
    c.gradient = gradient;
    std::copy(operands.begin(), operands.end(), c.operands.begin());
    return c;
}

EventId RoleBuilder::move(EventId after, Operand from, Operand to, std::int64_t elements,
                          DType dtype) {
    const auto tier = [&](const Operand& o) { return role.buffers[o.buffer.index()].tier; };
    const Stream stream = stream_between(tier(from), tier(to));
    if (after.valid()) wait(stream, after);
    append(stream).operation = Move{elements, dtype, from, to};
    return record(stream);
}

void RoleBuilder::collective(Stream stream, Collective collective) {
    append(stream).operation = collective;
}

void RoleBuilder::copy_to_host(CopyToHost::What what, Operand operand) {
    append(Stream::compute).operation = CopyToHost{what, operand};
}

void RoleBuilder::exchange(Stream stream, Exchange exchange) {
    append(stream).operation = std::move(exchange);
}

void RoleBuilder::record(Stream stream, EventId event) {
    append(stream).operation = RecordEvent{event};
}

EventId RoleBuilder::record(Stream stream) {
    const EventId event = new_event();
    record(stream, event);
    return event;
}

void RoleBuilder::wait(Stream stream, EventId event, bool host) {
    append(stream).operation = WaitEvent{event, host};
}

}  // namespace shardscope
