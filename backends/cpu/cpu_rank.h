// One rank of a CPU run: its executor, interpreter, memory account and times.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "backends/cpu/cpu_executor.h"
#include "backends/interpreter.h"
#include "backends/live_buffers.h"
#include "backends/rank_state.h"
#include "backends/span_log.h"
#include "core/data/data_source.h"
#include "core/lowering/plan.h"
#include "core/report/trace.h"

namespace shardscope {

// Steps that records have room for before the run, so that they are not counted as memory that steps
// take.
inline constexpr std::int64_t kReservedSteps = 1 << 16;

// Constructed and driven by the rank's thread; only abort() may come from others. `plan` and `data`
// must outlive it.
class CpuRank {
public:
    // Allocates the arena and draws the initial weights. Computes on as many threads as the plan says.
    CpuRank(const Plan& plan, Rank rank, const DataSource& data, RankCommunicators communicators,
            const CpuExecutorOptions& options);

    // Runs step number `step` (0, 1, …) to its end. The first step carries the memory account; where
    // the build poisons dead bytes, every step does.
    void run_step(std::int64_t step);

    // Evaluates the times of the step that ran last; apart from run_step so that ranks that finish
    // early do not compute while others are still being timed.
    void finish_step();

    const StepScalars& scalars() const { return scalars_; }  // of the last step
    RankState state() const { return state_; }
    void abort() noexcept { executor_.abort(); }

    // Makes all bytes of the arena readable until the next step, for callers of state().
    void open_arena() const;

    // What was observed; the first step, a warm-up, is left out where there are more. Call once.
    RankTrace take_trace(bool with_spans);

private:
    const Plan& plan_;
    Rank rank_;
    const RoleProgram& role_;
    CpuExecutor executor_;
    Interpreter interpreter_;
    RankState state_;
    std::unique_ptr<LiveBuffers> account_;
    SpanLog log_;
    StepScalars scalars_;
    Seconds wall_;
    std::vector<StepTime> steps_;
    MemoryUse memory_;
};

}  // namespace shardscope
