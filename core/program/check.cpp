#include "core/program/check.h"

#include <cstdlib>

#include <fmt/format.h>

#include "core/program/check_arena.h"
#include "core/program/check_communication.h"
#include "core/program/check_error.h"
#include "core/program/check_progress.h"

namespace shardscope {
namespace {

std::string place(const Body& body, std::size_t index) {
    return fmt::format("body \"{}\", instruction {}", body.name, index);
}

// Calls visit(body, index, instruction) for every instruction of the role.
template <class Visitor>
void visit_instructions(const RoleProgram& role, Visitor&& visit) {
    for (const Body& body : role.bodies)
        for (std::size_t i = 0; i < body.instructions.size(); ++i)
            visit(body, i, body.instructions[i]);
}

void check_bounds(const Program& program, const RoleProgram& role) {
    // Operand::rank_stride counts the index in the data-parallel group, which is the first, or in one
    // that the operand names.
    const auto last = [&](GroupId group) {
        const std::size_t index = group.valid() ? group.index() : 0;
        return index < program.groups.size() ? program.groups[index].size - 1 : 0;
    };
    visit_instructions(role, [&](const Body& body, std::size_t i, const Instruction& instruction) {
        for_each_operand(instruction, [&](const Operand& o, Access) {
            const Buffer& buffer = role.buffers[o.buffer.index()];
            const std::int64_t begin = o.offset + last(o.group) * o.rank_stride;
            if (o.offset < 0 || begin >= buffer.size().value)
                throw_program_error("program-bounds",
                                    fmt::format("{}: offset {} lies outside {}", place(body, i),
                                                begin, buffer.name));
        });
    });
}

// Kernels of the host reach its memory only, other instructions the device's, and a move goes from one tier
// to its neighbour on the stream of that way.
void check_tiers(const RoleProgram& role) {
    const auto tier = [&](const Operand& o) { return role.buffers[o.buffer.index()].tier; };
    visit_instructions(role, [&](const Body& body, std::size_t i, const Instruction& it) {
        if (const auto* move = std::get_if<Move>(&it.operation)) {
            const Tier from = tier(move->from), to = tier(move->to);
            const bool neighbours = std::abs(static_cast<int>(from) - static_cast<int>(to)) == 1;
            if (!neighbours || it.stream != stream_between(from, to))
                throw_program_error(
                    "program-tier",
                    fmt::format("{}: a move from {} to {} on stream {}", place(body, i),
                                tier_name(from), tier_name(to), stream_name(it.stream)));
            return;
        }
        const Tier reach = it.stream == Stream::host ? Tier::host : Tier::device;
        for_each_operand(it, [&](const Operand& o, Access) {
            if (tier(o) != reach)
                throw_program_error(
                    "program-tier",
                    fmt::format("{}: {} lies in {} memory, out of reach of stream {}",
                                place(body, i), role.buffers[o.buffer.index()].name,
                                tier_name(tier(o)), stream_name(it.stream)));
        });
    });
}

void check_events(const RoleProgram& role) {
    std::vector<bool> recorded(static_cast<std::size_t>(role.events), false);
    visit_instructions(role, [&](const Body& body, std::size_t i, const Instruction& instruction) {
        const auto* r = std::get_if<RecordEvent>(&instruction.operation);
        if (r == nullptr) return;
        if (recorded.at(r->event.index()))
            throw_program_error("program-event", fmt::format("{}: event {} is recorded twice",
                                                             place(body, i), r->event.value));
        recorded[r->event.index()] = true;
    });
    visit_instructions(role, [&](const Body& body, std::size_t i, const Instruction& instruction) {
        const auto* w = std::get_if<WaitEvent>(&instruction.operation);
        if (w != nullptr && !recorded.at(w->event.index()))
            throw_program_error("program-event",
                                fmt::format("{}: event {} is waited for and never recorded",
                                            place(body, i), w->event.value));
    });
}

}  // namespace

void check_program(const Program& program, const std::vector<MemoryPlan>& plans) {
    for (std::size_t r = 0; r < program.roles.size(); ++r) {
        check_bounds(program, program.roles[r]);
        check_tiers(program.roles[r]);
        check_events(program.roles[r]);
        check_arena(program.roles[r], plans[r]);
    }
    check_communication(program);
    check_progress(program);
}

}  // namespace shardscope
