// Models that were released, by the names that rows of measured runs have: what no column says of them, and what stands for
// empty ones.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/model/model_spec.h"
#include "core/validation/measured_run.h"

namespace shardscope {

// Whether the run's model has the name, in any case and with other separators or none: "DeepSeekV3" and "deepseek_v3" are
// DeepSeek-V3. "Qwen 32B" and "Gemma 2B" are no Qwen3 and no Gemma-2: their number is that of parameters.
bool is_named(const MeasuredRun& run, std::string_view name);

// Of a dense release, or of one whose blocks have nothing but experts, what a row may leave open.
struct ReleasedShape {
    std::string_view name;
    std::int64_t layers, hidden;
    std::int64_t ffn, kv_heads;
    Mlp mlp = Mlp::swiglu;
    bool tied_embeddings = false;
};

// The release with the run's name, layers and width; null without one.
const ReleasedShape* released_shape(const MeasuredRun& run);

// What the attention of releases has besides weights; `router_bias` of those with experts.
struct ReleasedAttention {
    std::string_view name;
    bool qk_norm = false, qkv_bias = false, projection_bias = false, router_bias = false;
};

// The release with the run's name, whatever its size; null without one.
const ReleasedAttention* released_attention(const MeasuredRun& run);

// Tokens that some blocks of the release attend to, where those are fewer than the run's.
std::optional<std::int64_t> attention_window(const MeasuredRun& run);

}  // namespace shardscope
