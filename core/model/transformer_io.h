// The form `transformer:` of a model: docs/scenario.md has the keys.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "core/model/model_spec.h"
#include "core/yaml_reader.h"

namespace shardscope {

// Fills every default that has a value (kv_heads, head_dim, rotary_dim, position_rows).
TransformerSpec read_transformer(const YamlValue& value);

// The map that read_transformer reads back to an equal value.
nlohmann::ordered_json transformer_to_json(const TransformerSpec& spec);

}  // namespace shardscope
