#include "cli/this_machine.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include <fmt/format.h>

#include "cli/calibrate_measure.h"
#include "cli/calibrate_processes.h"
#include "cli/gpus.h"
#include "cli/output_file.h"
#include "cli/progress.h"
#include "core/cluster/cluster_source.h"
#include "core/error.h"

namespace shardscope {
namespace {

void make_folder_of(const std::string& file) {
    const auto folder = std::filesystem::path(file).parent_path();
    std::error_code ignored;  // check_writable says what is wrong
    if (!folder.empty()) std::filesystem::create_directories(folder, ignored);
}

}  // namespace

ParseOptions parse_options(const Environment& environment, const std::string& calibration_file) {
    return {calibration_file, environment.machine.cores, environment.machine.memory};
}

std::optional<std::string> move_to_this_machine(Scenario& scenario, std::optional<int> ranks,
                                                std::optional<int> threads,
                                                const ParseOptions& options) {
    const Cluster asked = scenario.cluster;
    const int count = ranks.value_or(asked.world_size());
    if (count > kMostThreads) {
        throw Error("ranks", fmt::format("{} ranks cannot be threads of one process", count),
                    fmt::format("use --ranks N with at most {}", kMostThreads));
    }
    scenario.cluster = this_machine_cluster(count, threads.value_or(asked.device.threads), options);
    if (asked.this_machine) return std::nullopt;
    return fmt::format(
        "the scenario's cluster is {}; here {} rank{} of this machine, and predictions are for it",
        asked.name, count, count == 1 ? " is a thread" : "s are threads");
}

void check_rank_count(const Scenario& scenario, const RunArguments& arguments, int processes) {
    const int asked = arguments.ranks.value_or(scenario.cluster.world_size());
    if (asked == processes) return;
    throw Error("ranks",
                fmt::format("{} process{} {} started, but {} asks for {} rank{}", processes,
                            processes == 1 ? "" : "es", processes == 1 ? "was" : "were",
                            arguments.ranks ? "--ranks" : "the scenario's cluster", asked,
                            asked == 1 ? "" : "s"),
                fmt::format("start {}, or add --ranks {}", asked, processes));
}

std::optional<std::string> move_to_processes(Scenario& scenario, const RunArguments& arguments,
                                             Processes& processes, const ParseOptions& options) {
    const int size = processes.link().size();
    check_rank_count(scenario, arguments, size);
    const Cluster before = std::move(scenario.cluster);
    // Whether a strategy fits has to be the same answer everywhere.
    ParseOptions smallest = options;
    smallest.memory = processes.memory();
    scenario.cluster = this_machine_cluster(
        processes.per_host(), arguments.threads.value_or(before.device.threads), smallest);
    Cluster& cluster = scenario.cluster;
    const int hosts = processes.hosts();
    cluster.nodes = std::max(1, hosts);
    cluster.gpus_per_node = size / cluster.nodes;
    cluster.transport = processes.link().name();
    if (hosts == 0)
        return "hosts run different numbers of ranks: predictions take them for one machine";
    if (before.this_machine) return std::nullopt;
    return fmt::format(
        "the scenario's cluster is {}; here {} process{} of {}, and predictions are "
        "for them",
        before.name, size, size == 1 ? "" : "es",
        hosts == 1 ? "this machine" : fmt::format("{} machines", hosts));
}

void check_calibration_file(const std::string& file, const Environment& environment) {
    if (file.empty()) {
        throw Error("output", "there is no home folder for the calibration file", "name a file",
                    ErrorKind::io);
    }
    if (file == environment.calibration_file || file == gpu_calibration_file(environment))
        make_folder_of(file);
    check_writable(file);
}

CalibrateProgress shown_on(Progress& progress) {
    const auto start = std::chrono::steady_clock::now();
    return [&progress, start](const std::string& what, double fraction) {
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
        const std::string left = remaining_text(Seconds(elapsed.count()), fraction);
        progress.update(fmt::format("calibrating: {:.0f} %{}{}, {}", 100 * fraction,
                                    left.empty() ? "" : ", ", left, what));
    };
}

namespace {

bool exists(const std::string& file) {
    std::error_code unreadable;
    return !file.empty() && std::filesystem::exists(file, unreadable);
}

// Of what the file knows already only the transport's part is new.
Cluster with_transport(const std::string& file, const CalibrateOptions& options,
                       Processes& processes, const CalibrateProgress& progress) {
    Cluster cluster;
    // The others wait while rank 0 measures the machine, so that they do not disturb it.
    processes.agree([&] {
        if (!processes.is_root()) return;
        cluster = exists(file) ? load_cluster(file) : calibrate_this_machine(options, progress);
    });
    TransportCalibration transport;
    transport.collectives = measure_processes(processes, options, progress);
    transport.date = today();
    transport.hosts = processes.link().hosts();
    cluster.device.calibration.transports[std::string(processes.link().name())] =
        std::move(transport);
    return cluster;
}

}  // namespace

Cluster calibrate_to(const std::string& file, bool quick, Processes* processes,
                     const Environment& environment) {
    agree(processes, [&] {
        if (environment.is_root()) check_calibration_file(file, environment);
    });
    Progress progress(environment);
    CalibrateOptions options;
    options.quick = quick;
    Cluster cluster = processes == nullptr
                          ? calibrate_this_machine(options, shown_on(progress))
                          : with_transport(file, options, *processes, shown_on(progress));
    // Measuring the machine anew keeps what was measured of its transports.
    if (processes == nullptr && exists(file))
        cluster.device.calibration.transports = load_cluster(file).device.calibration.transports;
    agree(processes, [&] {
        if (environment.is_root()) write_atomically(file, cluster_to_yaml(cluster));
    });
    progress.note(fmt::format("calibrated {}: {}",
                              processes == nullptr ? "this machine" : "processes of this machine",
                              file));
    return cluster;
}

bool is_calibrated(const std::string& file, Processes* processes) {
    if (processes == nullptr) return exists(file);
    const auto known = [&] {
        return exists(file) && load_cluster(file).device.calibration.transports.contains(
                                   std::string(processes->link().name()));
    };
    bool answer = true;
    processes->agree([&] {
        if (processes->is_root()) answer = known();
    });
    return processes->all(answer);
}

}  // namespace shardscope
