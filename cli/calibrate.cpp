#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/calibrate_gpu.h"
#include "cli/this_machine.h"
#include "core/report/figures.h"
#include "core/report/text_table.h"

namespace shardscope {
namespace {

// The range of a series of rates: what depends on size shows as a wide one.
struct Range {
    int samples = 0;
    double least = 0, most = 0;
    void add(double value) {
        least = samples == 0 ? value : std::min(least, value);
        most = std::max(most, value);
        ++samples;
    }
};

// What KernelSample::work counts.
const char* unit_of(const std::string& kernel) {
    return kernel.starts_with("attention") ? "GFLOP/s" : "GB/s";
}

std::string figures_text(const Device& device) {
    const auto us = [](Seconds time) { return time.value * 1e6; };
    const Calibration& calibration = device.calibration;
    if (device.kind == DeviceKind::cpu)
        return fmt::format(
            "memory bandwidth {:.1f} GB/s, host cost per instruction {:.2f} µs, "
            "slowdown with all cores busy {:.2f}, dividing a kernel over all cores {:.1f} µs",
            device.memory_bandwidth.value / kGB, us(device.host_cost), calibration.busy_slowdown,
            us(calibration.fork_join));
    return fmt::format(
        "memory bandwidth {:.1f} GB/s; launching a kernel {:.2f} µs, an empty one on the device "
        "{:.2f} µs; a graph {:.2f} µs, an empty kernel in it {:.2f} µs; memory beside the arena "
        "{:.2f} GiB, and {:.0f} MiB for every stream with kernels",
        device.memory_bandwidth.value / kGB, us(device.host_cost), us(device.kernel_overhead),
        us(device.graph_host_cost), us(device.graph_kernel_overhead), gib(device.runtime),
        gib(device.workspace) * 1024);
}

std::string summary(const Cluster& cluster) {
    const Device& device = cluster.device;
    std::map<std::string, Range> ranges;  // by what was measured and its unit
    for (const MatmulSample& sample : device.calibration.matmul)
        ranges[fmt::format("matrix multiply {}, GFLOP/s", name_of(sample.dtype))].add(
            sample.rate.value / 1e9);
    for (const KernelSample& sample : device.calibration.kernels) {
        const std::string kernel =
            sample.kernel.substr(0, sample.kernel.find('.'));  // all variants
        ranges[fmt::format("{} {}, {}", kernel, name_of(sample.dtype), unit_of(kernel))].add(
            sample.rate / 1e9);
    }
    TextTable table;
    table.add_column("measured", TextTable::Align::left);
    for (const char* column : {"samples", "least", "most"}) table.add_column(column);
    for (const auto& [name, range] : ranges) {
        table.add_row({name, fmt::format("{}", range.samples), fmt::format("{:.2f}", range.least),
                       fmt::format("{:.2f}", range.most)});
    }
    return fmt::format("{}\n{}\n\n{}", device.name, figures_text(device), table.to_string());
}

std::string size_text(Bytes bytes) {
    const std::int64_t kib = bytes.value >> 10;
    return kib < 1024 ? fmt::format("{} KiB", kib) : fmt::format("{} MiB", kib >> 10);
}

// "4 ranks on 2 hosts"
std::string group_text(const CollectiveSample& sample) {
    return sample.hosts == 1 ? fmt::format("{} ranks", sample.ranks)
                             : fmt::format("{} ranks on {} hosts", sample.ranks, sample.hosts);
}

// A row per size, a column per group: median time and spread.
std::string collectives_text(const Calibration& calibration, const std::string& transport) {
    const bool threads = transport == "threads";
    const TransportCalibration* measured =
        threads ? nullptr : &calibration.transports.at(transport);
    const auto& samples = threads ? calibration.collectives : measured->collectives;
    std::vector<std::string> groups;
    std::map<std::pair<std::string, Bytes>, std::map<std::string, std::string>> rows;
    for (const CollectiveSample& s : samples) {
        const std::string group = group_text(s);
        if (std::ranges::find(groups, group) == groups.end()) groups.push_back(group);
        rows[{s.kind, s.bytes}][group] =
            fmt::format("{:.1f} ± {:.0f} %", s.time.value * 1e6, 100 * s.spread / 2);
    }
    TextTable table;
    table.add_column("collective", TextTable::Align::left);
    table.add_column("size");
    for (const std::string& group : groups) table.add_column(group);
    for (const auto& [key, cells] : rows) {
        std::vector<std::string> row{key.first, size_text(key.second)};
        for (const std::string& group : groups) {
            const auto cell = cells.find(group);
            row.push_back(cell == cells.end() ? "" : cell->second);
        }
        table.add_row(std::move(row));
    }
    return fmt::format(
        "Collectives of ranks that are {}, measured {}: median in µs ± half the "
        "quartiles' distance\n\n{}",
        threads ? "threads" : "processes over " + transport,
        threads ? calibration.date : measured->date, table.to_string());
}

}  // namespace

namespace {

int calibrate_gpus(const std::string& file, const RunArguments& arguments, bool quick,
                   const Environment& environment) {
    Processes* const processes = Processes::meet(environment);
    const Cluster cluster = calibrate_gpu_to(file, arguments, quick, processes, environment);
    if (!environment.is_root()) return 0;
    environment.out << summary(cluster);
    if (cluster.device.calibration.transports.contains("nccl"))
        environment.out << '\n' << collectives_text(cluster.device.calibration, "nccl");
    return 0;
}

}  // namespace

int calibrate(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    RunArguments arguments;
    std::string output;
    bool quick = false;
    arguments.add_backend_to(parser.app(), "What to measure (default cpu)");
    parser.app()
        .add_option("--output", output,
                    fmt::format("Where to write it (default {}; of a GPU {})",
                                environment.calibration_file, gpu_calibration_file(environment)))
        ->type_name("FILE");
    parser.app().add_flag("--quick", quick, "Fewer and smaller measurements");
    if (!parser.parse(words, environment)) return 0;

    const bool gpus = find_backend(arguments.backend).gpus;
    if (output.empty())
        output = gpus ? gpu_calibration_file(environment) : environment.calibration_file;
    if (gpus) return calibrate_gpus(output, arguments, quick, environment);
    Processes* const processes = Processes::meet(environment);
    const Cluster cluster = calibrate_to(output, quick, processes, environment);
    const std::string transport(processes ? processes->link().name() : "threads");
    if (environment.is_root())
        environment.out << (processes ? "" : summary(cluster) + "\n")
                        << collectives_text(cluster.device.calibration, transport);
    return 0;
}

}  // namespace shardscope
