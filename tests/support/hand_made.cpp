#include "tests/support/hand_made.h"

#include <algorithm>

namespace shardscope::test {
namespace {

Bytes round_up(Bytes size) {
    return Bytes((size.value + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment);
}

}  // namespace

HandMade::HandMade(int ranks) {
    program.groups.push_back({"dp", ranks, 1});
    RoleProgram role;
    role.name = "all ranks";
    for (int r = 0; r < ranks; ++r) role.ranks.push_back(Rank(r));
    program.roles.push_back(role);
}

BufferId HandMade::place(Bytes offset, Buffer buffer, std::int32_t frame) {
    if (frame < 0) plan.arena = std::max(plan.arena, round_up(offset + buffer.size()));
    plan.offset.push_back(offset);
    plan.frame.push_back(frame);
    role().buffers.push_back(std::move(buffer));
    return BufferId(role().buffers.size() - 1);
}

BufferId HandMade::buffer(const std::string& name, std::int64_t elements, Residence residence,
                          Category category) {
    return place(plan.arena, {name, elements, DType::fp32, category, residence});
}

BufferId HandMade::buffer_at(Bytes offset, const std::string& name, std::int64_t elements,
                             Category category) {
    return place(offset, {name, elements, DType::fp32, category, Residence::transient});
}

std::int32_t HandMade::frame(Bytes size, std::vector<Bytes> base) {
    for (const Bytes b : base) plan.arena = std::max(plan.arena, round_up(b + size));
    plan.frames.push_back({0, size, std::move(base)});
    return static_cast<std::int32_t>(plan.frames.size()) - 1;
}

BufferId HandMade::buffer_in(std::int32_t frame, Bytes offset, const std::string& name,
                             std::int64_t elements, Category category) {
    return place(offset, {name, elements, DType::fp32, category, Residence::transient}, frame);
}

HandMade& HandMade::append(Operation operation, Stream stream) {
    role().bodies.back().instructions.push_back({std::move(operation), stream, phase_, -1});
    return *this;
}

HandMade& HandMade::body(const std::string& name) {
    role().schedule.push_back({BodyId(role().bodies.size()), 0});
    role().bodies.push_back({name, {}});
    return *this;
}

HandMade& HandMade::zero(BufferId x, Stream stream) {
    Compute c;
    c.kernel = Zero{role().buffers[x.index()].elements};
    c.operands[0] = {x, 0, 0};
    return append(c, stream);
}

HandMade& HandMade::add(BufferId x, BufferId y, Stream stream) {
    Compute c;
    c.kernel = Add{role().buffers[y.index()].elements};
    c.operands[0] = {y, 0, 0};
    c.operands[1] = {x, 0, 0};
    return append(c, stream);
}

HandMade& HandMade::collective(CollectiveKind kind, Stream stream, Operand send, Operand recv,
                               std::int64_t elements) {
    Collective c;
    c.kind = kind;
    c.group = GroupId(0);
    c.elements = elements;
    c.send = send;
    c.recv = recv;
    return append(c, stream);
}

HandMade& HandMade::all_reduce(BufferId x, Stream stream) {
    return collective(CollectiveKind::all_reduce, stream, {}, {x, 0, 0},
                      role().buffers[x.index()].elements);
}

HandMade& HandMade::exchange(std::vector<End> ends, Stream stream) {
    Exchange x;
    for (const End& e : ends)
        x.transfers.push_back({GroupId(0),
                               e.peer,
                               e.send,
                               role().buffers[e.buffer.index()].elements,
                               DType::fp32,
                               {e.buffer, 0, 0}});
    return append(x, stream);
}

HandMade& HandMade::order(Stream from, Stream to) {
    const EventId event(role().events++);
    return record(event, from).wait(event, to);
}

HandMade& HandMade::record(EventId event, Stream stream) {
    return append(RecordEvent{event}, stream);
}

HandMade& HandMade::wait(EventId event, Stream stream) { return append(WaitEvent{event}, stream); }

HandMade& HandMade::copy_to_host(CopyToHost::What what, BufferId x) {
    return append(CopyToHost{what, {x, 0, 0}}, Stream::compute);
}

HandMade& HandMade::phase(Phase phase) {
    phase_ = phase;
    return *this;
}

Program stages_of(const std::vector<HandMade>& stages) {
    Program all = stages.front().program;
    all.roles.clear();
    for (std::size_t s = 0; s < stages.size(); ++s) {
        all.roles.push_back(stages[s].role());
        all.roles[s].name = "stage " + std::to_string(s);
        all.roles[s].ranks = {Rank(s)};
    }
    return all;
}

}  // namespace shardscope::test
