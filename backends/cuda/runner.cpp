#include "backends/cuda/runner.h"

#include <memory>

#include <cuda_runtime.h>

#include "backends/cuda/dispatch.h"
#include "backends/cuda/rank.h"
#include "backends/executable.h"
#include "backends/process/solo_link.h"
#include "backends/process_run.h"
#include "core/error.h"
#include "core/program/check.h"
#include "core/program/check_progress.h"

namespace shardscope::cuda {
namespace {

// GPUs have as many ranks as the user allows for.
void expect_device(const CudaOptions& options) {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess) {
        devices = 0;  // the call may have left it as it was
        cudaGetLastError();
    }
    if (options.device < devices) return;
    throw Error("gpus",
                "this rank needs GPU " + std::to_string(options.device) + ", but there are " +
                    std::to_string(devices),
                "start fewer ranks, or give --ranks-per-gpu to let several share one (to see that "
                "results are right, not how fast they come)",
                ErrorKind::run_failed);
}

std::vector<std::string> notes_of(const Plan& plan, const CudaOptions& options) {
    std::vector<std::string> notes;
    if (options.ranks_per_gpu > 1 && plan.layout.world > 1)
        notes.push_back(std::to_string(options.ranks_per_gpu) +
                        " ranks share a GPU and communicate over sockets: their times say nothing "
                        "of several GPUs, and memory outside the arena is not told apart");
    if (options.tf32 && plan.training.precision == DType::fp32)
        notes.emplace_back("fp32 matrix multiplies round their inputs to TF32");
    return notes;
}

}  // namespace

Trace CudaRunner::run(const Scenario& scenario, const Plan& plan, const RunOptions& options) {
    expect_executable(plan);
    expect_supported(plan.training.precision,
                     plan.training.gradient_dtype.value_or(plan.training.precision));
    check_program(plan.program, plan.memory);
    check_progress(plan.program, Host::issues);
    std::unique_ptr<MessageLink> solo;
    if (link_ == nullptr) solo = make_solo_link("this machine");
    MessageLink& link = link_ == nullptr ? *solo : *link_;
    std::unique_ptr<DataSource> data;
    ProcessRunOptions how;
    how.inspect = diagnosis_.inspect;
    how.notes = notes_of(plan, options_);
    how.make_rank = [&]() -> std::unique_ptr<RankRun> {
        expect_device(options_);
        data = open_data(scenario.data, *plan.model, plan.training.seed);
        return std::make_unique<CudaRank>(plan, *data, link, options_);
    };
    return run_as_process(link, plan, how, options);
}

}  // namespace shardscope::cuda
