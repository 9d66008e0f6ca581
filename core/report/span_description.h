// What a span is called and how much it does: for trace files and for the timeline of the window.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/lowering/plan.h"
#include "core/program/event_origins.h"
#include "core/report/trace.h"

namespace shardscope {

// Rounded, from the step's start. Times before it, which clocks may show, count as the start.
std::int64_t nanoseconds(Seconds time);

struct SpanDescription {
    std::string name;   // "linear", "all_reduce over tp", "receive from pp 1", "wait for gather"
    std::string layer;  // empty: none
    std::optional<Flops> flops;  // of kernels
    std::optional<Bytes> bytes;  // that a kernel reads and writes, or that are communicated
};

// Of one role's spans. Thread-safe; keeps references to plan and role.
class SpanDescriber {
public:
    SpanDescriber(const Plan& plan, const RoleProgram& role);
    SpanDescription describe(const Span& span) const;

private:
    const Plan& plan_;
    const RoleProgram& role_;
    std::vector<EventOrigin> origins_;
};

}  // namespace shardscope
