// A trace as Chrome trace JSON ("Trace Event Format"), for ui.perfetto.dev and chrome://tracing.
//
// One process per rank, or per role of a simulation, named after what it stands for; one thread per
// stream that did something; one complete event per span; one counter of the planned bytes in use.
// Times are microseconds from the step's start, with nanosecond digits. docs/report.md has the fields.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/lowering/plan.h"
#include "core/report/trace.h"

namespace shardscope {

// One runner's trace of the plan, with spans (RunOptions::record_spans).
struct TracePart {
    std::string_view title;  // "simulated"; may be empty
    const Trace* trace = nullptr;
};

// All parts in one file, their processes one after the other.
std::string chrome_trace(const Plan& plan, std::span<const TracePart> parts);

}  // namespace shardscope
