#include "cli/this_machine.h"

#include <filesystem>

#include <fmt/format.h>

#include "cli/calibrate_measure.h"
#include "cli/cluster_source.h"
#include "cli/output_file.h"
#include "cli/progress.h"
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

void require_calibration(const Scenario& scenario, const std::string& calibration_file) {
    if (!scenario.cluster.this_machine || !scenario.cluster.device.calibration.empty()) return;
    throw Error("not-calibrated",
                fmt::format("how fast this machine is has not been measured: {} is missing",
                            calibration_file.empty() ? "the calibration file" : calibration_file),
                "run `shardscope calibrate`", ErrorKind::io);
}

Cluster calibrate_to(const std::string& file, bool quick, const Environment& environment) {
    if (file.empty()) {
        throw Error("output", "there is no home folder for the calibration file", "name a file",
                    ErrorKind::io);
    }
    if (file == environment.calibration_file)
        make_folder_of(file);  // others are the user's to make
    check_writable(file);
    Progress progress(environment);
    CalibrateOptions options;
    options.quick = quick;
    const Cluster cluster =
        calibrate_this_machine(options, [&](const std::string& what, double fraction) {
            progress.update(fmt::format("calibrating: {:3.0f} % {}", 100 * fraction, what));
        });
    write_atomically(file, cluster_to_yaml(cluster));
    progress.done(fmt::format("calibrated this machine: {}", file));
    return cluster;
}

std::optional<std::string> calibration_note(const Cluster& cluster, const Machine& machine) {
    const Calibration& calibration = cluster.device.calibration;
    if (calibration.empty() || calibration.host.empty() || calibration.host == machine.host)
        return std::nullopt;
    return fmt::format(
        "predictions use a calibration of {} of {}; `shardscope calibrate` measures "
        "this machine",
        calibration.host, calibration.date);
}

}  // namespace shardscope
