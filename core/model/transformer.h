// Internal to core/model: the decoder that GPT-2 and Llama are two settings of.
#pragma once

#include <cstdint>

#include "core/model/model.h"

namespace shardscope {

// All sizes resolved: kv_heads, head_dim and ffn are never 0 for "default".
struct TransformerShape {
    std::int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn = 0;
    std::int64_t vocab = 0, seq = 0;
    bool rotary = false;  // else learned positions
    bool swiglu = false;  // else GELU
    bool biases = false;  // in every linear of a block
    bool tied = false;    // the classifier is the embedding table
    NormKind norm = NormKind::layer_norm;
    double epsilon = 1e-5;
    double rope_theta = 10000.0;
};

// Throws Error "layers", "heads", "model-size" or "size-overflow".
Model build_transformer(const TransformerShape& shape);

// hidden / heads; throws Error "heads" if it is not whole.
std::int64_t default_head_dim(std::int64_t hidden, std::int64_t heads);

}  // namespace shardscope
