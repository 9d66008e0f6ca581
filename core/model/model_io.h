// The `model:` part of a scenario: docs/scenario.md has the keys.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "core/model/model_spec.h"
#include "core/yaml_reader.h"

namespace shardscope {

// Reads a catalogue name or a map and fills every default (ffn, head_dim). The specification is
// expanded once (build_model), so that impossible shapes are refused here, with their place. Paths in
// it are relative to `folder`, "" or one that ends in a slash.
ModelSpec read_model(const YamlValue& value, const std::string& folder);

// The map that read_model reads back to an equal value.
nlohmann::ordered_json model_to_json(const ModelSpec& spec);

}  // namespace shardscope
