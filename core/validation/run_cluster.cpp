#include "core/validation/run_cluster.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "core/catalogue.h"
#include "core/cluster/cluster_source.h"
#include "core/error.h"
#include "core/nearest.h"
#include "core/yaml_number.h"

namespace shardscope {
namespace {

constexpr double kGbit = 1e9 / 8;  // bytes
// Assumption: adapters of GPU nodes have ports of at least this; nodes with less per GPU have fewer ports.
constexpr double kPortGbps = 100;
constexpr int kGpusPerNode = 8;  // of every cluster of the catalogue that has nodes

// "RTX 4090" is what the catalogue calls rtx-4090.
std::string catalogue_word(const std::string& gpu) {
    std::string word;
    for (const char c : gpu)
        word += c == ' ' || c == '_'
                    ? '-'
                    : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return word;
}

bool is_of_gpu(std::string_view entry, const std::string& gpu) {
    return entry.starts_with(gpu) && (entry.size() == gpu.size() || entry[gpu.size()] == '-');
}

[[noreturn]] void fail_unknown(const std::string& gpu) {
    std::vector<std::string_view> names;
    for (const CatalogueEntry& entry : cluster_catalogue()) names.push_back(entry.name);
    throw Error("gpu", fmt::format("no cluster of the catalogue has the GPU \"{}\"", gpu),
                suggest_name(catalogue_word(gpu), names));
}

// How far apart two figures are, as a factor's logarithm; what rounds to the same is no distance.
double distance(double value, double wanted) {
    constexpr double kSame = 0.05;  // a data sheet's GB against what the driver offers
    return std::max(0.0, std::abs(std::log(value / wanted)) - kSame);
}

// Which of several of a name is meant where no column says it.
bool is_usual(std::string_view entry) {
    constexpr auto kUsual = std::to_array<std::string_view>({"v100-32gb", "a100-80gb", "h100-sxm"});
    return std::ranges::find(kUsual, entry) != kUsual.end();
}

// Smaller is nearer: the name itself, the memory, the links, what is usual, the most memory.
std::tuple<bool, double, double, bool, double> distance_of(const Cluster& cluster,
                                                           const std::string& word,
                                                           const MeasuredRun& run) {
    const double memory = gib(cluster.device.memory);
    const double link = cluster.intra_node.bandwidth.value / kGB;
    return {cluster.name != word, run.gpu_memory_gb ? distance(memory, *run.gpu_memory_gb) : 0,
            run.intra_node_GBps && link > 0 ? distance(link, *run.intra_node_GBps) : 0,
            !is_usual(cluster.name), -memory};
}

Cluster nearest_cluster(const MeasuredRun& run) {
    const std::string word = catalogue_word(run.gpu);
    std::optional<Cluster> best;
    for (const CatalogueEntry& entry : cluster_catalogue()) {
        if (!is_of_gpu(entry.name, word)) continue;
        Cluster cluster = catalogue_cluster(std::string(entry.name));
        if (!best || distance_of(cluster, word, run) < distance_of(*best, word, run))
            best = std::move(cluster);
    }
    if (!best) fail_unknown(run.gpu);
    return *best;
}

void set_memory(Cluster& cluster, const MeasuredRun& run, std::vector<Assumption>& assumed) {
    Bytes& memory = cluster.device.memory;
    if (!run.gpu_memory_gb)
        assumed.push_back({"gpu_memory_gb", fmt::format("{:.0f}", gib(memory))});
    else if (distance(gib(memory), *run.gpu_memory_gb) > 0)
        memory = Bytes(std::llround(*run.gpu_memory_gb * kGiB));
}

// What sets a part apart from the catalogue's has no column; rows say it in words.
void set_part(Device& device, const std::string& note) {
    if (const auto watts = number_before(note, " W power limit"))
        device.power_limit = Watts(*watts);
    if (const auto rate = number_before(note, " TB/s"))
        device.memory_bandwidth = BytesPerSecond(*rate * 1e12);
}

// BigScience's programs were started with CUDA_LAUNCH_BLOCKING=1 (train/tr11-176B-ml/*.slurm).
void set_launches(Device& device, const MeasuredRun& run, std::vector<Assumption>& assumed) {
    if (!run.source.starts_with("bigscience-workshop/bigscience")) return;
    device.blocking_launches = true;
    assumed.push_back({"source", "launches wait for the device"});
}

// Networks by the words of people; a note that has none of them leaves the catalogue's.
void set_network(Link& link, const std::string& note) {
    constexpr auto kWords = std::to_array<std::pair<std::string_view, LinkType>>({
        {"Omni-Path", LinkType::omni_path},
        {"InfiniBand", LinkType::infiniband},
        {"RoCE", LinkType::roce},
        {"EFA", LinkType::efa},
        {"Ethernet", LinkType::ethernet},
    });
    for (const auto& [word, type] : kWords) {
        if (note.find(word) == std::string::npos || link.type == type) continue;
        link.type = type;
        link.efficiency = facts_of(type).efficiency;
        link.latency = Seconds(facts_of(type).latency);
        return;
    }
}

void set_links(Cluster& cluster, const MeasuredRun& run, std::vector<Assumption>& assumed) {
    Link &inside = cluster.intra_node, &between = cluster.inter_node;
    if (run.intra_node_GBps)
        inside.bandwidth = BytesPerSecond(*run.intra_node_GBps * kGB);
    else if (cluster.gpus_per_node > 1)
        assumed.push_back({"intra_node_GBps", fmt::format("{:g}", inside.bandwidth.value / kGB)});
    if (cluster.nodes == 1) return;
    set_network(between, run.network_note);
    if (run.inter_node_Gbps_per_node) {
        const double all = *run.inter_node_Gbps_per_node;
        between.ports =
            std::clamp(static_cast<int>(std::ceil(all / kPortGbps)), 1, cluster.gpus_per_node);
        between.bandwidth = BytesPerSecond(all * kGbit / between.ports);
    } else {
        const int ports = between.ports > 0 ? between.ports : cluster.gpus_per_node;
        assumed.push_back({"inter_node_Gbps_per_node",
                           fmt::format("{:g}", between.bandwidth.value * ports / kGbit)});
    }
}

void set_size(Cluster& cluster, const MeasuredRun& run, std::vector<Assumption>& assumed) {
    const auto gpus = static_cast<int>(require(run.gpus, "gpus"));
    const auto per_node = static_cast<int>(run.gpus_per_node.value_or(kGpusPerNode));
    if (!run.gpus_per_node)
        assumed.push_back({"gpus_per_node", std::to_string(std::min(gpus, per_node))});
    cluster.gpus_per_node = std::min(gpus, per_node);
    cluster.nodes = gpus / cluster.gpus_per_node;
    if (gpus % cluster.gpus_per_node != 0)
        throw Error("nodes", fmt::format("{} GPUs do not fill nodes of {} GPUs", gpus, per_node),
                    fmt::format("use a multiple of {}", per_node));
}

}  // namespace

std::optional<double> number_before(const std::string& note, std::string_view unit) {
    const std::size_t end = note.find(unit);
    if (end == std::string::npos) return std::nullopt;
    std::size_t first = end;
    while (first > 0 && (std::isdigit(static_cast<unsigned char>(note[first - 1])) != 0 ||
                         note[first - 1] == '.'))
        --first;
    const auto number = parse_number(std::string_view(note).substr(first, end - first));
    return number && *number > 0 ? number : std::nullopt;
}

std::int64_t require(const std::optional<std::int64_t>& value, const char* column) {
    if (value) return *value;
    throw Error("missing-value", fmt::format("column \"{}\" is empty", column),
                "nothing can stand for it");
}

Cluster cluster_of(const MeasuredRun& run, std::vector<Assumption>& assumed) {
    if (run.gpu.empty())
        throw Error("missing-value", "column \"gpu\" is empty", "nothing can stand for it");
    Cluster cluster = nearest_cluster(run);
    set_size(cluster, run, assumed);
    set_memory(cluster, run, assumed);
    set_part(cluster.device, run.assumptions);
    set_launches(cluster.device, run, assumed);
    set_links(cluster, run, assumed);
    return cluster;
}

}  // namespace shardscope
