#include "core/model/transformer_io.h"

#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/model/experts_io.h"
#include "core/model/spec_limits.h"

namespace shardscope {
namespace {

constexpr std::array<std::string_view, 2> kPositions = {"learned", "rotary"};
constexpr std::array<std::string_view, 6> kMlps = {"relu",   "gelu",  "gelu_erf",
                                                   "swiglu", "geglu", "geglu_erf"};
constexpr std::array<std::string_view, 2> kNorms = {"layer_norm", "rms_norm"};
constexpr std::array<std::string_view, 2> kScalings = {"linear", "llama3"};
constexpr IntegerRange kOffset{0, kWidth.high};

template <std::size_t N, class Enum>
void read_choice(const YamlMap& map, std::string_view key,
                 const std::array<std::string_view, N>& names, Enum& to) {
    if (const auto value = map.find(key))
        to = static_cast<Enum>(value->choice(names, std::string(key)));
}

template <std::size_t N, class Enum>
std::string name(const std::array<std::string_view, N>& names, Enum value) {
    return std::string(names[static_cast<std::size_t>(value)]);
}

// Latent attention decides what other models say with keys of their own.
void read_latent_sizes(const YamlMap& map, const YamlValue& latent, TransformerSpec& spec) {
    for (const std::string_view key : {"kv_heads", "head_dim", "rotary_dim"})
        if (const auto value = map.find(key))
            value->fail("latent-attention",
                        fmt::format("\"{}\" follows from \"latent_attention\"", key),
                        fmt::format("remove \"{}\"", key));
    spec.latent = read_latent_attention(latent);
    spec.head_dim = spec.latent.nope_dim + spec.latent.rope_dim;
    spec.rotary_dim = spec.latent.rope_dim;
}

void read_sizes(const YamlMap& map, TransformerSpec& spec) {
    spec.layers = map.require("layers").integer(kLayers);
    spec.hidden = map.require("hidden").integer(kWidth);
    spec.heads = map.require("heads").integer(kHeads);
    spec.ffn = map.require("ffn").integer(kWidth);
    spec.vocab = map.require("vocab").integer(kWidth);
    spec.seq = map.require("seq").integer(kWidth);
    spec.kv_heads = spec.heads;
    map.read("kv_heads", spec.kv_heads, kHeads);
    if (const auto latent = map.find("latent_attention"))
        return read_latent_sizes(map, *latent, spec);
    // Where heads do not divide hidden, head_dim stays 0 and build_model says so.
    if (spec.hidden % spec.heads == 0) spec.head_dim = spec.hidden / spec.heads;
    map.read("head_dim", spec.head_dim, kWidth);
}

RopeScaling read_scaling(const YamlValue& value) {
    RopeScaling scaling;
    if (value.is_word("none")) return scaling;
    const YamlCase form = YamlMap(value, {"linear", "llama3"}).one_of(kScalings);
    if (form.index == 0) {
        scaling.kind = RopeScaling::Kind::linear;
        const YamlMap map(form.value, {"factor"});
        scaling.factor = map.require("factor").number(kScale);
        return scaling;
    }
    scaling.kind = RopeScaling::Kind::llama3;
    const YamlMap map(form.value,
                      {"factor", "low_frequency_factor", "high_frequency_factor", "original_seq"});
    scaling.factor = map.require("factor").number(kScale);
    map.read("low_frequency_factor", scaling.low_frequency_factor, kScale);
    map.read("high_frequency_factor", scaling.high_frequency_factor, kScale);
    map.read("original_seq", scaling.original_seq, kWidth);
    return scaling;
}

nlohmann::ordered_json scaling_to_json(const RopeScaling& s) {
    if (s.kind == RopeScaling::Kind::none) return "none";
    if (s.kind == RopeScaling::Kind::linear) return {{"linear", {{"factor", s.factor}}}};
    return {{"llama3",
             {{"factor", s.factor},
              {"low_frequency_factor", s.low_frequency_factor},
              {"high_frequency_factor", s.high_frequency_factor},
              {"original_seq", s.original_seq}}}};
}

// Each kind of positions has keys of its own.
void read_positions(const YamlMap& map, TransformerSpec& spec) {
    read_choice(map, "positions", kPositions, spec.positions);
    const bool learned = spec.positions == Positions::learned;
    for (const std::string_view key :
         learned ? std::vector<std::string_view>{"rope_theta", "rotary_dim", "rope_scaling"}
                 : std::vector<std::string_view>{"position_rows", "position_offset"})
        if (const auto value = map.find(key))
            value->fail("positions",
                        fmt::format("\"{}\" has no effect with {} positions", key,
                                    name(kPositions, spec.positions)),
                        fmt::format("remove \"{}\"", key));
    if (learned) {
        map.read("position_offset", spec.position_offset, kOffset);
        spec.position_rows = spec.position_offset + spec.seq;
        map.read("position_rows", spec.position_rows, kWidth);
    } else {
        if (spec.latent.kv_rank == 0) spec.rotary_dim = spec.head_dim;
        map.read("rotary_dim", spec.rotary_dim, kWidth);
        map.read("rope_theta", spec.rope_theta, kTheta);
        if (const auto scaling = map.find("rope_scaling"))
            spec.rope_scaling = read_scaling(*scaling);
    }
}

}  // namespace

TransformerSpec read_transformer(const YamlValue& value) {
    const YamlMap map(value, {"layers",
                              "hidden",
                              "heads",
                              "ffn",
                              "vocab",
                              "seq",
                              "kv_heads",
                              "head_dim",
                              "positions",
                              "rope_theta",
                              "rope_scaling",
                              "rotary_dim",
                              "position_rows",
                              "position_offset",
                              "mlp",
                              "norm",
                              "norm_epsilon",
                              "qk_norm",
                              "qkv_bias",
                              "projection_bias",
                              "mlp_bias",
                              "parallel_residual",
                              "embedding_scale",
                              "tied_embeddings",
                              "initial_deviation",
                              "experts",
                              "latent_attention"});
    TransformerSpec spec;
    read_sizes(map, spec);
    read_positions(map, spec);
    read_choice(map, "mlp", kMlps, spec.mlp);
    read_choice(map, "norm", kNorms, spec.norm);
    map.read("norm_epsilon", spec.norm_epsilon, kEpsilon);
    map.read("qk_norm", spec.qk_norm);
    map.read("qkv_bias", spec.qkv_bias);
    map.read("projection_bias", spec.projection_bias);
    map.read("mlp_bias", spec.mlp_bias);
    map.read("parallel_residual", spec.parallel_residual);
    map.read("embedding_scale", spec.embedding_scale, kScale);
    map.read("tied_embeddings", spec.tied_embeddings);
    map.read("initial_deviation", spec.initial_deviation, kDeviation);
    if (const auto experts = map.find("experts")) spec.experts = read_experts(*experts);
    return spec;
}

nlohmann::ordered_json transformer_to_json(const TransformerSpec& s) {
    nlohmann::ordered_json out = {{"layers", s.layers}, {"hidden", s.hidden}, {"heads", s.heads},
                                  {"ffn", s.ffn},       {"vocab", s.vocab},   {"seq", s.seq}};
    const auto unless_default = [&out](const char* key, std::int64_t value) {
        if (value != 0) out[key] = value;
    };
    const bool latent = s.latent.kv_rank > 0;
    unless_default("kv_heads", latent ? 0 : s.kv_heads);
    unless_default("head_dim", latent ? 0 : s.head_dim);
    out["positions"] = name(kPositions, s.positions);
    if (s.positions == Positions::learned) {
        unless_default("position_rows", s.position_rows);
        out["position_offset"] = s.position_offset;
    } else {
        unless_default("rotary_dim", latent ? 0 : s.rotary_dim);
        out["rope_theta"] = s.rope_theta;
        out["rope_scaling"] = scaling_to_json(s.rope_scaling);
    }
    out["mlp"] = name(kMlps, s.mlp);
    out["norm"] = name(kNorms, s.norm);
    out["norm_epsilon"] = s.norm_epsilon;
    out["qk_norm"] = s.qk_norm;
    out["qkv_bias"] = s.qkv_bias;
    out["projection_bias"] = s.projection_bias;
    out["mlp_bias"] = s.mlp_bias;
    out["parallel_residual"] = s.parallel_residual;
    out["embedding_scale"] = s.embedding_scale;
    out["tied_embeddings"] = s.tied_embeddings;
    out["initial_deviation"] = s.initial_deviation;
    if (s.experts.count > 0) out["experts"] = experts_to_json(s.experts);
    if (latent) out["latent_attention"] = latent_attention_to_json(s.latent);
    return out;
}

}  // namespace shardscope
