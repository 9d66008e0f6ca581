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
    for (const CollectiveSample& sample : device.calibration.collectives)
        ranges[fmt::format("{} of {} ranks, GB/s", sample.kind, sample.ranks)].add(
            static_cast<double>(sample.bytes.value) / sample.time.value / kGB);
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

    environment.out << summary(calibrate_to(output, quick, environment));
    return 0;
}

}  // namespace shardscope
