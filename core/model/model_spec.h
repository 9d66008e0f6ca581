// What a user writes under `model:`; build_model (model.h) turns it into layers and parameters.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace shardscope {

// GPT-2 style: learned positions, pre-LayerNorm, GELU, biases, tied embeddings.
struct GptSpec {
    std::int64_t layers = 0, hidden = 0, heads = 0, vocab = 0, seq = 0;
    std::int64_t ffn = 0;  // 0: 4 · hidden
    bool tied_embeddings = true;
};

// Llama style: RMSNorm, rotary positions, SwiGLU, grouped-query attention, no biases, untied.
struct LlamaSpec {
    std::int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, ffn = 0, vocab = 0, seq = 0;
    std::int64_t head_dim = 0;  // 0: hidden / heads
    bool tied_embeddings = false;
    double rope_theta = 10000.0;
    double norm_epsilon = 1e-5;
};

// A list of layers over feature vectors, ending in softmax cross-entropy over the last width.
struct LayerListSpec {
    enum class Kind { linear, relu, gelu, layer_norm };
    struct Item {
        Kind kind = Kind::linear;
        std::int64_t in = 0,
                     out = 0;  // linear; layer_norm uses `in` as its width (0: the current width)
        bool bias = true;      // linear
    };
    std::vector<Item> items;
};

struct ModelSpec {
    std::string name;  // "gpt", a catalogue name, …
    std::variant<GptSpec, LlamaSpec, LayerListSpec> kind;
};

}  // namespace shardscope
