// The `strategies:` part of a scenario: docs/scenario.md has the keys.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/deepspeed/scenario_import.h"
#include "core/strategy/strategy.h"
#include "core/yaml_reader.h"

namespace shardscope {

// Strategies, and which of them name a DeepSpeed file; those are complete only when the training has
// been read (read_deepspeed_training).
struct StrategyList {
    std::vector<Strategy> strategies;
    std::vector<DeepSpeedEntry> deepspeed;
};

// Reads a list of preset names and maps; names are unique afterwards ("duplicate-name" else). `folder` is
// put before relative paths.
StrategyList read_strategies(const YamlValue& value, const std::string& folder);

// What a scenario without `strategies:` compares: every preset.
std::vector<Strategy> default_strategies();

// The map that read_strategies reads back to an equal value.
nlohmann::ordered_json strategy_to_json(const Strategy& strategy);

}  // namespace shardscope
