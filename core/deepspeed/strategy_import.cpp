#include "core/deepspeed/strategy_import.h"

#include <filesystem>
#include <iterator>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/compact_io.h"
#include "core/deepspeed/scenario_import.h"
#include "core/error.h"
#include "core/strategy/strategy_io.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

Scenario with_strategy(const Scenario& scenario, const std::string& path,
                       const std::string& training) {
    nlohmann::ordered_json entry = {{"deepspeed", path}};
    const std::string name = std::filesystem::path(path).stem().string();
    if (is_name(name)) entry["name"] = name;
    const std::string text = nlohmann::ordered_json::array({entry}).dump(
        -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    StrategyList list = read_strategies(YamlValue::parse(text, path), "");
    Scenario result = scenario;
    for (DeepSpeedEntry& read : list.deepspeed) read.strategy += scenario.strategies.size();
    result.strategies.insert(result.strategies.end(),
                             std::make_move_iterator(list.strategies.begin()),
                             std::make_move_iterator(list.strategies.end()));
    read_deepspeed_training(YamlValue::parse(training, "training"), list.deepspeed, result);
    result.strategies.back().place.clear();
    return result;
}

}  // namespace

Scenario with_deepspeed_strategy(const Scenario& scenario, const std::string& path) {
    try {
        return with_strategy(scenario, path, training_to_yaml(scenario.training));
    } catch (const Error& error) {
        if (error.rule != "disagree") throw;
    }
    return with_strategy(scenario, path, training_to_compact_yaml(scenario.training));
}

}  // namespace shardscope
