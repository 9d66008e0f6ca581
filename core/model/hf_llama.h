// Internal to core/model: how configurations of Llama's relatives are read, for those with one MLP per
// block (hf_families.cpp) and those with experts (hf_experts.cpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/model/hf_config.h"

namespace shardscope {

// What the relatives have in common, and in what their defaults differ.
struct LlamaLike {
    std::optional<std::int64_t> kv_heads = {};  // empty: as many as heads
    std::optional<std::int64_t> head_dim = {};  // empty: hidden / heads
    std::int64_t positions = 2048;
    bool tied = false;
    const char* act = "silu";
    bool experts = false;  // of a type that has them
};

TransformerSpec read_llama_like(HfConfig& config, const LlamaLike& family);

// Tokens per sample; `window`: how far back attention looks, 0: all the way.
std::int64_t rotary_seq(HfConfig& config, const HfOptions& options, std::int64_t otherwise,
                        std::int64_t window);
// How far back attention looks: 0 all the way. Qwen's layers do so below max_window_layers.
std::int64_t read_window(HfConfig& config, bool switched, std::int64_t otherwise,
                         std::int64_t layers);
// The gated MLP whose activation `key` names.
Mlp read_gated_mlp(HfConfig& config, std::string_view key, const char* otherwise);
// The type that a map of rotary scaling states, under its new or its old key; "default" without one.
std::string rope_type(const YamlMap& scaling);
// An encoder beside the decoder.
void refuse_switches(HfConfig& config);

// Types with experts (hf_experts.cpp).
TransformerSpec read_mixtral(HfConfig& config, const HfOptions& options);
TransformerSpec read_qwen2_moe(HfConfig& config, const HfOptions& options);
TransformerSpec read_qwen3_moe(HfConfig& config, const HfOptions& options);
TransformerSpec read_deepseek_v2(HfConfig& config, const HfOptions& options);
TransformerSpec read_deepseek_v3(HfConfig& config, const HfOptions& options);

}  // namespace shardscope
