#include "core/lowering/builder.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace shardscope {

BufferId RoleBuilder::buffer(std::string name, std::int64_t elements, DType dtype,
                             Category category, Residence residence) {
    if (elements == 0) return {};
    role.buffers.push_back({std::move(name), elements, dtype, category, residence});
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

void RoleBuilder::compute(const Kernel& kernel, DType dtype, DType gradient,
                          std::initializer_list<Operand> operands, std::optional<MathType> math) {
    auto& c = append(Stream::compute).operation.emplace<Compute>();
    c.kernel = kernel;
    c.dtype = dtype;
    c.gradient = gradient;
    c.math = math;
    std::copy(operands.begin(), operands.end(), c.operands.begin());
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

void RoleBuilder::wait(Stream stream, EventId event) {
    append(stream).operation = WaitEvent{event};
}

}  // namespace shardscope
