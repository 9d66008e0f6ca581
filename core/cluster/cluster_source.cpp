#include "core/cluster/cluster_source.h"

#include <fmt/format.h>

#include "core/cluster/cluster_io.h"
#include "core/error.h"

namespace shardscope {

Cluster catalogue_cluster(const std::string& name) {
    return read_cluster(YamlValue::parse(name, name), "", {});
}

Cluster this_machine_cluster(int ranks, int threads, const ParseOptions& options) {
    const std::string text =
        fmt::format("{{this_machine: {{ranks: {}, threads: {}}}}}", ranks, threads);
    return read_cluster(YamlValue::parse(text, "--ranks"), "", options);
}

void require_calibration(const Cluster& cluster, const std::string& calibration_file) {
    if (!cluster.this_machine) return;
    const Calibration& calibration = cluster.device.calibration;
    const std::string& transport = cluster.transport;
    if (!calibration.empty() && transport != "threads" &&
        !calibration.transports.contains(transport))
        throw Error(
            "not-calibrated",
            fmt::format("how fast processes of this machine communicate over {} has not been "
                        "measured",
                        transport),
            fmt::format("run `{} calibrate`", transport == "mpi"
                                                  ? "mpirun -n 4 shardscope"
                                                  : "shardscope launch --num_gpus 4 --"),
            ErrorKind::io);
    if (!calibration.empty()) return;
    throw Error("not-calibrated",
                fmt::format("how fast this machine is has not been measured: {} is missing",
                            calibration_file.empty() ? "the calibration file" : calibration_file),
                "run `shardscope calibrate`", ErrorKind::io);
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
