// What a run tells of its steps, whatever its ranks are.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "backends/interpreter.h"
#include "backends/span_log.h"
#include "core/lowering/plan.h"
#include "core/report/trace.h"
#include "core/runner.h"

namespace shardscope {

// Losses and gradient norms of all steps, told as they come; not thread-safe. `plan` and `options` must
// outlive it.
class RunRecord {
public:
    RunRecord(const Plan& plan, const RunOptions& options);

    void start() { start_ = SpanLog::Clock::now(); }
    // `scalars` and `memory` (StepProgress's): of every rank, in rank order.
    void add_step(std::int64_t step, std::span<const StepScalars> scalars,
                  std::span<const Bytes> memory);

    // Moves losses and norms into the trace, and adds what a reader must know: losses that are not
    // finite, ranks that share `cores` (of `ranks` on one machine).
    void finish(Trace& trace, int ranks, int cores);

private:
    const Plan& plan_;
    const RunOptions& options_;
    SpanLog::Clock::time_point start_;
    std::vector<double> losses_, gradient_norms_;
};

}  // namespace shardscope
