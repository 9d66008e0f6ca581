#include "cli/gpus.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "cli/cuda_libraries.h"
#include "cli/launch/shell_words.h"
#include "cli/this_machine.h"
#include "core/error.h"
#include "core/scenario_io.h"

namespace shardscope {
namespace {

std::string count_text(std::size_t count, const char* what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

[[noreturn]] void too_few_gpus(std::size_t ranks, std::size_t gpus, int shared) {
    const std::size_t needed = (ranks + gpus - 1) / gpus;
    throw Error("gpus",
                fmt::format("{} on one host, which has {} for them{}", count_text(ranks, "rank"),
                            count_text(gpus, "GPU"),
                            shared > 1 ? fmt::format(", {} ranks each", shared) : ""),
                fmt::format("start {}, or add --ranks-per-gpu {}, whose times mean nothing",
                            gpus * static_cast<std::size_t>(shared), needed),
                ErrorKind::run_failed);
}

// Among those of its host: as the launcher says, else in the order of ranks.
int local_rank(const Environment& environment, Processes& processes) {
    if (environment.place && environment.place->local_rank) return *environment.place->local_rank;
    const auto& hosts = processes.link().hosts();
    const auto own = static_cast<std::size_t>(processes.link().rank().value);
    return static_cast<int>(
        std::count(hosts.begin(), hosts.begin() + static_cast<std::ptrdiff_t>(own), hosts[own]));
}

// Slurm can show each of its tasks one GPU only, another one to each.
int device_for(int local_rank, int ranks_per_gpu, int visible) {
    return visible == 1 ? 0 : local_rank / ranks_per_gpu;
}

Cluster of_this_gpu(const Cluster& asked, const GpuPlace& place, const std::string& measured) {
    const bool described =
        asked.device.kind == DeviceKind::gpu && !asked.device.calibration.empty();
    std::error_code unreadable;
    if (!described && !measured.empty() && std::filesystem::exists(measured, unreadable)) {
        Cluster cluster = load_cluster(measured);
        if (cluster.device.name == place.name) return cluster;
    }
    if (asked.device.kind == DeviceKind::gpu) return asked;
    Cluster cluster;
    cluster.name = place.name;
    cluster.device.name = place.name;
    cluster.device.source = "not measured";
    return cluster;
}

std::string launch_line(int ranks, const GpuPlace& place, const Words& command_line) {
    Words words{"shardscope", "launch", "--num_gpus", fmt::format("{}", ranks), "--"};
    words.insert(words.end(), command_line.begin(), command_line.end());
    if (ranks > place.visible * place.options.ranks_per_gpu)
        words.insert(words.end(), {"--ranks-per-gpu",
                                   fmt::format("{}", (ranks + place.visible - 1) / place.visible)});
    return shell_line(words);
}

}  // namespace

void check_gpu_sharing(const std::vector<std::string>& gpus, const std::vector<std::string>& hosts,
                       int shared, int visible) {
    std::map<std::string, std::size_t> ranks_of_gpu, ranks_of_host;
    std::map<std::string, std::map<std::string, int>> gpus_of_host;
    bool missing = false;
    for (std::size_t rank = 0; rank < gpus.size(); ++rank) {
        ++ranks_of_host[hosts[rank]];
        missing |= gpus[rank].empty();
        if (gpus[rank].empty()) continue;
        ++ranks_of_gpu[gpus[rank]];
        ++gpus_of_host[hosts[rank]][gpus[rank]];
    }
    const auto most = std::ranges::max_element(ranks_of_gpu, {}, [](auto& e) { return e.second; });
    if (!missing && most->second <= static_cast<std::size_t>(shared)) return;
    for (const auto& [host, ranks] : ranks_of_host) {
        const auto used = std::max<std::size_t>(1, gpus_of_host[host].size());
        const auto there = std::max(used, static_cast<std::size_t>(missing ? visible : 1));
        if (ranks > there * static_cast<std::size_t>(shared)) too_few_gpus(ranks, there, shared);
    }
    throw Error("gpus", fmt::format("{} would share one GPU", count_text(most->second, "rank")),
                "give each rank a GPU of its own with LOCAL_RANK or CUDA_VISIBLE_DEVICES",
                ErrorKind::run_failed);
}

GpuPlace place_on_gpus(const RunArguments& arguments, const Environment& environment,
                       Processes* processes) {
    GpuPlace place;
    place.options = arguments.cuda;
    std::vector<GpuInfo> gpus;
    agree(processes, [&] {
        const CudaModule& module = require_gpu(cuda_places(environment));
        gpus = module.devices();
        place.cudnn = arguments.cuda.attention != CudaOptions::Attention::own &&
                      module.why_no_cudnn().empty();
    });
    place.visible = static_cast<int>(gpus.size());
    const int shared = arguments.cuda.ranks_per_gpu;
    if (processes != nullptr)
        place.options.device =
            device_for(local_rank(environment, *processes), shared, place.visible);
    const auto own = static_cast<std::size_t>(place.options.device);
    if (processes != nullptr) {
        const auto used = processes->gather(own < gpus.size() ? gpus[own].uuid : "");
        agree(processes,
              [&] { check_gpu_sharing(used, processes->link().hosts(), shared, place.visible); });
    }
    place.name = gpus[own].name;
    std::vector<double> negative{-static_cast<double>(gpus[own].memory.value)};  // exact up to 2^53
    if (processes != nullptr) processes->largest(negative);
    place.memory = Bytes(static_cast<std::int64_t>(-negative.front()));
    return place;
}

std::optional<GpuPlace> gpus_for(const Backend& backend, const RunArguments& arguments,
                                 const Environment& environment, Processes* processes) {
    if (!backend.gpus) return std::nullopt;
    return place_on_gpus(arguments, environment, processes);
}

std::optional<std::string> move_to_gpus(Scenario& scenario, const RunArguments& arguments,
                                        const GpuPlace& place, Processes* processes,
                                        const std::string& measured, const Words& command_line) {
    const Cluster asked = scenario.cluster;
    const int ranks = arguments.ranks.value_or(asked.world_size());
    if (processes == nullptr && ranks != 1)
        throw Error(
            "ranks",
            fmt::format("{} ranks on GPUs are {} processes, but this one is alone", ranks, ranks),
            fmt::format("start them with `{}`", launch_line(ranks, place, command_line)),
            ErrorKind::run_failed);
    if (processes != nullptr) check_rank_count(scenario, arguments, processes->link().size());
    Cluster& cluster = scenario.cluster;
    cluster = of_this_gpu(asked, place, measured);
    cluster.device.memory = place.memory;
    const int hosts = processes == nullptr ? 1 : std::max(1, processes->hosts());
    cluster.nodes = hosts;
    cluster.gpus_per_node = ranks / hosts;
    if (asked.device.name == place.name && asked.world_size() == ranks) return std::nullopt;
    return fmt::format("the scenario's cluster is {}; here {} of {}, and predictions are for {}",
                       asked.name, count_text(static_cast<std::size_t>(ranks), "rank"), place.name,
                       cluster.device.calibration.empty()
                           ? "what is known of " + cluster.device.name
                           : "what was measured of it");
}

void require_known_gpu(const Device& device) {
    if (!device.peak.empty()) return;
    throw Error("not-calibrated", "how fast " + device.name + " is has not been measured",
                "run `shardscope calibrate --backend cuda`, or name a cluster in the scenario",
                ErrorKind::io);
}

std::string gpu_calibration_file(const Environment& environment) {
    if (environment.calibration_file.empty()) return "";
    return std::filesystem::path(environment.calibration_file).replace_filename("this-gpu.yaml");
}

}  // namespace shardscope
