#include "core/program/check.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "core/error.h"

namespace shardscope {
namespace {

[[noreturn]] void fail(const std::string& rule, const std::string& message) {
    throw Error(rule, message, "this is a defect of the lowering; please report the scenario",
                ErrorKind::run_failed);
}

std::string place(const Body& body, std::size_t index) {
    return fmt::format("body \"{}\", instruction {}", body.name, index);
}

std::int64_t extent_of(const RoleProgram& role, const Operand& o) {
    return role.buffers[o.buffer.index()].size().value;
}

void check_bounds(const Program& program, const RoleProgram& role) {
    const int last = program.groups.empty() ? 0 : program.groups[0].size - 1;
    for (const Body& body : role.bodies)
        for (std::size_t i = 0; i < body.instructions.size(); ++i)
            for_each_operand(body.instructions[i], [&](const Operand& o, Access) {
                const std::int64_t begin = o.offset + last * o.rank_stride;
                if (o.offset < 0 || begin >= extent_of(role, o))
                    fail("program-bounds",
                         fmt::format("{}: offset {} lies outside {}", place(body, i), begin,
                                     role.buffers[o.buffer.index()].name));
            });
}

void check_events(const RoleProgram& role) {
    std::vector<const Body*> recorded(static_cast<std::size_t>(role.events), nullptr);
    for (const Body& body : role.bodies)
        for (std::size_t i = 0; i < body.instructions.size(); ++i) {
            const auto& op = body.instructions[i].operation;
            if (const auto* r = std::get_if<RecordEvent>(&op)) {
                if (recorded[r->event.index()] != nullptr)
                    fail("program-event", fmt::format("{}: event {} is recorded twice",
                                                      place(body, i), r->event.value));
                recorded[r->event.index()] = &body;
            } else if (const auto* w = std::get_if<WaitEvent>(&op)) {
                if (recorded[w->event.index()] != &body)
                    fail("program-event",
                         fmt::format("{}: event {} is waited for before this body records it",
                                     place(body, i), w->event.value));
            }
        }
}

bool meet(const Lifetime& a, const Lifetime& b) {
    for (const Interval& x : a.intervals)
        for (const Interval& y : b.intervals)
            if (x.overlaps(y)) return true;
    return false;
}

void check_overlap(const RoleProgram& role, const MemoryPlan& plan) {
    const std::vector<Lifetime> lives = lifetimes(role);
    std::vector<std::size_t> order(role.buffers.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return plan.offset[a] < plan.offset[b]; });
    for (std::size_t a = 0; a < order.size(); ++a) {
        const std::size_t i = order[a];
        const Bytes end = plan.offset[i] + role.buffers[i].size();
        for (std::size_t b = a + 1; b < order.size() && plan.offset[order[b]] < end; ++b)
            if (meet(lives[i], lives[order[b]]))
                fail("program-overlap",
                     fmt::format("\"{}\" and \"{}\" share bytes while both live",
                                 role.buffers[i].name, role.buffers[order[b]].name));
    }
}

using Signature = std::vector<std::array<std::int64_t, 3>>;  // kind, elements, dtype in order

// What a role issues on each communicator during one step.
std::map<std::pair<int, int>, Signature> collectives_of(const RoleProgram& role) {
    std::map<std::pair<int, int>, Signature> result;
    for (const Task& task : role.schedule)
        for (const Instruction& i : role.bodies[task.body.index()].instructions)
            if (const auto* c = std::get_if<Collective>(&i.operation))
                result[{c->group.value, static_cast<int>(i.stream)}].push_back(
                    {static_cast<std::int64_t>(c->kind), c->elements,
                     static_cast<std::int64_t>(c->dtype)});
    return result;
}

void check_collectives(const Program& program) {
    std::optional<std::map<std::pair<int, int>, Signature>> first;
    for (const RoleProgram& role : program.roles) {
        auto mine = collectives_of(role);
        // Roles that share a group must agree; with one data-parallel group all of them do.
        if (first && mine != *first)
            fail("program-collective",
                 fmt::format("roles \"{}\" and \"{}\" issue different collectives",
                             program.roles[0].name, role.name));
        if (!first) first = std::move(mine);
    }
}

// Happens-before as one counter per stream: clock[s] = how many instructions of stream s are known to
// be complete.
using Clock = std::array<std::int64_t, kStreams>;

void join(Clock& a, const Clock& b) {
    for (std::size_t s = 0; s < kStreams; ++s) a[s] = std::max(a[s], b[s]);
}

// Follows one step of a role and compares every access with earlier ones to the same bytes.
class RaceCheck {
public:
    RaceCheck(const RoleProgram& role, const MemoryPlan& plan)
        : role_(role), plan_(plan), recorded_(static_cast<std::size_t>(role.events)) {
        for (std::size_t i = 0; i < role.buffers.size(); ++i) {
            edges_.push_back(plan.offset[i].value);
            edges_.push_back(plan.offset[i].value + role.buffers[i].size().value);
        }
        std::sort(edges_.begin(), edges_.end());
        edges_.erase(std::unique(edges_.begin(), edges_.end()), edges_.end());
        segments_.resize(edges_.size());
        written_.assign(role.buffers.size(), false);
    }

    // Two steps, so that the end of one meets the start of the next.
    void run() {
        for (int pass = 0; pass < 2; ++pass)
            for (const Task& task : role_.schedule) {
                body_ = &role_.bodies[task.body.index()];
                for (index_ = 0; index_ < body_->instructions.size(); ++index_)
                    step(body_->instructions[index_]);
            }
    }

private:
    struct Touch {
        std::size_t stream = 0;
        std::int64_t count = 0;  // the instruction's number on its stream
        BufferId buffer;
    };
    struct Segment {  // a range of bytes that no buffer's edge divides
        std::optional<Touch> writer;
        std::array<Touch, kStreams> readers{};  // last reader per stream; count 0: none
    };

    void step(const Instruction& i) {
        const auto s = static_cast<std::size_t>(i.stream);
        if (const auto* w = std::get_if<WaitEvent>(&i.operation))
            join(clock_[s], recorded_[w->event.index()]);
        clock_[s][s] += 1;  // a stream is in order: its own past is complete
        if (const auto* r = std::get_if<RecordEvent>(&i.operation))
            recorded_[r->event.index()] = clock_[s];
        for_each_operand(i, [&](const Operand& o, Access access) { touch(s, o, access); });
    }

    void touch(std::size_t stream, const Operand& o, Access access) {
        const Buffer& b = role_.buffers[o.buffer.index()];
        if (access != Access::write && b.residence == Residence::transient &&
            !written_[o.buffer.index()])
            fail("program-uninitialised", fmt::format("{}: \"{}\" is read before anything wrote it",
                                                      place(*body_, index_), b.name));
        if (access != Access::read) written_[o.buffer.index()] = true;
        const std::int64_t begin = plan_.offset[o.buffer.index()].value;
        const std::int64_t end = begin + b.size().value;
        auto e = static_cast<std::size_t>(std::lower_bound(edges_.begin(), edges_.end(), begin) -
                                          edges_.begin());
        const Touch now{stream, clock_[stream][stream], o.buffer};
        for (; e < edges_.size() && edges_[e] < end; ++e) visit(segments_[e], now, access);
    }

    void visit(Segment& segment, const Touch& now, Access access) {
        if (segment.writer) require_order(*segment.writer, now);
        if (access == Access::read) {
            segment.readers[now.stream] = now;
            return;
        }
        for (const Touch& reader : segment.readers)
            if (reader.count > 0) require_order(reader, now);
        segment.writer = now;
        segment.readers.fill({});
    }

    void require_order(const Touch& before, const Touch& now) const {
        if (before.stream == now.stream || clock_[now.stream][before.stream] >= before.count)
            return;
        fail(
            "program-race",
            fmt::format("{}: \"{}\" on stream {} may run together with \"{}\" on stream {}, in the "
                        "same bytes",
                        place(*body_, index_), role_.buffers[now.buffer.index()].name,
                        stream_name(static_cast<Stream>(now.stream)),
                        role_.buffers[before.buffer.index()].name,
                        stream_name(static_cast<Stream>(before.stream))));
    }

    const RoleProgram& role_;
    const MemoryPlan& plan_;
    std::vector<Clock> recorded_;
    std::array<Clock, kStreams> clock_{};
    std::vector<std::int64_t> edges_;
    std::vector<Segment> segments_;
    std::vector<bool> written_;
    const Body* body_ = nullptr;
    std::size_t index_ = 0;
};

}  // namespace

void check_program(const Program& program, const std::vector<MemoryPlan>& plans) {
    for (std::size_t r = 0; r < program.roles.size(); ++r) {
        check_bounds(program, program.roles[r]);
        check_events(program.roles[r]);
        check_overlap(program.roles[r], plans[r]);
        RaceCheck(program.roles[r], plans[r]).run();
    }
    check_collectives(program);
}

}  // namespace shardscope
