// One interface for real and simulated execution: a Plan in, a Trace out.
#pragma once

#include <functional>
#include <span>
#include <stop_token>
#include <string_view>

#include "core/lowering/plan.h"
#include "core/report/trace.h"
#include "core/scenario.h"

namespace shardscope {

// What a runner tells while it works; called from the runner's thread, cheap to ignore.
struct StepProgress {
    std::int64_t step = 0, steps = 0;
    double loss = 0;
    Seconds elapsed;
    // By rank, measured so far: the peak that the report gives it, and what was taken beside the plan (of
    // ranks that are threads with the first). Valid during the call; empty: the runner does not know.
    std::span<const Bytes> memory;
};

struct RunOptions {
    bool record_spans = false;                         // fill RankTrace::spans
    std::function<void(const StepProgress&)> on_step;  // may be empty
    std::stop_token stop;                              // ends after the current step
};

class Runner {
public:
    virtual ~Runner() = default;
    virtual std::string_view name() const = 0;
    // Runs or simulates plan.training.steps steps. Throws Error (run_failed, or invalid_input for what
    // the runner cannot execute, naming it). Thread-safe for different runners.
    virtual Trace run(const Scenario& scenario, const Plan& plan, const RunOptions& options) = 0;
};

}  // namespace shardscope
