// The `strategies:` part of a scenario: docs/scenario.md has the keys.
#pragma once

#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/strategy/strategy.h"
#include "core/yaml_reader.h"

namespace shardscope {

// Reads a list of preset names and maps; names are unique afterwards ("duplicate-name" else).
std::vector<Strategy> read_strategies(const YamlValue& value);

// What a scenario without `strategies:` compares: every preset.
std::vector<Strategy> default_strategies();

// The map that read_strategies reads back to an equal value.
nlohmann::ordered_json strategy_to_json(const Strategy& strategy);

}  // namespace shardscope
