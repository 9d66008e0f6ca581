// What a run of CPU ranks tells of its steps, whether the ranks are threads or processes.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "backends/cpu/cpu_runner.h"
#include "backends/interpreter.h"
#include "backends/span_log.h"
#include "core/lowering/plan.h"
#include "core/report/trace.h"
#include "core/runner.h"

namespace shardscope {

// Throws Error "unsupported" for a precision that CPU ranks do not train in, and what check_program and
// check_progress throw where the options ask for them.
void check_runnable(const Plan& plan, const CpuRunnerOptions& options);

// Losses and gradient norms of all steps, told as they come; not thread-safe. `plan` and `options` must
// outlive it.
class RunRecord {
public:
    RunRecord(const Plan& plan, const RunOptions& options);

    void start() { start_ = SpanLog::Clock::now(); }
    // `scalars`: of every rank, in rank order.
    void add_step(std::int64_t step, std::span<const StepScalars> scalars);

    // Moves losses and norms into the trace, and adds what a reader must know: losses that are not
    // finite, ranks that share `cores` (of `ranks` on one machine), what the memory probe cannot see.
    void finish(Trace& trace, int ranks, int cores);

private:
    const Plan& plan_;
    const RunOptions& options_;
    SpanLog::Clock::time_point start_;
    std::vector<double> losses_, gradient_norms_;
};

}  // namespace shardscope
