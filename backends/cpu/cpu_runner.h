// Runs a Plan on the cores of this machine: every rank is a thread of this process.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "backends/rank_state.h"
#include "core/runner.h"

namespace shardscope {

// For tests and diagnosis; users need none of it.
struct CpuRunnerOptions {
    // Slept before every collective and exchange: exposes missing waits, and proves overlap.
    std::chrono::nanoseconds communication_delay{0};
    // Whether programs are checked before they run (core/program/check.h).
    bool check_program = true;
    // Called after each step (0, 1, …) on each rank's thread, ranks at the same time; may change the
    // state. Times do not include it.
    std::function<void(int rank, std::int64_t step, const RankState& state)> inspect;
};

// Throws Error "unsupported" for a precision that CPU ranks do not train in, and what check_program and
// check_progress throw where the options ask for them.
void check_runnable(const Plan& plan, const CpuRunnerOptions& options);

// Step 1 trains like every other but is a warm-up: it is not timed (unless it is the only one), and
// bytes in use are accounted for in it. Losses and norms are of all steps. An error of a rank ends all
// ranks; what is thrown names the rank. Losses that are not finite are a note in the Trace.
class CpuRunner final : public Runner {
public:
    CpuRunner() = default;
    explicit CpuRunner(CpuRunnerOptions options) : options_(std::move(options)) {}

    std::string_view name() const override { return "cpu threads"; }
    Trace run(const Scenario& scenario, const Plan& plan, const RunOptions& options) override;

private:
    CpuRunnerOptions options_;
};

}  // namespace shardscope
