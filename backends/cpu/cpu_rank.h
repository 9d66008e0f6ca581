// One rank of a CPU run: its executor, interpreter, memory account and times.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "backends/cpu/cpu_executor.h"
#include "backends/interpreter.h"
#include "backends/live_buffers.h"
#include "backends/rank_run.h"
#include "backends/rank_state.h"
#include "backends/span_log.h"
#include "core/data/data_source.h"
#include "core/lowering/plan.h"
#include "core/report/trace.h"

namespace shardscope {

// Constructed and driven by the rank's thread; only abort() may come from others. `plan` and `data`
// must outlive it.
class CpuRank final : public RankRun {
public:
    // Allocates the arena and draws the initial weights. Computes on as many threads as the plan says.
    CpuRank(const Plan& plan, Rank rank, const DataSource& data, RankCommunicators communicators,
            const CpuExecutorOptions& options);

    // Runs step number `step` (0, 1, …) to its end. The first step carries the memory account; where
    // the build poisons dead bytes, every step does.
    void run_step(std::int64_t step) override;

    void finish_step() override;

    const StepScalars& scalars() const override { return scalars_; }
    Bytes memory() const override { return memory_.peak; }
    // Its bytes stay readable until the next step.
    RankState state() override;
    void abort() noexcept { executor_.abort(); }

    RankTrace take_trace(bool with_spans) override;

private:
    const Plan& plan_;
    Rank rank_;
    const RoleProgram& role_;
    CpuExecutor executor_;
    std::byte* arena_;
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
