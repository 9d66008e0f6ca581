// Ranks of the CUDA backend as threads of this process, each with a made-up GPU of its own and a TCP link.
#pragma once

#include <optional>
#include <vector>

#include "backends/cuda/cuda_options.h"
#include "core/error.h"
#include "core/scenario.h"
#include "tests/host_device/control.h"
#include "tests/support/training.h"

namespace shardscope::test {

struct GpuRun {
    CudaOptions options;             // the device is set for each rank
    host_device::Settings settings;  // as many devices as ranks, if it has fewer
    // Called once all devices are there, before ranks start.
    std::function<void()> prepare;
    std::function<void(int rank, std::int64_t step, const RankState&)> inspect;
};

// The same scenario with its cluster's devices being GPUs.
Scenario on_gpus(Scenario scenario);

// Trains on GPUs; throws what rank 0 threw, else what another did.
Trained train_on_gpus(const Scenario& scenario, const GpuRun& run = {});

// What each rank threw, and how long it took until all had ended.
struct Failures {
    std::vector<std::optional<Error>> of_rank;
    double seconds = 0;
};
Failures failures_on_gpus(const Scenario& scenario, const GpuRun& run);

}  // namespace shardscope::test
