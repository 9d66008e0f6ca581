#include "cli/calibrate_measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "backends/cpu/kernels/gemm.h"
#include "cli/calibrate_collectives.h"
#include "cli/calibrate_kernels.h"
#include "core/machine.h"

namespace shardscope {
namespace {

// Shares of the whole, as measured on two cores.
constexpr double kMatmulEnd = 0.45, kKernelsEnd = 0.75, kBusyEnd = 0.82, kMemoryEnd = 0.86;

CalibrateProgress part(const CalibrateProgress& progress, double from, double to) {
    return [&progress, from, to](const std::string& what, double fraction) {
        if (progress) progress(what, from + (to - from) * fraction);
    };
}

// What collectives that were not measured are predicted from: the largest and the smallest
// all-reduce of two ranks, which moves its bytes once.
void set_links(Cluster& cluster) {
    Link& link = cluster.intra_node;
    for (const CollectiveSample& sample : cluster.device.calibration.collectives) {
        if (sample.kind != "all_reduce" || sample.ranks != 2) continue;
        if (link.latency.value == 0) link.latency = sample.time / 2;
        link.bandwidth =
            BytesPerSecond(static_cast<double>(sample.bytes.value) / sample.time.value);
    }
    link.source = "calibrate: all-reduce of two threads";
    cluster.inter_node = link;
}

void round_figures(Device& device) {
    for (MatmulSample& s : device.calibration.matmul) s.rate.value = rounded(s.rate.value);
    for (KernelSample& s : device.calibration.kernels) {
        s.work = rounded(s.work);
        s.rate = rounded(s.rate);
    }
    for (CollectiveSample& s : device.calibration.collectives) {
        s.time.value = rounded(s.time.value);
        s.spread = rounded(s.spread);
    }
    device.calibration.busy_slowdown = rounded(device.calibration.busy_slowdown);
    device.calibration.fork_join.value = rounded(device.calibration.fork_join.value);
    device.memory_bandwidth.value = rounded(device.memory_bandwidth.value);
    device.host_cost.value = rounded(device.host_cost.value);
}

Cluster measure(const CalibrateOptions& options, const CalibrateProgress& progress) {
    cpu::use_one_thread();
    const Machine machine = describe_machine();
    Cluster cluster;
    cluster.name = "this machine";
    cluster.this_machine = true;
    cluster.gpus_per_node = cluster.cores = machine.cores;
    Device& device = cluster.device;
    device.name = machine.processor;
    device.kind = DeviceKind::cpu;
    device.memory = Bytes(machine.memory.value / machine.cores);
    device.source = "measured by shardscope calibrate";

    Calibration& calibration = device.calibration;
    calibration.date = today();
    calibration.host = machine.host;
    calibration.compiler = __VERSION__;
    calibration.matmul = measure_matmul(options, part(progress, 0, kMatmulEnd));
    calibration.kernels = measure_kernels(options, part(progress, kMatmulEnd, kKernelsEnd));
    part(progress, kKernelsEnd, kBusyEnd)("all cores at once", 0);
    calibration.busy_slowdown = measure_busy_slowdown(machine.cores, options);
    calibration.fork_join = measure_fork_join(machine.cores, options);
    part(progress, kBusyEnd, kMemoryEnd)("memory", 0);
    device.memory_bandwidth = measure_memory_bandwidth(options);
    device.host_cost = measure_host_cost();
    calibration.collectives =
        measure_collectives(machine.cores, options, part(progress, kMemoryEnd, 1));
    round_figures(device);
    set_peaks(device);
    set_links(cluster);
    return cluster;
}

}  // namespace

void set_peaks(Device& device) {
    for (const MatmulSample& sample : device.calibration.matmul) {
        FlopsPerSecond& peak = device.peak[math_of(sample.dtype)];
        peak = std::max(peak, sample.rate);
    }
}

double rounded(double value) {
    if (!(value > 0)) return value;
    const double scale = std::pow(10.0, 3 - std::floor(std::log10(value)));
    return std::round(value * scale) / scale;
}

std::string today() {
    return fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::chrono::system_clock::now()));
}

Cluster calibrate_this_machine(const CalibrateOptions& options, const CalibrateProgress& progress) {
    // On a thread of its own: the libraries' settings belong to the thread that makes them.
    return std::async(std::launch::async, measure, std::cref(options), std::cref(progress)).get();
}

}  // namespace shardscope
