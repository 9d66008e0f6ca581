#include "core/model/hf_families.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "core/error.h"
#include "core/model/hf_llama.h"
#include "core/model/spec_limits.h"
#include "core/nearest.h"

namespace shardscope {
namespace {

// Activations by transformers' names. "gelu" is x·Φ(x); the others are ways to compute its tanh form.
enum class Act { relu, gelu, gelu_erf, silu };
struct ActName {
    std::string_view name;
    Act act;
};
constexpr std::array<ActName, 9> kActs{{{"relu", Act::relu},
                                        {"gelu", Act::gelu_erf},
                                        {"gelu_python", Act::gelu_erf},
                                        {"gelu_new", Act::gelu},
                                        {"gelu_fast", Act::gelu},
                                        {"gelu_pytorch_tanh", Act::gelu},
                                        {"gelu_accurate", Act::gelu},
                                        {"silu", Act::silu},
                                        {"swish", Act::silu}}};

// The MLP with the activation that `key` names; refuses what it does not come with.
Mlp read_mlp(HfConfig& config, std::string_view key, const std::string& otherwise, bool gated) {
    const std::string word = config.word(key, otherwise);
    std::vector<std::string> usable;
    for (const ActName& known : kActs) {
        const bool fits = known.act != (gated ? Act::relu : Act::silu);
        if (fits) usable.emplace_back(known.name);
        if (known.name != word || !fits) continue;
        switch (known.act) {
            case Act::relu:
                return Mlp::relu;
            case Act::gelu:
                return gated ? Mlp::geglu : Mlp::gelu;
            case Act::gelu_erf:
                return gated ? Mlp::geglu_erf : Mlp::gelu_erf;
            case Act::silu:
                return Mlp::swiglu;
        }
    }
    config.refuse(key,
                  fmt::format("\"{}\": \"{}\" is not supported in {} MLP", key, word,
                              gated ? "a gated" : "this type's"),
                  fmt::format("use one of {}", join_or(usable)));
}

// The key by which a file gives a value that transformers knows under two names.
std::string_view either(HfConfig& config, std::string_view name, std::string_view other) {
    return !config.find(name) && config.find(other) ? other : name;
}

void check_config_heads(const HfConfig& config, std::string_view heads_key,
                        const TransformerSpec& spec) {
    if (spec.head_dim == 0 && spec.hidden % spec.heads != 0)
        throw Error("heads",
                    fmt::format("{}: \"{}\" {} does not divide the hidden size {}",
                                config.place(heads_key), heads_key, spec.heads, spec.hidden),
                    fmt::format("use a divisor of {}", spec.hidden));
    if (spec.heads % spec.kv_heads != 0)
        throw Error(
            "heads",
            fmt::format("{}: {} key-value heads{} do not divide {} attention heads",
                        config.place("num_key_value_heads"), spec.kv_heads,
                        config.present("num_key_value_heads") ? "" : " (the default)", spec.heads),
            fmt::format("use a \"num_key_value_heads\" that divides {}", spec.heads));
}

// Tokens per sample. `window`: how far attention looks back, 0: all the way.
std::int64_t choose_seq(HfConfig& config, const HfOptions& options, std::string_view limit_key,
                        std::int64_t otherwise, Positions positions, std::int64_t window) {
    const std::int64_t limit = config.size(limit_key, kWidth, otherwise);
    const std::int64_t seq = options.seq.value_or(window > 0 ? std::min(limit, window) : limit);
    if (window > 0 && seq > window)
        config.refuse("sliding_window",
                      fmt::format("\"sliding_window\": {} is shorter than seq {}; attention that "
                                  "does not look all the way back is not supported",
                                  window, seq),
                      fmt::format("use a seq of at most {}", window));
    if (window > 0)
        config.note("sliding_window",
                    fmt::format("{}: within it attention is full; seq is {}", window, seq));
    if (positions == Positions::learned && seq > limit)
        throw Error("positions",
                    fmt::format("{}: seq {} is more than the {} positions of the model's table",
                                config.place(limit_key), seq, limit),
                    fmt::format("use a seq of at most {}", limit));
    if (seq > limit)
        config.note(limit_key,
                    fmt::format("{}: seq {} is longer than the model is meant for", limit, seq));
    return seq;
}

// The part of a head that turns; the rest of the arithmetic is integer as in transformers.
std::int64_t turned(const TransformerSpec& spec, double fraction) {
    const std::int64_t head_dim = spec.head_dim > 0 ? spec.head_dim : spec.hidden / spec.heads;
    return static_cast<std::int64_t>(static_cast<double>(head_dim) * fraction);
}

RopeScaling read_rope_scaling(const YamlMap& map, const std::string& type) {
    RopeScaling scaling;
    scaling.kind = type == "linear" ? RopeScaling::Kind::linear : RopeScaling::Kind::llama3;
    scaling.factor = map.require("factor").number(kScale);
    if (scaling.kind == RopeScaling::Kind::linear) return scaling;
    scaling.low_frequency_factor = map.require("low_freq_factor").number(kScale);
    scaling.high_frequency_factor = map.require("high_freq_factor").number(kScale);
    scaling.original_seq = map.require("original_max_position_embeddings").integer(kWidth);
    return scaling;
}

// Rotary positions: older files have `theta_key` and rope_scaling, newer ones rope_parameters.
void read_rope(HfConfig& config, std::string_view theta_key, std::string_view fraction_key,
               double fraction, TransformerSpec& spec) {
    spec.positions = Positions::rotary;
    spec.rope_theta = config.number(theta_key, kTheta, 10000.0);
    if (fraction != 1.0 || config.find(fraction_key))
        fraction = config.number(fraction_key, kFraction, fraction);
    for (const std::string_view key : {"rope_parameters", "rope_scaling"}) {
        const auto value = config.find(key);
        if (!value) continue;
        const YamlMap map = YamlMap::open(*value);
        const std::string name = rope_type(map);
        if (name == "linear" || name == "llama3")
            spec.rope_scaling = read_rope_scaling(map, name);
        else if (name != "default")
            config.refuse(
                key,
                fmt::format("\"{}\" of type \"{}\" changes the rotary positions in a way "
                            "that is not supported",
                            key, name),
                fmt::format("use linear or llama3, or remove \"{}\" to train with plain positions",
                            key));
        map.read("rope_theta", spec.rope_theta, kTheta);
        map.read("partial_rotary_factor", fraction, kFraction);
        config.record(key, fmt::format("{}, factor {}, theta {}", name, spec.rope_scaling.factor,
                                       spec.rope_theta));
    }
    if (fraction == 1.0) return;
    spec.rotary_dim = turned(spec, fraction);
    if (spec.rotary_dim < 2 || spec.rotary_dim % 2 != 0)
        config.refuse(fraction_key,
                      fmt::format("\"{}\": {} of a head are {} elements, but pairs of them turn",
                                  fraction_key, fraction, spec.rotary_dim),
                      "use a part that is an even number of elements, at least 2");
}

// A type with one MLP per block.
void refuse_experts(HfConfig& config) {
    for (const char* key : {"num_experts", "num_local_experts", "n_routed_experts"})
        if (const auto experts = config.find(key); experts && !experts->is_word("1"))
            config.refuse(
                key, fmt::format("\"{}\": models of this type have no mixture of experts", key),
                "use a type that has: mixtral, qwen2_moe, qwen3_moe, deepseek_v2 or "
                "deepseek_v3");
}

}  // namespace

void refuse_switches(HfConfig& config) {
    config.only("is_encoder_decoder", false, "an encoder beside the decoder");
    config.only("add_cross_attention", false, "cross-attention to an encoder");
}

namespace {

TransformerSpec read_gpt2(HfConfig& config, const HfOptions& options) {
    refuse_switches(config);
    config.only("scale_attn_weights", true, "scores that are not scaled by the root of head_dim");
    config.only("scale_attn_by_inverse_layer_idx", false, "scores scaled by layer");
    TransformerSpec spec;
    const std::string_view heads = either(config, "n_head", "num_attention_heads");
    spec.layers = config.size(either(config, "n_layer", "num_hidden_layers"), kLayers);
    spec.hidden = config.size(either(config, "n_embd", "hidden_size"), kWidth);
    spec.heads = spec.kv_heads = config.size(heads, kHeads);
    spec.ffn = config.size("n_inner", kWidth, 4 * spec.hidden);
    spec.vocab = config.size("vocab_size", kWidth);
    check_config_heads(config, heads, spec);
    spec.positions = Positions::learned;
    const std::string_view limit = either(config, "n_positions", "max_position_embeddings");
    spec.seq = choose_seq(config, options, limit, 1024, spec.positions, 0);
    spec.position_rows = config.find(limit) ? config.find(limit)->integer(kWidth) : 1024;
    spec.mlp = read_mlp(config, "activation_function", "gelu_new", false);
    spec.norm = NormKind::layer_norm;
    spec.norm_epsilon = config.number("layer_norm_epsilon", kEpsilon, 1e-5);
    spec.qkv_bias = spec.projection_bias = spec.mlp_bias = true;
    spec.tied_embeddings = config.flag("tie_word_embeddings", true);
    spec.initial_deviation = config.number("initializer_range", kDeviation, 0.02);
    for (const char* key : {"resid_pdrop", "embd_pdrop", "attn_pdrop"}) config.dropout(key, 0.1);
    return spec;
}

TransformerSpec read_gpt_neox(HfConfig& config, const HfOptions& options) {
    refuse_switches(config);
    TransformerSpec spec;
    spec.layers = config.size("num_hidden_layers", kLayers);
    spec.hidden = config.size("hidden_size", kWidth);
    spec.heads = spec.kv_heads = config.size("num_attention_heads", kHeads);
    spec.ffn = config.size("intermediate_size", kWidth);
    spec.vocab = config.size("vocab_size", kWidth);
    check_config_heads(config, "num_attention_heads", spec);
    const bool renamed = !config.find("rotary_emb_base") && config.find("rope_theta");
    read_rope(config, renamed ? "rope_theta" : "rotary_emb_base",
              either(config, "rotary_pct", "partial_rotary_factor"), 0.25, spec);
    spec.seq = choose_seq(config, options, "max_position_embeddings", 2048, Positions::rotary, 0);
    spec.mlp = read_mlp(config, "hidden_act", "gelu", false);
    spec.norm = NormKind::layer_norm;
    spec.norm_epsilon = config.number("layer_norm_eps", kEpsilon, 1e-5);
    spec.qkv_bias = spec.projection_bias = config.flag("attention_bias", true);
    spec.mlp_bias = true;
    spec.parallel_residual = config.flag("use_parallel_residual", true);
    spec.tied_embeddings = config.flag("tie_word_embeddings", false);
    spec.initial_deviation = config.number("initializer_range", kDeviation, 0.02);
    for (const char* key : {"attention_dropout", "hidden_dropout"}) config.dropout(key, 0.0);
    return spec;
}

TransformerSpec read_opt(HfConfig& config, const HfOptions& options) {
    refuse_switches(config);
    config.only("do_layer_norm_before", true, "norms behind attention and MLP, as in opt-350m");
    config.only("_remove_final_layer_norm", false, "no norm before the classifier");
    config.only("layer_norm_elementwise_affine", true, "norms without weights");
    TransformerSpec spec;
    spec.layers = config.size("num_hidden_layers", kLayers);
    spec.hidden = config.size("hidden_size", kWidth);
    spec.heads = spec.kv_heads = config.size("num_attention_heads", kHeads);
    spec.ffn = config.size("ffn_dim", kWidth);
    spec.vocab = config.size("vocab_size", kWidth);
    check_config_heads(config, "num_attention_heads", spec);
    const std::int64_t embedding = config.size("word_embed_proj_dim", kWidth, spec.hidden);
    if (embedding != spec.hidden)
        config.refuse(
            "word_embed_proj_dim",
            fmt::format("\"word_embed_proj_dim\": {} is not \"hidden_size\" {}; projections "
                        "between embedding and blocks, as in opt-350m, are not supported",
                        embedding, spec.hidden),
            "use another OPT model, such as opt-125m or opt-1.3b");
    spec.positions = Positions::learned;
    spec.seq = choose_seq(config, options, "max_position_embeddings", 2048, spec.positions, 0);
    // OPTLearnedPositionalEmbedding keeps two rows before the first position, for padding.
    spec.position_offset = 2;
    const auto limit = config.find("max_position_embeddings");
    spec.position_rows = spec.position_offset + (limit ? limit->integer(kWidth) : 2048);
    spec.mlp = read_mlp(config, "activation_function", "relu", false);
    spec.norm = NormKind::layer_norm;
    spec.qkv_bias = spec.projection_bias = spec.mlp_bias = config.flag("enable_bias", true);
    spec.tied_embeddings = config.flag("tie_word_embeddings", true);
    spec.initial_deviation = config.number("init_std", kDeviation, 0.02);
    config.dropout("dropout", 0.1);
    for (const char* key : {"attention_dropout", "activation_dropout", "layerdrop"})
        config.dropout(key, 0.0);
    return spec;
}

}  // namespace

std::string rope_type(const YamlMap& scaling) {
    auto type = scaling.find("rope_type");
    if (!type) type = scaling.find("type");
    return type ? type->name() : "default";
}

Mlp read_gated_mlp(HfConfig& config, std::string_view key, const char* otherwise) {
    return read_mlp(config, key, otherwise, true);
}

std::int64_t read_window(HfConfig& config, bool switched, std::int64_t otherwise,
                         std::int64_t layers) {
    const bool used = !switched || config.flag("use_sliding_window", false);
    const bool nowhere =
        switched && config.size("max_window_layers", {0, kLayers.high}, 28) >= layers;
    const auto types = config.find("layer_types");
    bool sliding = !nowhere;
    if (types) {
        const auto items = types->items();
        sliding = std::any_of(items.begin(), items.end(), [](const YamlValue& type) {
            return !type.is_word("full_attention");
        });
        config.record("layer_types", sliding ? "some slide" : "all full_attention");
    }
    const bool off = config.present("sliding_window") && !config.find("sliding_window");
    if (off || !used || !sliding) {
        if (config.present("sliding_window")) config.record("sliding_window", "off");
        return 0;
    }
    return config.size("sliding_window", kWidth, otherwise);
}

TransformerSpec read_llama_like(HfConfig& config, const LlamaLike& family) {
    refuse_switches(config);
    if (!family.experts) refuse_experts(config);
    TransformerSpec spec;
    spec.layers = config.size("num_hidden_layers", kLayers);
    spec.hidden = config.size("hidden_size", kWidth);
    spec.heads = config.size("num_attention_heads", kHeads);
    spec.ffn = config.size("intermediate_size", kWidth);
    spec.vocab = config.size("vocab_size", kWidth);
    const bool all = config.present("num_key_value_heads") && !config.find("num_key_value_heads");
    spec.kv_heads = config.size("num_key_value_heads", kHeads,
                                all ? spec.heads : family.kv_heads.value_or(spec.heads));
    if (config.find("head_dim") || family.head_dim)
        spec.head_dim = config.size("head_dim", kWidth, family.head_dim.value_or(0));
    check_config_heads(config, "num_attention_heads", spec);
    read_rope(config, "rope_theta", "partial_rotary_factor", 1.0, spec);
    if (spec.rotary_dim != 0)
        config.refuse("partial_rotary_factor",
                      "\"partial_rotary_factor\" other than 1 is not supported in this type",
                      "use gpt_neox, whose rotary_pct is");
    spec.norm = NormKind::rms_norm;
    spec.norm_epsilon = config.number("rms_norm_eps", kEpsilon, 1e-6);
    spec.tied_embeddings = config.flag("tie_word_embeddings", family.tied);
    spec.initial_deviation = config.number("initializer_range", kDeviation, 0.02);
    config.dropout("attention_dropout", 0.0);
    return spec;
}

std::int64_t rotary_seq(HfConfig& config, const HfOptions& options, std::int64_t otherwise,
                        std::int64_t window) {
    return choose_seq(config, options, "max_position_embeddings", otherwise, Positions::rotary,
                      window);
}

namespace {

TransformerSpec read_llama(HfConfig& config, const HfOptions& options) {
    TransformerSpec spec = read_llama_like(config, {});
    spec.seq = rotary_seq(config, options, 2048, 0);
    spec.mlp = read_mlp(config, "hidden_act", "silu", true);
    spec.qkv_bias = spec.projection_bias = config.flag("attention_bias", false);
    spec.mlp_bias = config.flag("mlp_bias", false);
    return spec;
}

TransformerSpec read_mistral(HfConfig& config, const HfOptions& options) {
    TransformerSpec spec = read_llama_like(config, {.kv_heads = 8});
    const std::int64_t window = read_window(config, false, 4096, spec.layers);
    spec.seq = rotary_seq(config, options, 4096 * 32, window);
    spec.mlp = read_mlp(config, "hidden_act", "silu", true);
    return spec;
}

TransformerSpec read_qwen2(HfConfig& config, const HfOptions& options) {
    TransformerSpec spec = read_llama_like(config, {.kv_heads = 32});
    const std::int64_t window = read_window(config, true, 4096, spec.layers);
    spec.seq = rotary_seq(config, options, 32768, window);
    spec.mlp = read_mlp(config, "hidden_act", "silu", true);
    spec.qkv_bias = true;
    return spec;
}

TransformerSpec read_qwen3(HfConfig& config, const HfOptions& options) {
    TransformerSpec spec = read_llama_like(config, {.kv_heads = 32, .head_dim = 128});
    const std::int64_t window = read_window(config, true, 4096, spec.layers);
    spec.seq = rotary_seq(config, options, 32768, window);
    spec.mlp = read_mlp(config, "hidden_act", "silu", true);
    spec.qkv_bias = spec.projection_bias = config.flag("attention_bias", false);
    spec.qk_norm = true;
    return spec;
}

// Gemma's older files say "gelu" where the model has always computed the tanh form; transformers added
// hidden_activation to say so.
Mlp read_gemma_mlp(HfConfig& config) {
    constexpr std::string_view kNew = "hidden_activation", kOld = "hidden_act";
    if (config.find(kNew)) {
        if (config.find(kOld)) config.note(kOld, "transformers reads hidden_activation instead");
        return read_mlp(config, kNew, "", true);
    }
    if (const auto old = config.find(kOld); old && old->is_word("gelu")) {
        config.record(kOld, "gelu");
        config.note(kOld, "gelu: computed in its tanh form, as Gemma was trained");
        return Mlp::geglu;
    }
    return read_mlp(config, kOld, "gelu_pytorch_tanh", true);
}

TransformerSpec read_gemma(HfConfig& config, const HfOptions& options) {
    config.only("use_bidirectional_attention", false, "attention to later tokens");
    TransformerSpec spec = read_llama_like(config, {.kv_heads = 16, .head_dim = 256, .tied = true});
    spec.seq = rotary_seq(config, options, 8192, 0);
    spec.mlp = read_gemma_mlp(config);
    spec.qkv_bias = spec.projection_bias = config.flag("attention_bias", false);
    spec.embedding_scale = std::sqrt(static_cast<double>(spec.hidden));
    config.note(
        "rms_norm_eps",
        "norms multiply by 1 + w; here the sum is the weight: it starts at 1, and decays to 0");
    return spec;
}

constexpr HfFamily kFamilies[] = {
    {"gpt2", "GPT2", read_gpt2},
    {"gpt_neox", "GPTNeoX", read_gpt_neox},
    {"opt", "OPT", read_opt},
    {"llama", "Llama", read_llama},
    {"mistral", "Mistral", read_mistral},
    {"qwen2", "Qwen2", read_qwen2},
    {"qwen3", "Qwen3", read_qwen3},
    {"gemma", "Gemma", read_gemma},
    {"mixtral", "Mixtral", read_mixtral},
    {"qwen2_moe", "Qwen2Moe", read_qwen2_moe},
    {"qwen3_moe", "Qwen3Moe", read_qwen3_moe},
    {"deepseek_v2", "DeepseekV2", read_deepseek_v2},
    {"deepseek_v3", "DeepseekV3", read_deepseek_v3},
};

}  // namespace

std::span<const HfFamily> hf_families() { return kFamilies; }

}  // namespace shardscope
