#include "core/report/span_description.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace shardscope {
namespace {

// Fills in name and amounts of one operation.
class Describe {
public:
    Describe(const Program& program, const std::vector<EventOrigin>& origins, SpanDescription& to)
        : program_(program), origins_(origins), to_(to) {}

    void operator()(const Compute& c) const {
        to_.name = kernel_name(c.kernel);
        const KernelCost cost = cost_of(c.kernel, c.dtype, c.gradient);
        to_.flops = cost.matmul + cost.other;
        to_.bytes = cost.moved();
    }
    void operator()(const Collective& c) const {
        to_.name = fmt::format("{}{} over {}", collective_name(c.kind),
                               c.reduce == ReduceOp::maximum ? " (maximum)" : "", group(c.group));
        to_.bytes = c.bytes();
    }
    void operator()(const Exchange& x) const {
        to_.name = fmt::format("exchange of {} transfers", x.transfers.size());
        if (x.transfers.size() == 1) {
            const Exchange::Transfer& t = x.transfers.front();
            to_.name = fmt::format("{} {} {}", t.send ? "send to" : "receive from", group(t.group),
                                   t.peer);
        }
        to_.bytes = Bytes();
        for (const auto& t : x.transfers) *to_.bytes += Bytes(t.elements * size_of(t.dtype));
    }
    void operator()(const WaitEvent& w) const {
        to_.name = fmt::format("wait for {}", stream_name(origins_[w.event.index()].stream));
    }
    void operator()(const RecordEvent&) const { to_.name = "record"; }
    void operator()(const CopyToHost&) const { to_.name = "copy to host"; }
    void operator()(const Move& m) const {
        to_.name = "move";
        to_.bytes = m.bytes();
    }

private:
    const std::string& group(GroupId id) const { return program_.groups[id.index()].name; }

    const Program& program_;
    const std::vector<EventOrigin>& origins_;
    SpanDescription& to_;
};

}  // namespace

std::int64_t nanoseconds(Seconds time) { return std::llround(std::max(0.0, time.value) * 1e9); }

SpanDescriber::SpanDescriber(const Plan& plan, const RoleProgram& role)
    : plan_(plan), role_(role), origins_(event_origins(role)) {}

SpanDescription SpanDescriber::describe(const Span& span) const {
    const Body& body = role_.bodies[span.body.index()];
    SpanDescription what;
    std::visit(Describe(plan_.program, origins_, what),
               body.instructions[static_cast<std::size_t>(span.instruction)].operation);
    if (span.layer >= 0)
        what.layer = plan_.model->layers[static_cast<std::size_t>(span.layer)].name;
    return what;
}

}  // namespace shardscope
