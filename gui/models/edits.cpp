#include "gui/models/edits.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "core/catalogue.h"
#include "core/cluster/cluster_source.h"
#include "core/cluster/description_io.h"
#include "core/deepspeed/strategy_import.h"
#include "core/error.h"
#include "core/model/hf_import.h"
#include "core/model/model.h"
#include "core/model/model_source.h"
#include "gui/models/strategy_words.h"

namespace shardscope::gui {
namespace {

QStringList names_of(std::span<const CatalogueEntry> entries) {
    QStringList names;
    for (const CatalogueEntry& entry : entries) names.append(text_of(entry.name));
    return names;
}

// Throws what build_model throws, so that no edit makes a model that cannot be.
void use_model(Document& document, ModelSpec model, const QString& edit,
               const QString& merge = {}) {
    build_model(model);
    document.edit(
        edit, [&](Scenario& scenario) { scenario.model = std::move(model); }, merge);
}

void use_cluster(Document& document, Cluster cluster, const QString& edit) {
    document.edit(edit, [&](Scenario& scenario) { scenario.cluster = std::move(cluster); });
}

void check_range(const char* what, std::int64_t value, IntegerRange range) {
    if (value >= range.low && value <= range.high) return;
    throw Error("range", std::string(what) + " is " + std::to_string(value),
                "use " + std::to_string(range.low) + " to " + std::to_string(range.high));
}

Cluster sized(Cluster cluster, int nodes, int gpus_per_node) {
    check_range("nodes", nodes, kNodes);
    check_range("gpus_per_node", gpus_per_node, kPerNode);
    check_range("nodes × gpus_per_node", std::int64_t{nodes} * gpus_per_node, kWorld);
    cluster.nodes = nodes;
    cluster.gpus_per_node = gpus_per_node;
    return cluster;
}

void check_links(const Cluster& cluster) {
    const auto missing = [&](const char* link) {
        throw Error("missing-key", cluster.name + " does not describe its " + link + " links",
                    std::string("give ") + link + " in its cluster file, or choose another size");
    };
    if (cluster.gpus_per_node > 1 && cluster.intra_node.bandwidth.value <= 0) missing("intra_node");
    if (cluster.nodes > 1 && cluster.inter_node.bandwidth.value <= 0) missing("inter_node");
}

}  // namespace

QStringList catalogue_models() { return names_of(model_catalogue()); }

QStringList catalogue_clusters() { return names_of(cluster_catalogue()); }

QString catalogue_name_of(const ModelSpec& model) {
    const std::int64_t tokens = sequence_of(model);
    for (const CatalogueEntry& entry : model_catalogue()) {
        ModelSpec known = catalogue_model(std::string(entry.name));
        if (tokens > 0 && sequence_length(known) != nullptr) *sequence_length(known) = tokens;
        if (known.kind == model.kind) return text_of(entry.name);
    }
    return {};
}

QString catalogue_name_of(const Cluster& cluster) {
    for (const CatalogueEntry& entry : cluster_catalogue()) {
        Cluster known = catalogue_cluster(std::string(entry.name));
        known.name = cluster.name;
        known.nodes = cluster.nodes;
        known.gpus_per_node = cluster.gpus_per_node;
        if (known == cluster) return text_of(entry.name);
    }
    return {};
}

void set_model(Document& document, const QString& catalogue_name) {
    use_model(document, catalogue_model(catalogue_name.toStdString()), "set model");
}

void open_model_config(Document& document, const QString& path) {
    use_model(document, load_hf_config(path.toStdString(), {}).model, "open model");
}

std::int64_t sequence_of(const ModelSpec& model) {
    const std::int64_t* const tokens = sequence_length(model);
    return tokens == nullptr ? 0 : *tokens;
}

void set_sequence(Document& document, std::int64_t tokens, const QString& merge) {
    ModelSpec model = document.scenario().model;
    std::int64_t* const length = sequence_length(model);
    if (length == nullptr)
        throw Error("sequence", "model " + model.name + " has no sequence length",
                    "choose a transformer");
    *length = tokens;
    use_model(document, std::move(model), "set sequence length", merge);
}

void set_cluster(Document& document, const QString& catalogue_name, int nodes, int gpus_per_node) {
    Cluster cluster = sized(catalogue_cluster(catalogue_name.toStdString()), nodes, gpus_per_node);
    check_links(cluster);
    use_cluster(document, std::move(cluster), "set cluster");
}

void set_cluster_size(Document& document, int nodes, int gpus_per_node) {
    const Cluster& now = document.scenario().cluster;
    if (!now.this_machine) {
        Cluster cluster = sized(now, nodes, gpus_per_node);
        check_links(cluster);
        use_cluster(document, std::move(cluster), "set cluster size");
        return;
    }
    check_range("nodes", nodes, {1, 1});
    Cluster cluster = sized(now, nodes, gpus_per_node);
    const std::int64_t memory = now.device.memory.value * now.gpus_per_node;
    cluster.device.memory = Bytes(memory / gpus_per_node);
    use_cluster(document, std::move(cluster), "set ranks");
}

void set_this_machine(Document& document, int ranks, int threads) {
    check_range("ranks", ranks, {1, kMostThreads});
    check_range("threads", threads, {1, kMostThreads});
    use_cluster(document, this_machine_cluster(ranks, threads, document.parse_options()),
                "set cluster");
}

void open_cluster(Document& document, const QString& path) {
    use_cluster(document, load_cluster(path.toStdString()), "open cluster");
}

void set_global_batch(Document& document, std::int64_t samples, const QString& merge) {
    check_range("global_batch", samples, kBatchRange);
    document.edit(
        "set global batch", [&](Scenario& s) { s.training.global_batch = samples; }, merge);
}

void set_micro_batch(Document& document, std::int64_t samples) {
    check_range("micro_batch", samples, {0, kBatchRange.high});
    document.edit("set micro-batch of all", [&](Scenario& s) { s.training.micro_batch = samples; });
}

void set_precision(Document& document, MathType arithmetic) {
    document.edit("set precision", [&](Scenario& s) {
        s.training.set_precision(arithmetic);
        const DType precision = s.training.precision;
        // Gradients are kept as the parameters are, or wider.
        const auto gradients = s.training.gradient_dtype;
        if (gradients && *gradients != precision &&
            !(size_of(precision) == 2 && *gradients == DType::fp32))
            s.training.gradient_dtype.reset();
    });
}

void add_deepspeed(Document& document, const QString& path) {
    Scenario next = with_deepspeed_strategy(document.scenario(), path.toStdString());
    Strategy& added = next.strategies.back();
    added.name = unique_strategy_name(document.scenario().strategies, added.name);
    document.edit("add DeepSpeed strategy", [&](Scenario& s) { s = std::move(next); });
}

}  // namespace shardscope::gui
