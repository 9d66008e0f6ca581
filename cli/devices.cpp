#include <filesystem>

#include <fmt/format.h>

#include "backends/cuda_module.h"
#include "backends/process/module.h"
#include "cli/arguments.h"
#include "cli/cuda_libraries.h"
#include "cli/runners.h"
#include "cli/this_machine.h"
#include "core/catalogue.h"
#include "core/cluster/cluster_source.h"
#include "core/error.h"
#include "core/report/figures.h"
#include "core/report/text_table.h"

namespace shardscope {
namespace {

std::string calibration_text(const std::string& file) {
    std::error_code unreadable;
    if (file.empty() || !std::filesystem::exists(file, unreadable))
        return "none; run `shardscope calibrate`";
    try {
        return fmt::format("{}, {}", load_cluster(file).device.calibration.date, file);
    } catch (const Error& error) {
        return fmt::format("unusable: {}; run `shardscope calibrate`", error.what());
    }
}

std::string peak_text(const Device& device, MathType math) {
    const FlopsPerSecond peak = device.peak_of(math);
    return peak.value > 0 ? fmt::format("{:.1f}", peak.value / 1e12) : kUnknown;
}

std::string bandwidth_text(BytesPerSecond bandwidth) {
    return bandwidth.value > 0 ? fmt::format("{:.1f}", bandwidth.value / kGB) : kUnknown;
}

std::string catalogue_text() {
    TextTable table;
    table.add_column("name", TextTable::Align::left);
    table.add_column("device", TextTable::Align::left);
    for (const char* column : {"GPUs\nper node", "memory\nGiB", "bf16\nTFLOP/s", "fp32\nTFLOP/s",
                               "memory\nGB/s", "in a node\nGB/s", "between nodes\nGB/s"})
        table.add_column(column);
    for (const CatalogueEntry& entry : cluster_catalogue()) {
        const std::string name(entry.name);
        const Cluster cluster = catalogue_cluster(name);
        const Device& device = cluster.device;
        table.add_row({name, device.name, fmt::format("{}", cluster.gpus_per_node),
                       fmt::format("{:.1f}", gib(device.memory)), peak_text(device, MathType::bf16),
                       peak_text(device, MathType::fp32), bandwidth_text(device.memory_bandwidth),
                       bandwidth_text(cluster.intra_node.bandwidth),
                       bandwidth_text(cluster.inter_node.bandwidth)});
    }
    return table.to_string();
}

std::string link_text(const GpuLink& link) {
    return fmt::format("{} {}", link.device,
                       link.nvlink        ? "NVLink"
                       : link.peer_access ? "PCIe"
                                          : "through the host");
}

std::string links_text(const GpuInfo& gpu) {
    std::string text;
    for (const GpuLink& link : gpu.links) text += (text.empty() ? "" : ", ") + link_text(link);
    return text;
}

std::string gpus_text(const CudaModule& module) {
    TextTable table;
    table.add_column("GPU");
    table.add_column("name", TextTable::Align::left);
    for (const char* column : {"memory\nGiB", "free\nGiB", "compute\ncapability",
                               "multi-\nprocessors", "clock\nMHz", "memory\nGB/s"})
        table.add_column(column);
    for (const char* column : {"PCI", "UUID", "links"})
        table.add_column(column, TextTable::Align::left);
    for (const GpuInfo& gpu : module.devices())
        table.add_row(
            {fmt::format("{}", gpu.device), gpu.name, fmt::format("{:.1f}", gib(gpu.memory)),
             gpu.free_memory.value > 0 ? fmt::format("{:.1f}", gib(gpu.free_memory)) : kUnknown,
             fmt::format("{}.{}", gpu.compute_capability / 10, gpu.compute_capability % 10),
             fmt::format("{}", gpu.multiprocessors), fmt::format("{:.0f}", gpu.clock / 1e6),
             bandwidth_text(gpu.memory_bandwidth()), gpu.pci, gpu.uuid, links_text(gpu)});
    return table.to_string();
}

// Versions where the module can be loaded, and the GPUs where there are any.
std::string cuda_text(const Environment& environment) {
    try {
        const CudaModule& module = load_cuda_module(cuda_places(environment));
        const std::string why = module.why_no_cudnn();
        return fmt::format("\n{}\nAttention in bf16 is {}\n", module.versions(),
                           why.empty() ? "cuDNN's" : "our own: " + why) +
               (module.why_not().empty() ? "\n" + gpus_text(module) : "");
    } catch (const Error& error) {
        if (error.rule == "module-missing") return "";  // the table of backends says why
        return fmt::format("\nGPUs cannot be listed: {}\n", error.what());
    }
}

}  // namespace

int devices(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    if (!parser.parse(words, environment)) return 0;
    const Machine& machine = environment.machine;
    std::ostream& out = environment.out;
    out << fmt::format("This machine: {}\n  {}, {} core{}, {:.1f} GiB\n  calibration: {}\n\n",
                       machine.host, machine.processor, machine.cores,
                       machine.cores == 1 ? "" : "s", gib(machine.memory),
                       calibration_text(environment.calibration_file));
    TextTable table;
    for (const char* column : {"backend", "", "what it is"})
        table.add_column(column, TextTable::Align::left);
    for (const Backend& backend : backends()) {
        const std::string why = backend.why_not(environment);
        table.add_row(
            {std::string(backend.name), why.empty() ? "available" : "not available",
             std::string(backend.description) + (why.empty() ? "" : fmt::format(" ({})", why))});
    }
    out << table.to_string() << cuda_text(environment);
    const std::string why = why_no_mpi(environment.module_folder);
    out << fmt::format("\nRanks that are processes communicate over tcp{}\n",
                       why.empty() ? " or mpi" : "; not over mpi: " + why);
    out << "\nClusters that scenarios can name (per GPU and direction, from data sheets)\n\n"
        << catalogue_text();
    return 0;
}

}  // namespace shardscope
