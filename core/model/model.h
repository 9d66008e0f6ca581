// A model as lowering sees it: a list of layers, each naming the parameters it owns or borrows.
//
// Layers are the grain of ZeRO-3 gathering and (later) of pipeline partition. Linear weights have
// shape [out, in], row-major; activations are [rows, width] with rows = micro-batch · seq.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "core/ids.h"
#include "core/model/model_spec.h"
#include "core/units.h"

namespace shardscope {

// How initial values are drawn (core/model/initialize.h); `a` is the normal's standard deviation or
// the uniform's bound.
struct Initializer {
    enum class Kind { zeros, ones, normal, uniform } kind = Kind::zeros;
    double a = 0;
};

struct Parameter {
    std::string name;  // "blocks.3.attention.qkv.weight"
    std::vector<std::int64_t> shape;
    Initializer init;
    std::int64_t elements() const;
};

struct NormParameters {
    NormKind kind = NormKind::layer_norm;
    double epsilon = 1e-5;
    ParameterId weight, bias;  // bias invalid for rms_norm
};

// RMSNorm of every query head and every key head, with one weight [head_dim] each.
struct HeadNormParameters {
    double epsilon = 1e-5;
    ParameterId query, key;  // invalid: no such norm
};

// What a linear layer of a tensor-parallel rank's local model (core/lowering/tensor_split.h) is a part
// of: column, its outputs are a part of the layer's; row, its output is a partial sum.
enum class TensorParallel : std::uint8_t { none, column, row };

struct LinearParameters {
    std::int64_t in = 0, out = 0;
    ParameterId weight, bias;  // bias invalid: none
    TensorParallel parallel = TensorParallel::none;
};

// A block's experts. One parameter holds a weight of all of them, [count, out, in].
struct ExpertsParameters {
    std::int64_t count = 0;  // 0: the block has an MLP instead
    std::int64_t local = 0;  // of them held by one rank of an expert-parallel group; else count
    std::int64_t per_token = 0, ffn = 0;
    double capacity_factor = 1.0;
    std::int64_t groups = 1, groups_per_token = 1;
    LinearParameters router;  // [count, hidden]
    LinearParameters up,
        down;  // of one expert: [2·ffn, hidden], gate rows first, and [hidden, ffn]
    LinearParameters shared_gate;  // [1, hidden]; weight invalid: none
};

// What makes queries, keys and values of latent attention. `query_down` and `query_norm` are invalid
// where queries are not compressed: then query_up reads the block's normalised input.
struct LatentParameters {
    std::int64_t kv_rank = 0;  // 0: attention as usual
    std::int64_t query_rank = 0, nope_dim = 0, rope_dim = 0;
    LinearParameters query_down, kv_down, key_rope;  // held whole by all tensor-parallel ranks
    NormParameters query_norm, kv_norm;
    LinearParameters query_up;  // rows: per head nope_dim, then rope_dim
    LinearParameters kv_up;     // rows: per head nope_dim of its key, then value_dim
};

struct EmbeddingLayer {
    std::int64_t vocab = 0, hidden = 0, seq = 0;
    ParameterId table, positions;  // positions invalid: none (rotary models)
    std::int64_t position_rows = 0,
                 position_offset = 0;  // of `positions`: all, the first one's row
    double scale = 1.0;                // of rows of the table
    bool vocabulary_parallel = false;  // `vocab` is the rank's share, rounded up
};

// Pre-norm transformer block: s = x + proj(attention(norm(x))), then s + mlp(norm(s)), or with
// parallel_residual s + mlp(norm(x)).
struct BlockLayer {
    std::int64_t hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn = 0, seq = 0;
    std::int64_t value_dim = 0;   // of a value head; head_dim but in latent attention
    std::int64_t rotary_dim = 0;  // elements of a head that turn with the position; 0: none
    double rope_theta = 10000.0;
    RopeScaling rope_scaling = {};
    Mlp mlp = Mlp::gelu;
    bool parallel_residual = false;
    NormParameters attention_norm, mlp_norm;
    LinearParameters qkv;     // rows of the weight: q heads, then k heads, then v heads
    LatentParameters latent;  // instead of qkv where kv_rank > 0
    HeadNormParameters head_norm;
    LinearParameters projection;
    // The MLP; beside experts it is that of the shared ones, and ffn is 0 where there are none.
    LinearParameters up;  // [ffn, hidden]; gated: [2·ffn, hidden], gate rows first
    LinearParameters down;
    ExpertsParameters experts;

    bool has_experts() const { return experts.count > 0; }
    bool is_latent() const { return latent.kv_rank > 0; }
};

bool is_gated(Mlp mlp);
// What the MLP applies: relu, gelu or gelu_erf; none for swiglu, whose silu is part of its kernel.
Activation activation_of(Mlp mlp);

// Final norm, classifier and softmax cross-entropy; the classifier may be the embedding table.
struct HeadLayer {
    std::int64_t hidden = 0, vocab = 0;
    NormParameters norm;
    LinearParameters classifier;
};

// Layer lists: linear (with a following activation fused), activation alone, norm alone.
struct LinearLayer {
    LinearParameters linear;
    Activation activation = Activation::none;
};
struct ActivationLayer {
    Activation activation = Activation::relu;
    std::int64_t width = 0;
};
struct NormLayer {
    NormParameters norm;
    std::int64_t width = 0;
};
// Softmax cross-entropy on the previous layer's outputs.
struct LossLayer {
    std::int64_t classes = 0;
};

using LayerKind = std::variant<EmbeddingLayer, BlockLayer, HeadLayer, LinearLayer, ActivationLayer,
                               NormLayer, LossLayer>;

struct Layer {
    std::string name;  // "embedding", "blocks.3", "head", "layers.0"
    LayerKind kind;
    std::vector<ParameterId> parameters;  // owned by this layer, in storage order
    std::vector<ParameterId> borrowed;    // used but owned by another layer (tied embeddings)
};

struct Model {
    std::string name;
    std::vector<Parameter> parameters;
    std::vector<Layer> layers;
    bool tokens = true;            // inputs are token ids (else feature vectors)
    std::int64_t seq = 1;          // tokens per sample; 1 for feature vectors
    std::int64_t input_width = 0;  // feature vectors: their width
    std::int64_t classes = 0;      // vocabulary or number of classes

    std::int64_t parameter_count() const;
    // Of them, those that a token goes through: per_token of each layer's experts.
    std::int64_t active_parameter_count() const;
    // Whether any block has experts, or latent attention.
    bool has_experts() const;
    bool has_latent_attention() const;
    // Forward + backward matrix-multiply FLOPs per sample, attention counted with its causal half
    // (Megatron's and llm.c's convention), recomputation and gradients of feature vectors not counted: the numerator
    // of `mfu`.
    // Of experts, those that a token is sent to.
    Flops training_flops_per_sample() const;
};

// Expands a specification. Throws Error for impossible shapes (rules "heads", "layer-shape", …) and
// for sizes beyond 2^63.
Model build_model(const ModelSpec& spec);

}  // namespace shardscope
