#include "core/compact_io.h"

#include <filesystem>
#include <functional>
#include <optional>

#include <nlohmann/json.hpp>

#include "core/catalogue.h"
#include "core/cluster/cluster_io.h"
#include "core/error.h"
#include "core/model/model_io.h"
#include "core/model/model_source.h"
#include "core/published_io.h"
#include "core/strategy/presets.h"
#include "core/strategy/strategy_io.h"
#include "core/training_io.h"
#include "core/yaml_writer.h"

namespace shardscope {
namespace {

using Json = nlohmann::ordered_json;

// Whether a value as it would be written reads back to the one that is meant.
using ReadsBack = std::function<bool(const Json&)>;

// `equals` of what the text of `json` is; what does not parse is not equal.
template <typename Equals>
ReadsBack reads_back(Equals equals) {
    return [equals](const Json& json) {
        try {
            const std::string text = json_to_yaml({{"value", json}});
            return bool{equals(YamlMap::open(YamlValue::parse(text, "")).require("value"))};
        } catch (const Error&) {
            return false;
        }
    };
}

// Leaves out of `part`, which is in `whole`, every key that makes no difference, but `kept`.
void drop_defaults(const Json& whole, Json& part, const ReadsBack& same,
                   std::string_view kept = {}) {
    const Json all = part;
    for (const auto& [key, value] : all.items()) {
        if (key == kept) continue;
        const Json before = part;
        part.erase(key);
        if (same(whole)) continue;
        part = before;
        if (value.is_object()) drop_defaults(whole, part[key], same);
    }
}

Json without_defaults(Json json, const ReadsBack& same, std::string_view kept = {}) {
    if (same(json)) drop_defaults(json, json, same, kept);
    return json;
}

Json compact_model(const ModelSpec& spec) {
    const ReadsBack same =
        reads_back([&](const YamlValue& v) { return read_model(v, "") == spec; });
    std::optional<Json> best;
    for (const CatalogueEntry& entry : model_catalogue()) {
        Json json = {{"catalogue", entry.name}, {"name", spec.name}};
        if (const std::int64_t* const seq = sequence_length(spec)) json["seq"] = *seq;
        if (!same(json)) continue;
        drop_defaults(json, json, same, "catalogue");
        if (!best || json.size() < best->size()) best = std::move(json);
    }
    if (!best) return without_defaults(model_to_json(spec), same);
    return best->size() == 1 ? best->front() : *best;
}

Json compact_cluster(const Cluster& cluster, const ParseOptions& options) {
    const ReadsBack same =
        reads_back([&](const YamlValue& v) { return read_cluster(v, "", options) == cluster; });
    const Json machine = {{"this_machine",
                           {{"ranks", cluster.gpus_per_node},
                            {"threads", cluster.device.threads},
                            {"transport", cluster.transport}}}};
    if (cluster.this_machine && same(machine)) return without_defaults(machine, same);
    for (const CatalogueEntry& entry : cluster_catalogue()) {
        const YamlValue word = YamlValue::parse(std::string(entry.name), "");
        if (read_cluster(word, "", options).device.name != cluster.device.name) continue;
        Json json = {{"gpu", entry.name}};
        json.update(cluster_to_json(cluster));
        if (!same(json)) continue;
        drop_defaults(json, json, same, "gpu");
        return json.size() == 1 ? json.front() : json;
    }
    return without_defaults(cluster_to_json(cluster), same);
}

Json compact_strategy(const Strategy& strategy) {
    for (const Preset& preset : strategy_presets())
        if (preset.strategy == strategy) return preset.name;
    const ReadsBack same = reads_back([&](const YamlValue& value) {
        return read_strategies(value, "").strategies == std::vector<Strategy>{strategy};
    });
    Json list = Json::array({strategy_to_json(strategy)});
    if (same(list)) drop_defaults(list, list.front(), same, "name");
    return list.front();
}

Json compact_training(const TrainingSpec& training) {
    return without_defaults(training_to_json(training), reads_back([&](const YamlValue& value) {
                                return read_training(value) == training;
                            }));
}

Json compact(const Scenario& scenario, const ParseOptions& options) {
    const std::string folder = folder_of(scenario.file);
    Json out;
    if (scenario.name != std::filesystem::path(scenario.file).stem().string())
        out["name"] = scenario.name;
    out["model"] = compact_model(scenario.model);
    if (scenario.data != DataSpec{}) out["data"] = data_to_json(scenario.data, folder);
    out["training"] = compact_training(scenario.training);
    out["cluster"] = compact_cluster(scenario.cluster, options);
    out["strategies"] = Json::array();
    for (const Strategy& strategy : scenario.strategies)
        out["strategies"].push_back(compact_strategy(strategy));
    if (!scenario.published.empty()) out["published"] = published_to_json(scenario.published);
    return out;
}

}  // namespace

std::string scenario_to_compact_yaml(const Scenario& scenario, const ParseOptions& options) {
    return json_to_yaml(compact(scenario, options));
}

std::string training_to_yaml(const TrainingSpec& training) {
    return json_to_yaml(training_to_json(training));
}

std::string training_to_compact_yaml(const TrainingSpec& training) {
    return json_to_yaml(compact_training(training));
}

std::string scenario_to_compact_json(const Scenario& scenario, const ParseOptions& options) {
    return compact(scenario, options).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace shardscope
