#include "core/validation/run_cluster.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "core/catalogue.h"
#include "core/cluster/cluster_source.h"
#include "core/error.h"
#include "core/nearest.h"
#include "core/validation/gpu_name.h"
#include "core/validation/run_notes.h"

namespace shardscope {
namespace {

constexpr double kGbit = 1e9 / 8;  // bytes
// Assumption: adapters of GPU nodes have ports of at least this; nodes with less per GPU have fewer ports.
constexpr double kPortGbps = 100;
constexpr int kGpusPerNode = 8;  // most of a server; what has more is a rack

// Whether a word of a text begins so: "RoCEv2" is RoCE, "default" no EFA.
bool has_word_from(std::string_view text, std::string_view beginning) {
    for (std::size_t at = text.find(beginning); at != std::string_view::npos;
         at = text.find(beginning, at + 1))
        if (at == 0 || std::isalnum(static_cast<unsigned char>(text[at - 1])) == 0) return true;
    return false;
}

// Accelerators that are no GPUs: what they compute with and how they meet is another model's.
bool is_other_accelerator(const std::string& gpu) {
    constexpr auto kOthers = std::to_array<std::string_view>(
        {"tpu", "gaudi", "habana", "trainium", "trn1", "trn2", "inferentia", "ascend", "cerebras",
         "graphcore", "ipu", "910b", "910c"});
    const std::string words = folded(gpu);
    return std::ranges::any_of(kOthers,
                               [&](std::string_view word) { return has_word_from(words, word); });
}

// The catalogue's entries with a word of the same series: "l4" and "l40s" of "L20". The nearest in spelling need not be
// the nearest chip.
std::vector<std::string> chips_named_like(const std::string& gpu) {
    std::vector<std::string> names;
    for (const std::string& series : GpuName(gpu).series()) {
        for (const CatalogueEntry& entry : cluster_catalogue())
            if (GpuName(entry.name).series().front() == series) names.emplace_back(entry.name);
        if (!names.empty()) break;
    }
    return names;
}

[[noreturn]] void fail_unknown(const std::string& gpu) {
    if (is_other_accelerator(gpu))
        throw Error(
            "gpu",
            fmt::format("\"{}\" is no GPU of NVIDIA's or AMD's, whose kernels and collectives "
                        "are all that is modelled",
                        gpu),
            "leave the row out");
    const std::vector<std::string> others = chips_named_like(gpu);
    throw Error("gpu", fmt::format("no cluster of the catalogue has the GPU \"{}\"", gpu),
                others.empty() ? "correct \"gpu\" if it was one of those that `shardscope devices` "
                                 "lists, else leave the row out"
                               : fmt::format("correct \"gpu\" if it was one of these other chips, "
                                             "{}, else leave the row out",
                                             join_or(others)));
}

// How far apart two figures are, as a factor's logarithm; what rounds to the same is no distance.
double distance(double value, double wanted) {
    constexpr double kSame = 0.05;  // a data sheet's GB against what the driver offers
    return std::max(0.0, std::abs(std::log(value / wanted)) - kSame);
}

// Which of several of a name is meant where no column says it: modules, then boards, of each the first of a kind.
bool is_usual(std::string_view entry) {
    constexpr auto kUsual =
        std::to_array<std::string_view>({"v100-32gb", "a100-80gb", "h100-sxm", "h100-pcie"});
    return std::ranges::find(kUsual, entry) != kUsual.end();
}

int rank_of(std::string_view entry) {
    return (GpuName(entry).is_board() ? 2 : 0) + (is_usual(entry) ? 0 : 1);
}

// Smaller is nearer: the name, the memory, the links, what is usual, the most memory.
using Distance = std::tuple<int, double, double, int, double>;

Distance distance_of(const Cluster& cluster, int words, const MeasuredRun& run) {
    const double memory = gib(cluster.device.memory);
    const double link = cluster.intra_node.bandwidth.value / kGB;
    return {words, run.gpu_memory_gb ? distance(memory, *run.gpu_memory_gb) : 0,
            run.intra_node_GBps && link > 0 ? distance(link, *run.intra_node_GBps) : 0,
            rank_of(cluster.name), -memory};
}

// Entries whose devices are two to a card.
constexpr auto kHalfCards = std::to_array<std::string_view>({"mi250", "mi250x"});

// Of cards with two devices rows may state the card's memory; a device has half of it.
bool is_of_whole_card(const Cluster& cluster, double memory_gb) {
    return std::ranges::find(kHalfCards, cluster.name) != kHalfCards.end() &&
           distance(2 * gib(cluster.device.memory), memory_gb) == 0;
}

// An entry of the catalogue with the row's GPU, and how many words of its name that lacks.
struct NamedCluster {
    Cluster cluster;
    int words_apart = 0;
};

std::vector<NamedCluster> clusters_named(const std::string& gpu) {
    const GpuName name(gpu);
    std::vector<NamedCluster> found;
    for (const CatalogueEntry& entry : cluster_catalogue())
        if (const auto apart = name.words_apart(GpuName(entry.name)))
            found.push_back({catalogue_cluster(std::string(entry.name)), *apart});
    return found;
}

// A figure in MiB, or of all GPUs of a node, is no variant that the catalogue lacks.
void check_memory(const std::vector<NamedCluster>& variants, const MeasuredRun& run) {
    if (!run.gpu_memory_gb) return;
    constexpr double kMostApart = 1.6;  // GH200s with 144 GB, of which the catalogue's have 96
    std::set<std::int64_t> known;
    for (const auto& [cluster, apart] : variants) {
        const double memory = gib(cluster.device.memory), factor = *run.gpu_memory_gb / memory;
        if (std::max(factor, 1 / factor) <= kMostApart) return;
        if (is_of_whole_card(cluster, *run.gpu_memory_gb)) return;
        known.insert(std::llround(memory));
    }
    std::vector<std::string> words;
    for (const std::int64_t memory : known) words.push_back(std::to_string(memory));
    throw Error("range",
                fmt::format("column \"gpu_memory_gb\": {:g} GB are the memory of no \"{}\", which "
                            "has {} GB",
                            *run.gpu_memory_gb, run.gpu, join_or(words)),
                "state the GB of one GPU, or nothing where unknown");
}

const Cluster& nearest(const std::vector<NamedCluster>& variants, const MeasuredRun& run) {
    const auto distance_to = [&](const NamedCluster& variant) {
        return distance_of(variant.cluster, variant.words_apart, run);
    };
    return std::ranges::min_element(variants, {}, distance_to)->cluster;
}

Cluster nearest_cluster(const MeasuredRun& run, std::vector<Assumption>& assumed) {
    const GpuName name(run.gpu);
    const std::vector<NamedCluster> variants = clusters_named(run.gpu);
    if (variants.empty()) fail_unknown(run.gpu);
    check_memory(variants, run);
    MeasuredRun name_alone;
    name_alone.gpu = run.gpu;
    Cluster best = nearest(variants, run);
    // Boards for PCIe slots have less power than the catalogue's modules of the same name.
    const bool stands_in = name.is_board() && !GpuName(best.name).is_board();
    if (stands_in || best.name != nearest(variants, name_alone).name)
        assumed.push_back({"gpu", best.name});
    return best;
}

void set_memory(Cluster& cluster, const MeasuredRun& run, std::vector<Assumption>& assumed) {
    Bytes& memory = cluster.device.memory;
    if (run.gpu_memory_gb && is_of_whole_card(cluster, *run.gpu_memory_gb)) {
        assumed.push_back({"gpu", "one of the two devices of a card, each counted by gpus"});
        return assumed.push_back({"gpu_memory_gb", fmt::format("{:.0f}", gib(memory))});
    }
    if (!run.gpu_memory_gb)
        assumed.push_back({"gpu_memory_gb", fmt::format("{:.0f}", gib(memory))});
    else if (distance(gib(memory), *run.gpu_memory_gb) > 0)
        memory = Bytes(std::llround(*run.gpu_memory_gb * kGiB));
}

// What sets a part apart from the catalogue's has no column; rows say it in words.
void set_part(Device& device, const RunNotes& notes, std::vector<Assumption>& assumed) {
    if (const auto watts = notes.power_limit()) {
        device.power_limit = Watts(*watts);
        assumed.push_back({kFromNotes, fmt::format("power limit {:g} W", *watts)});
    }
    if (const auto rate = notes.memory_bandwidth()) {
        device.memory_bandwidth = BytesPerSecond(*rate * 1e12);
        assumed.push_back({kFromNotes, fmt::format("memory bandwidth {:g} TB/s", *rate)});
    }
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
        {"omni-path", LinkType::omni_path},
        {"omnipath", LinkType::omni_path},
        {"infiniband", LinkType::infiniband},
        {"roce", LinkType::roce},
        {"efa", LinkType::efa},
        {"ethernet", LinkType::ethernet},
    });
    const std::string words = folded(note);
    for (const auto& [word, type] : kWords) {
        if (!has_word_from(words, word) || link.type == type) continue;
        link.type = type;
        link.efficiency = facts_of(type).efficiency;
        link.latency = Seconds(facts_of(type).latency);
        return;
    }
}

// Data sheets of NVLink and PCIe state the sum of both directions: twice what the catalogue has. Of links that go from
// each GPU of a node to each other, some state one.
double one_direction(const Link& link, double stated, std::vector<Assumption>& assumed) {
    const double known = link.bandwidth.value / kGB;
    const double one = known / (kGpusPerNode - 1);
    if (known > 0 && link.type == LinkType::infinity_fabric && !link.switched &&
        (distance(one, stated) == 0 || distance(2 * one, stated) == 0)) {
        assumed.push_back(
            {"intra_node_GBps", fmt::format("{:g}: {:g} is of one link", known, stated)});
        return known;
    }
    if (known == 0 || distance(2 * known, stated) > 0) return stated;
    assumed.push_back(
        {"intra_node_GBps", fmt::format("{:g}: {:g} is of both directions", stated / 2, stated)});
    return stated / 2;
}

void set_links(Cluster& cluster, const MeasuredRun& run, std::vector<Assumption>& assumed) {
    Link &inside = cluster.intra_node, &between = cluster.inter_node;
    // A V100's links reach eight in all. Nodes of more are DGX-2, where they go to switches.
    if (cluster.device.architecture == Architecture::volta &&
        run.gpus_per_node.value_or(0) > kGpusPerNode)
        inside.switched = true;
    if (run.intra_node_GBps)
        inside.bandwidth =
            BytesPerSecond(one_direction(inside, *run.intra_node_GBps, assumed) * kGB);
    else if (cluster.gpus_per_node > 1)
        assumed.push_back({"intra_node_GBps", fmt::format("{:g}", inside.bandwidth.value / kGB)});
    if (cluster.nodes == 1) return;
    set_network(between, run.network_note);
    if (run.inter_node_Gbps_per_node) {
        // Of what the row calls a node, of whose GPUs a rack has more, or fewer where it was cut.
        double all = *run.inter_node_Gbps_per_node;
        if (run.gpus_per_node)
            all *= static_cast<double>(cluster.gpus_per_node) /
                   static_cast<double>(*run.gpus_per_node);
        between.ports =
            std::clamp(static_cast<int>(std::floor(all / kPortGbps)), 1, cluster.gpus_per_node);
        between.bandwidth = BytesPerSecond(all * kGbit / between.ports);
    } else {
        const int ports = between.ports > 0 ? between.ports : cluster.gpus_per_node;
        assumed.push_back({"inter_node_Gbps_per_node",
                           fmt::format("{:g}", between.bandwidth.value * ports / kGbit)});
    }
}

void set_size(Cluster& cluster, const MeasuredRun& run, std::vector<Assumption>& assumed) {
    const auto gpus = static_cast<int>(require(run.gpus, "gpus"));
    const bool racks = cluster.gpus_per_node > kGpusPerNode;
    int per_node = static_cast<int>(run.gpus_per_node.value_or(cluster.gpus_per_node));
    // What rows call a node of a rack are the GPUs of one tray, which do not end its NVLink.
    if (racks && per_node <= kGpusPerNode) per_node = cluster.gpus_per_node;
    // Jobs on several racks take as many GPUs of each.
    const bool cuts = racks && gpus % std::min(gpus, per_node) != 0;
    const bool assumes = !run.gpus_per_node || per_node != *run.gpus_per_node || cuts;
    per_node = std::min(gpus, per_node);
    if (assumes) {
        while (gpus % per_node != 0) --per_node;
        assumed.push_back({"gpus_per_node", std::to_string(per_node)});
    }
    cluster.gpus_per_node = per_node;
    cluster.nodes = gpus / cluster.gpus_per_node;
    if (gpus % cluster.gpus_per_node != 0)
        throw Error("nodes", fmt::format("{} GPUs do not fill nodes of {} GPUs", gpus, per_node),
                    fmt::format("use a multiple of {}", per_node));
}

}  // namespace

void check_measured_memory(const MeasuredRun& run, const Cluster& cluster) {
    // Assumption: who writes GB takes them for GiB.
    constexpr double kMost = kGiB / kGB;
    const double memory = gib(cluster.device.memory);
    if (run.peak_memory_gib.value_or(0) <= kMost * memory) return;
    throw Error("range",
                fmt::format("column \"peak_memory_gib\": {:g} GiB are more than the {:.0f} GiB of "
                            "{}",
                            *run.peak_memory_gib, memory, cluster.name),
                "state the GiB of one GPU, or nothing where unknown; \"gpu_memory_gb\" says what "
                "it has");
}

std::int64_t require(const std::optional<std::int64_t>& value, const char* column) {
    if (value) return *value;
    throw Error("missing-value", fmt::format("column \"{}\" is empty", column),
                "nothing can stand for it");
}

void count_devices(MeasuredRun& run, std::vector<Assumption>& assumed) {
    const GpuName name(run.gpu);
    const auto* found = std::ranges::find_if(kHalfCards, [&](std::string_view entry) {
        return name.words_apart(GpuName(entry)).has_value();
    });
    if (found == kHalfCards.end() || name.is_die() || !run.gpus) return;
    const Cluster card = catalogue_cluster(std::string(*found));
    const bool whole = run.gpu_memory_gb && is_of_whole_card(card, *run.gpu_memory_gb);
    if (run.gpu_memory_gb && !whole) return;
    const int most = card.gpus_per_node / 2;
    const std::int64_t per_node = run.gpus_per_node.value_or(whole ? most : most + 1);
    if (per_node > most || (per_node < most && !whole)) return;
    // Every device is a rank, and degrees are of ranks.
    if (run.dp && run.tp && run.pp && *run.dp * *run.tp * *run.pp * run.cp.value_or(1) == *run.gpus)
        return;
    assumed.push_back(
        {"gpus", fmt::format("{}: {} cards of two devices", 2 * *run.gpus, *run.gpus)});
    *run.gpus *= 2;
    if (run.gpus_per_node) {
        *run.gpus_per_node *= 2;
        assumed.push_back({"gpus_per_node", std::to_string(*run.gpus_per_node)});
    }
    if (!whole) return;
    run.gpu_memory_gb = gib(card.device.memory);
    assumed.push_back({"gpu_memory_gb", fmt::format("{:.0f}", *run.gpu_memory_gb)});
}

Cluster cluster_of(const MeasuredRun& run, std::vector<Assumption>& assumed) {
    if (run.gpu.empty())
        throw Error("missing-value", "column \"gpu\" is empty", "nothing can stand for it");
    Cluster cluster = nearest_cluster(run, assumed);
    set_size(cluster, run, assumed);
    set_memory(cluster, run, assumed);
    set_part(cluster.device, RunNotes(run.assumptions), assumed);
    set_launches(cluster.device, run, assumed);
    set_links(cluster, run, assumed);
    return cluster;
}

}  // namespace shardscope
