#include "cli/runners.h"

#include <array>
#include <vector>

#include <fmt/format.h>

#include "backends/cpu/cpu_runner.h"
#include "backends/cpu/process_runner.h"
#include "backends/cuda_module.h"
#include "cli/cuda_libraries.h"
#include "core/error.h"
#include "core/nearest.h"
#include "simulator/event_runner.h"

namespace shardscope {
namespace {

std::string is_always_there(const Environment&) { return ""; }

std::unique_ptr<Runner> make_cpu(const RunnerRequest& request) {
    if (request.link != nullptr) return std::make_unique<ProcessRunner>(*request.link);
    return std::make_unique<CpuRunner>();
}

std::string why_no_cuda(const Environment& environment) {
    try {
        require_gpu(cuda_places(environment));
        return "";
    } catch (const Error& error) {
        return error.message;
    }
}

std::unique_ptr<Runner> make_cuda(const RunnerRequest& request) {
    return require_gpu(cuda_places(request.environment)).make_runner(request.cuda, request.link);
}

constexpr std::array<Backend, 2> kBackends{{
    {"cpu", "ranks are threads, or the processes of a launcher; Eigen and oneDNN kernels", false,
     is_always_there, make_cpu},
    {"cuda", "one GPU per rank; cuBLASLt, cuDNN and NCCL", true, why_no_cuda, make_cuda},
}};

}  // namespace

std::span<const Backend> backends() { return kBackends; }

const Backend& find_backend(const std::string& name) {
    std::vector<std::string_view> names;
    for (const Backend& backend : kBackends) {
        if (backend.name == name) return backend;
        names.push_back(backend.name);
    }
    throw Error("usage", fmt::format("unknown backend \"{}\"", name), suggest_name(name, names),
                ErrorKind::io);
}

std::unique_ptr<Runner> make_simulator() { return std::make_unique<EventRunner>(); }

}  // namespace shardscope
