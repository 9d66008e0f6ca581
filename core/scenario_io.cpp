#include "core/scenario_io.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "core/cluster/cluster_io.h"
#include "core/model/model_io.h"
#include "core/published_io.h"
#include "core/strategy/strategy_io.h"
#include "core/training_io.h"
#include "core/yaml_text.h"
#include "core/yaml_writer.h"

namespace shardscope {
namespace {

nlohmann::ordered_json to_json(const Scenario& scenario) {
    nlohmann::ordered_json out;
    out["name"] = scenario.name;
    out["model"] = model_to_json(scenario.model);
    out["data"] = data_to_json(scenario.data, folder_of(scenario.file));
    out["training"] = training_to_json(scenario.training);
    out["cluster"] = cluster_to_json(scenario.cluster);
    out["strategies"] = nlohmann::ordered_json::array();
    for (const Strategy& strategy : scenario.strategies) {
        out["strategies"].push_back(strategy_to_json(strategy));
    }
    if (!scenario.published.empty()) out["published"] = published_to_json(scenario.published);
    return out;
}

}  // namespace

std::string folder_of(const std::string& file) {
    return file.substr(0, file.find_last_of('/') + 1);
}

Scenario read_scenario(const YamlValue& value, const std::string& folder,
                       const ParseOptions& options) {
    const YamlMap map(value,
                      {"name", "model", "data", "training", "cluster", "strategies", "published"});
    Scenario scenario;
    if (const auto name = map.find("name")) scenario.name = name->name();
    scenario.model = read_model(map.require("model"), folder);
    if (const auto data = map.find("data")) scenario.data = read_data(*data, folder);
    const auto strategies = map.find("strategies");
    StrategyList list =
        strategies ? read_strategies(*strategies, folder) : StrategyList{default_strategies(), {}};
    scenario.strategies = std::move(list.strategies);
    const auto read_cluster_of = [&] {
        scenario.cluster = read_cluster(map.require("cluster"), folder, options);
    };
    if (list.deepspeed.empty()) {
        scenario.training = read_training(map.require("training"));
        read_cluster_of();
    } else {
        read_cluster_of();
        read_deepspeed_training(map.find("training"), list.deepspeed, scenario);
    }
    if (const auto published = map.find("published"))
        scenario.published = read_published(*published, scenario.strategies);
    return scenario;
}

Scenario parse_scenario(const std::string& text, const std::string& path,
                        const ParseOptions& options) {
    Scenario scenario = read_scenario(YamlValue::parse(text, path), folder_of(path), options);
    scenario.file = path;
    if (scenario.name.empty()) scenario.name = std::filesystem::path(path).stem().string();
    return scenario;
}

Scenario load_scenario(const std::string& path, const ParseOptions& options) {
    return parse_scenario(read_text_file(path, "scenario"), path, options);
}

std::string scenario_to_yaml(const Scenario& scenario) { return json_to_yaml(to_json(scenario)); }

std::string scenario_to_json(const Scenario& scenario) {
    return to_json(scenario).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace shardscope
