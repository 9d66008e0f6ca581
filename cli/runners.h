// The composition root: which backends this build has.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "backends/cuda/cuda_options.h"
#include "backends/process/message_link.h"
#include "cli/environment.h"
#include "core/runner.h"

namespace shardscope {

// What a runner is made for.
struct RunnerRequest {
    const Environment& environment;
    MessageLink* link = nullptr;  // of the processes that run the ranks; null: this one runs all
    const CudaOptions& cuda;      // of no interest to other backends
};

struct Backend {
    std::string_view name;
    std::string_view description;
    bool gpus = false;  // one GPU per rank, one process per GPU
    // Why it cannot be used on this machine; empty: it can.
    std::string (*why_not)(const Environment& environment);
    // Throws Error{run_failed} where it cannot be used.
    std::unique_ptr<Runner> (*make)(const RunnerRequest& request);
};

std::span<const Backend> backends();

// Throws Error "usage" (exit code 2) with the nearest name where there is no such backend at all.
const Backend& find_backend(const std::string& name);

std::unique_ptr<Runner> make_simulator();

}  // namespace shardscope
