// Runs a Plan on GPUs: this process is one rank of it.
#pragma once

#include <cstdint>
#include <functional>

#include "backends/cuda/cuda_options.h"
#include "backends/process/message_link.h"
#include "backends/rank_state.h"
#include "core/runner.h"

namespace shardscope::cuda {

// For tests and diagnosis; users need none of it.
struct CudaDiagnosis {
    // Called after each step (0, 1, …) with the rank's state, which it may change; not timed.
    std::function<void(int rank, std::int64_t step, const RankState& state)> inspect;
};

// Every process of the link calls run() with the same scenario, plan and options (process_run.h).
class CudaRunner final : public Runner {
public:
    // `link`: of the processes that run the ranks; null: this process runs the only one.
    CudaRunner(const CudaOptions& options, MessageLink* link, CudaDiagnosis diagnosis = {})
        : options_(options), link_(link), diagnosis_(std::move(diagnosis)) {}

    std::string_view name() const override { return "cuda"; }
    Trace run(const Scenario& scenario, const Plan& plan, const RunOptions& options) override;

private:
    CudaOptions options_;
    MessageLink* link_;
    CudaDiagnosis diagnosis_;
};

}  // namespace shardscope::cuda
