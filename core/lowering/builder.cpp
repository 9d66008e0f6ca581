#include "core/lowering/builder.h"

#include <algorithm>

namespace shardscope {

BufferId RoleBuilder::buffer(const std::string& name, std::int64_t elements, DType dtype,
                             Category category, Residence residence) {
    if (elements == 0) return {};
    const auto [it, inserted] = by_name_.try_emplace(name, BufferId(role.buffers.size()));
    if (inserted) role.buffers.push_back({name, elements, dtype, category, residence});
    return it->second;
}

BodyId RoleBuilder::begin_body(std::string name, int chunk) {
    role.bodies.push_back({std::move(name), {}, chunk});
    return BodyId(role.bodies.size() - 1);
}

void RoleBuilder::at(Phase phase, std::int32_t layer) {
    phase_ = phase;
    layer_ = layer;
}

Instruction& RoleBuilder::append(Operation operation, Stream stream) {
    auto& list = role.bodies.back().instructions;
    list.push_back({std::move(operation), stream, phase_, layer_});
    return list.back();
}

void RoleBuilder::compute(Kernel kernel, DType dtype, DType gradient,
                          std::initializer_list<Operand> operands, std::optional<MathType> math) {
    Compute c{kernel, dtype, gradient, {}, math};
    std::copy(operands.begin(), operands.end(), c.operands.begin());
    append(c, Stream::compute);
}

void RoleBuilder::collective(Stream stream, Collective collective) { append(collective, stream); }

void RoleBuilder::copy_to_host(CopyToHost::What what, Operand operand) {
    append(CopyToHost{what, operand}, Stream::compute);
}

void RoleBuilder::exchange(Stream stream, Exchange exchange) {
    append(std::move(exchange), stream);
}

void RoleBuilder::record(Stream stream, EventId event) { append(RecordEvent{event}, stream); }

EventId RoleBuilder::record(Stream stream) {
    const EventId event = new_event();
    record(stream, event);
    return event;
}

void RoleBuilder::wait(Stream stream, EventId event) { append(WaitEvent{event}, stream); }

}  // namespace shardscope
