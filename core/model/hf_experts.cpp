// Hugging Face's types with a mixture of experts.
//
// How scores become weights (softmax or sigmoid, scaling, normalisation) changes what a model learns, not what a
// step costs by more than a few sums over the scores: such keys are noted. So are losses that balance experts.
// Groups of experts count: they decide on how many nodes the experts of a token are.
#include <array>

#include <fmt/format.h>

#include "core/model/hf_llama.h"
#include "core/model/spec_limits.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

constexpr IntegerRange kNoneOrHeads{0, kHeads.high};

// Keys without an effect on memory and time.
void note_routing(HfConfig& config, std::initializer_list<std::string_view> keys) {
    for (const std::string_view key : keys)
        if (const auto value = config.find(key)) {
            config.record(key, printable(value->text()));
            config.note(key,
                        "how tokens are routed and balanced; the simulator takes routing as "
                        "balanced");
        }
}

// Blocks that keep one MLP although the pattern gives them experts: as a list only from the first on.
void read_dense_layers(HfConfig& config, ExpertsSpec& experts) {
    const auto list = config.find("mlp_only_layers");
    if (!list) return;
    std::int64_t next = 0;
    for (const YamlValue& item : list->items()) {
        if (item.integer(kNoneOrLayers) != next)
            config.refuse("mlp_only_layers",
                          "\"mlp_only_layers\": single blocks without experts are not supported",
                          "list the first blocks, as in [0, 1], or none");
        ++next;
    }
    experts.first_dense = next;
    config.record("mlp_only_layers", fmt::format("the first {}", next));
}

void require_swiglu(HfConfig& config, TransformerSpec& spec) {
    spec.mlp = read_gated_mlp(config, "hidden_act", "silu");
    if (spec.mlp != Mlp::swiglu)
        config.refuse("hidden_act", "\"hidden_act\": experts compute with silu alone", "use silu");
}

ExpertsSpec read_qwen_experts(HfConfig& config, std::int64_t count, std::int64_t per_token,
                              std::int64_t ffn) {
    ExpertsSpec experts;
    experts.count = config.size("num_experts", kHeads, count);
    experts.per_token = config.size("num_experts_per_tok", kHeads, per_token);
    experts.ffn = config.size("moe_intermediate_size", kWidth, ffn);
    experts.every = config.size("decoder_sparse_step", kLayers, 1);
    read_dense_layers(config, experts);
    note_routing(config, {"norm_topk_prob", "router_aux_loss_coef", "output_router_logits"});
    return experts;
}

// Scaling of positions changes their angles and, with YaRN, that of scores.
void read_deepseek_rope(HfConfig& config, TransformerSpec& spec) {
    spec.rope_theta = config.number("rope_theta", kTheta, 10000.0);
    for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
        const auto value = config.find(key);
        if (!value) continue;
        const YamlMap map = YamlMap::open(*value);
        const std::string name = rope_type(map);
        map.read("rope_theta", spec.rope_theta, kTheta);
        if (name != "default" && name != "yarn")
            config.refuse(
                key, fmt::format("\"{}\" of type \"{}\" is not supported", key, printable(name)),
                fmt::format("use yarn, or remove \"{}\"", key));
        config.record(key, name);
        if (name == "yarn")
            config.note(key,
                        "yarn: turns positions by other angles and scales scores, at the same "
                        "cost; plain positions are simulated");
    }
}

// What both versions have in common; their defaults differ.
struct DeepSeekDefaults {
    std::int64_t layers_dense, experts, shared, per_token, ffn, positions, groups, groups_per_token;
    bool always_groups;  // whatever topk_method says
};

// Version 2 goes by groups where topk_method is group_limited_greedy; its default, greedy, takes the best of all.
void read_expert_groups(HfConfig& config, const DeepSeekDefaults& defaults, ExpertsSpec& experts) {
    const auto method = config.find("topk_method");
    const bool grouped =
        defaults.always_groups || (method && method->text() == "group_limited_greedy");
    for (const std::string_view key : {"n_group", "topk_group"}) {
        const auto found = config.find(key);
        if (grouped || !found) continue;
        config.record(key, printable(found->text()));
        config.note(key, "topk_method takes the best of all experts: there are no groups");
    }
    if (!grouped) return;
    experts.groups = config.size("n_group", kExpertGroups, defaults.groups);
    experts.groups_per_token = config.size("topk_group", kExpertGroups, defaults.groups_per_token);
}

TransformerSpec read_deepseek(HfConfig& config, const HfOptions& options,
                              const DeepSeekDefaults& defaults) {
    refuse_switches(config);
    config.only("attention_bias", false, "biases in latent attention");
    config.only("mlp_bias", false, "biases of experts");
    TransformerSpec spec;
    spec.layers = config.size("num_hidden_layers", kLayers);
    spec.hidden = config.size("hidden_size", kWidth);
    spec.heads = config.size("num_attention_heads", kHeads);
    spec.ffn = config.size("intermediate_size", kWidth);
    spec.vocab = config.size("vocab_size", kWidth);
    for (const std::string_view key : {"num_key_value_heads", "head_dim", "qk_head_dim"})
        if (const auto value = config.find(key)) {
            config.record(key, printable(value->text()));
            config.note(key,
                        "latent attention has a key and a value per head; their widths are "
                        "keys of their own");
        }
    LatentAttentionSpec& latent = spec.latent;
    latent.kv_rank = config.size("kv_lora_rank", kWidth, 512);
    const bool whole = config.present("q_lora_rank") && !config.find("q_lora_rank");
    if (whole)
        config.record("q_lora_rank", "null: queries are not compressed");
    else
        latent.query_rank = config.size("q_lora_rank", kWidth, 1536);
    latent.nope_dim = config.size("qk_nope_head_dim", kWidth, 128);
    latent.rope_dim = config.size("qk_rope_head_dim", kWidth, 64);
    latent.value_dim = config.size("v_head_dim", kWidth, 128);
    read_deepseek_rope(config, spec);
    ExpertsSpec& experts = spec.experts;
    experts.count = config.size("n_routed_experts", kHeads, defaults.experts);
    experts.per_token = config.size("num_experts_per_tok", kHeads, defaults.per_token);
    experts.ffn = config.size("moe_intermediate_size", kWidth, defaults.ffn);
    experts.shared_ffn =
        experts.ffn * config.size("n_shared_experts", kNoneOrHeads, defaults.shared);
    experts.first_dense =
        config.size("first_k_dense_replace", kNoneOrLayers, defaults.layers_dense);
    if (config.size("moe_layer_freq", kLayers, 1) != 1)
        config.refuse("moe_layer_freq",
                      "\"moe_layer_freq\": experts in some blocks only are not "
                      "supported in this type",
                      "use 1");
    read_expert_groups(config, defaults, experts);
    note_routing(config, {"aux_loss_alpha", "seq_aux", "routed_scaling_factor", "scoring_func",
                          "topk_method", "norm_topk_prob", "ep_size", "router_aux_loss_coef",
                          "output_router_logits", "rope_interleave"});
    spec.norm_epsilon = config.number("rms_norm_eps", kEpsilon, 1e-6);
    spec.tied_embeddings = config.flag("tie_word_embeddings", false);
    spec.initial_deviation = config.number("initializer_range", kDeviation, 0.02);
    config.dropout("attention_dropout", 0.0);
    require_swiglu(config, spec);
    spec.seq = rotary_seq(config, options, defaults.positions, 0);
    return spec;
}

}  // namespace

TransformerSpec read_mixtral(HfConfig& config, const HfOptions& options) {
    TransformerSpec spec = read_llama_like(config, {.kv_heads = 8, .experts = true});
    const std::int64_t window =
        config.find("sliding_window") ? read_window(config, false, 4096, spec.layers) : 0;
    spec.seq = rotary_seq(config, options, 4096 * 32, window);
    require_swiglu(config, spec);
    spec.experts.count = config.size("num_local_experts", kHeads, 8);
    spec.experts.per_token = config.size("num_experts_per_tok", kHeads, 2);
    spec.experts.ffn = spec.ffn;
    note_routing(config, {"router_aux_loss_coef", "output_router_logits", "router_jitter_noise"});
    return spec;
}

TransformerSpec read_qwen2_moe(HfConfig& config, const HfOptions& options) {
    TransformerSpec spec = read_llama_like(config, {.kv_heads = 16, .experts = true});
    const std::int64_t window = read_window(config, true, 4096, spec.layers);
    spec.seq = rotary_seq(config, options, 32768, window);
    require_swiglu(config, spec);
    spec.qkv_bias = config.flag("qkv_bias", true);
    spec.experts = read_qwen_experts(config, 60, 4, 1408);
    spec.experts.shared_ffn = config.size("shared_expert_intermediate_size", kWidth, 5632);
    spec.experts.shared_gate = true;
    return spec;
}

TransformerSpec read_qwen3_moe(HfConfig& config, const HfOptions& options) {
    TransformerSpec spec = read_llama_like(config, {.kv_heads = 4, .experts = true});
    const std::int64_t window = read_window(config, true, 4096, spec.layers);
    spec.seq = rotary_seq(config, options, 32768, window);
    require_swiglu(config, spec);
    spec.qkv_bias = spec.projection_bias = config.flag("attention_bias", false);
    spec.qk_norm = true;
    spec.experts = read_qwen_experts(config, 128, 8, 768);
    return spec;
}

TransformerSpec read_deepseek_v2(HfConfig& config, const HfOptions& options) {
    return read_deepseek(config, options,
                         {.layers_dense = 0,
                          .experts = 64,
                          .shared = 2,
                          .per_token = 6,
                          .ffn = 1407,
                          .positions = 2048,
                          .groups = 1,
                          .groups_per_token = 1,
                          .always_groups = false});
}

// The extra block that predicts a second token (MTP) is in the files beside the model, and left out here.
TransformerSpec read_deepseek_v3(HfConfig& config, const HfOptions& options) {
    TransformerSpec spec = read_deepseek(config, options,
                                         {.layers_dense = 3,
                                          .experts = 256,
                                          .shared = 1,
                                          .per_token = 8,
                                          .ffn = 2048,
                                          .positions = 4096,
                                          .groups = 8,
                                          .groups_per_token = 4,
                                          .always_groups = true});
    if (const auto extra = config.find("num_nextn_predict_layers")) {
        config.record("num_nextn_predict_layers", printable(extra->text()));
        config.note("num_nextn_predict_layers",
                    "blocks that predict further tokens are left out of the model");
    }
    return spec;
}

}  // namespace shardscope
