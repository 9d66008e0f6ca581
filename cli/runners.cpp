#include "cli/runners.h"

#include <array>
#include <vector>

#include <fmt/format.h>

#include "backends/cpu/cpu_runner.h"
#include "backends/cpu/process_runner.h"
#include "core/error.h"
#include "core/nearest.h"
#include "simulator/event_runner.h"

namespace shardscope {
namespace {

std::unique_ptr<Runner> make_cpu() { return std::make_unique<CpuRunner>(); }
std::unique_ptr<Runner> make_cpu_process(MessageLink& link) {
    return std::make_unique<ProcessRunner>(link);
}

constexpr std::array<Backend, 2> kBackends{{
    {"cpu", "ranks are threads, or the processes of a launcher; Eigen and oneDNN kernels", "",
     make_cpu, make_cpu_process},
    {"cuda", "one GPU per rank; cuBLASLt, cuDNN and NCCL", "this build has no cuda backend",
     nullptr, nullptr},
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

std::unique_ptr<Runner> make_runner(const Backend& backend, MessageLink* link) {
    if (!backend.make) {
        throw Error("backend-missing", std::string(backend.missing), "use --backend cpu",
                    ErrorKind::run_failed);
    }
    return link == nullptr ? backend.make() : backend.make_process(*link);
}

std::unique_ptr<Runner> make_simulator() { return std::make_unique<EventRunner>(); }

}  // namespace shardscope
