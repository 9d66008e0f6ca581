// Experts and latent attention, as scenarios write them.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "core/model/model_spec.h"
#include "core/yaml_reader.h"

namespace shardscope {

// {count, per_token, ffn, shared_ffn, shared_gate, router_bias, first_dense, every, capacity_factor}: the
// first three are required. Whether they fit together says build_model.
ExpertsSpec read_experts(const YamlValue& value);
nlohmann::ordered_json experts_to_json(const ExpertsSpec& spec);

// {kv_rank, query_rank, nope_dim, rope_dim, value_dim}; query_rank alone may be left out.
LatentAttentionSpec read_latent_attention(const YamlValue& value);
nlohmann::ordered_json latent_attention_to_json(const LatentAttentionSpec& spec);

}  // namespace shardscope
