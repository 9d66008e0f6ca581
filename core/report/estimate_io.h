// What simulated results have beside a measured one's figures, as JSON and back: docs/report.md.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "core/report/report.h"
#include "core/yaml_reader.h"

namespace shardscope {

// Adds the members "run", "variation" and "basis" for what the result has.
void add_estimates(const Result& result, nlohmann::ordered_json& json);

// The opposite. `map`: of the result.
void read_estimates(const YamlMap& map, Result& result);

}  // namespace shardscope
