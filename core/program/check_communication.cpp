#include "core/program/check_communication.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "core/program/check_error.h"
#include "core/program/role_links.h"

namespace shardscope {
namespace {

// Calls visit(instruction) for a step of the role, in the order of issue.
template <class Visitor>
void for_each_issue(const RoleProgram& role, Visitor&& visit) {
    for (const Task& task : role.schedule)
        for (const Instruction& i : role.bodies[task.body.index()].instructions) visit(i);
}

// What members must agree on.
struct CollectiveCall {
    CollectiveKind kind = CollectiveKind::all_reduce;
    std::int64_t elements = 0;
    DType dtype = DType::fp32;
    ReduceOp reduce = ReduceOp::sum;
    bool operator==(const CollectiveCall&) const = default;
};

using Communicators = std::pair<GroupId, Stream>;
using CollectiveCalls = std::map<Communicators, std::vector<CollectiveCall>>;

CollectiveCalls collectives_of(const RoleProgram& role) {
    CollectiveCalls calls;
    for_each_issue(role, [&](const Instruction& i) {
        if (const auto* c = std::get_if<Collective>(&i.operation))
            calls[{c->group, i.stream}].push_back({c->kind, c->elements, c->dtype, c->reduce});
    });
    return calls;
}

std::string describe_call(const std::vector<CollectiveCall>& calls, std::size_t n) {
    if (n >= calls.size()) return "nothing";
    const CollectiveCall& c = calls[n];
    return fmt::format("{}{} of {} {}", collective_name(c.kind),
                       c.reduce == ReduceOp::maximum ? " (maximum)" : "", c.elements,
                       name_of(c.dtype));
}

void compare_calls(const Program& program, const Communicators& where, std::size_t role_a,
                   const std::vector<CollectiveCall>& a, std::size_t role_b,
                   const std::vector<CollectiveCall>& b) {
    if (a == b) return;
    const std::size_t common = std::min(a.size(), b.size());
    const auto differ =
        std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(common), b.begin());
    const auto n = static_cast<std::size_t>(differ.first - a.begin());
    throw_program_error(
        "program-collective",
        fmt::format("roles \"{}\" and \"{}\" issue different collectives: number {} over \"{}\" on "
                    "stream {} is {} and {}",
                    program.roles[role_a].name, program.roles[role_b].name, n,
                    program.groups[where.first.index()].name, stream_name(where.second),
                    describe_call(a, n), describe_call(b, n)));
}

void check_collectives(const Program& program) {
    std::vector<CollectiveCalls> of_role;
    std::map<Communicators, bool> used;
    for (const RoleProgram& role : program.roles) {
        of_role.push_back(collectives_of(role));
        for (const auto& [where, calls] : of_role.back()) used[where] = true;
    }
    for (std::size_t g = 0; g < program.groups.size(); ++g)
        for (const auto& roles : roles_that_meet(program, GroupId(g)))
            for (const auto& [where, _] : used) {
                if (where.first != GroupId(g)) continue;
                for (std::size_t i = 1; i < roles.size(); ++i)
                    compare_calls(program, where, roles[0], of_role[roles[0]][where], roles[i],
                                  of_role[roles[i]][where]);
            }
}

struct Ends {
    std::vector<const Exchange::Transfer*> sends, receives;
};

std::map<Channel, Ends> channels_of(const Program& program) {
    std::map<Channel, Ends> channels;
    for (std::size_t r = 0; r < program.roles.size(); ++r)
        for_each_issue(program.roles[r], [&](const Instruction& i) {
            const auto* x = std::get_if<Exchange>(&i.operation);
            if (x == nullptr) return;
            for (const auto& t : x->transfers) {
                const int size = program.groups[t.group.index()].size;
                if (t.peer >= size || t.peer < (t.around ? 1 - size : 0))
                    throw_program_error("program-exchange",
                                        fmt::format("role \"{}\": peer {} is no member of \"{}\"",
                                                    program.roles[r].name, t.peer,
                                                    program.groups[t.group.index()].name));
                Ends& ends = channels[channel_of(program, r, i.stream, t)];
                (t.send ? ends.sends : ends.receives).push_back(&t);
            }
        });
    return channels;
}

void check_exchanges(const Program& program) {
    for (const auto& [channel, ends] : channels_of(program)) {
        const std::string& from = program.roles[channel.from].name;
        const std::string& to = program.roles[channel.to].name;
        if (ends.sends.size() != ends.receives.size())
            throw_program_error(
                "program-exchange",
                fmt::format("\"{}\" sends {} times to \"{}\", which receives {} times", from,
                            ends.sends.size(), to, ends.receives.size()));
        for (std::size_t n = 0; n < ends.sends.size(); ++n) {
            const auto &s = *ends.sends[n], &r = *ends.receives[n];
            if (s.elements == r.elements && s.dtype == r.dtype) continue;
            throw_program_error(
                "program-exchange",
                fmt::format("transfer {} from \"{}\" to \"{}\": {} {} are sent and {} {} received",
                            n, from, to, s.elements, name_of(s.dtype), r.elements,
                            name_of(r.dtype)));
        }
    }
}

}  // namespace

void check_communication(const Program& program) {
    check_collectives(program);
    check_exchanges(program);
}

}  // namespace shardscope
