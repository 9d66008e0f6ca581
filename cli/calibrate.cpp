#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/this_machine.h"
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
    return fmt::format(
        "{}\nmemory bandwidth {:.1f} GB/s, host cost per instruction {:.2f} µs, "
        "slowdown with all cores busy {:.2f}, dividing a kernel over all cores {:.1f} µs\n\n{}",
        device.name, device.memory_bandwidth.value / kGB, device.host_cost.value * 1e6,
        device.calibration.busy_slowdown, device.calibration.fork_join.value * 1e6,
        table.to_string());
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

int calibrate(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    std::string output = environment.calibration_file;
    bool quick = false;
    parser.app()
        .add_option("--output", output, fmt::format("Where to write it (default {})", output))
        ->type_name("FILE");
    parser.app().add_flag("--quick", quick, "Fewer and smaller measurements");
    if (!parser.parse(words, environment)) return 0;

    Processes* const processes = Processes::meet(environment);
    const Cluster cluster = calibrate_to(output, quick, processes, environment);
    const std::string transport(processes ? processes->link().name() : "threads");
    if (environment.is_root())
        environment.out << (processes ? "" : summary(cluster) + "\n")
                        << collectives_text(cluster.device.calibration, transport);
    return 0;
}

}  // namespace shardscope
