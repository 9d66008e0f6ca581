#include "core/model/experts_io.h"

#include <nlohmann/json.hpp>

#include "core/model/spec_limits.h"

namespace shardscope {
namespace {

constexpr IntegerRange kNoneOrWidth{0, kWidth.high};
constexpr NumberRange kCapacity{0, 1000, true};

}  // namespace

ExpertsSpec read_experts(const YamlValue& value) {
    const YamlMap map(value,
                      {"count", "per_token", "ffn", "shared_ffn", "shared_gate", "router_bias",
                       "first_dense", "every", "capacity_factor", "groups", "groups_per_token"});
    ExpertsSpec spec;
    spec.count = map.require("count").integer(kHeads);
    spec.per_token = map.require("per_token").integer(kHeads);
    spec.ffn = map.require("ffn").integer(kWidth);
    map.read("shared_ffn", spec.shared_ffn, kNoneOrWidth);
    map.read("shared_gate", spec.shared_gate);
    map.read("router_bias", spec.router_bias);
    map.read("first_dense", spec.first_dense, kNoneOrLayers);
    map.read("every", spec.every, kLayers);
    map.read("capacity_factor", spec.capacity_factor, kCapacity);
    map.read("groups", spec.groups, kExpertGroups);
    map.read("groups_per_token", spec.groups_per_token, kExpertGroups);
    return spec;
}

nlohmann::ordered_json experts_to_json(const ExpertsSpec& s) {
    return {{"count", s.count},
            {"per_token", s.per_token},
            {"ffn", s.ffn},
            {"shared_ffn", s.shared_ffn},
            {"shared_gate", s.shared_gate},
            {"router_bias", s.router_bias},
            {"first_dense", s.first_dense},
            {"every", s.every},
            {"capacity_factor", s.capacity_factor},
            {"groups", s.groups},
            {"groups_per_token", s.groups_per_token}};
}

LatentAttentionSpec read_latent_attention(const YamlValue& value) {
    const YamlMap map(value, {"kv_rank", "query_rank", "nope_dim", "rope_dim", "value_dim"});
    LatentAttentionSpec spec;
    spec.kv_rank = map.require("kv_rank").integer(kWidth);
    map.read("query_rank", spec.query_rank, kNoneOrWidth);
    spec.nope_dim = map.require("nope_dim").integer(kWidth);
    spec.rope_dim = map.require("rope_dim").integer(kWidth);
    spec.value_dim = map.require("value_dim").integer(kWidth);
    return spec;
}

nlohmann::ordered_json latent_attention_to_json(const LatentAttentionSpec& s) {
    return {{"kv_rank", s.kv_rank},
            {"query_rank", s.query_rank},
            {"nope_dim", s.nope_dim},
            {"rope_dim", s.rope_dim},
            {"value_dim", s.value_dim}};
}

}  // namespace shardscope
