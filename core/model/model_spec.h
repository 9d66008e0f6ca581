// What a user writes under `model:`; build_model (model.h) turns it into layers and parameters.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace shardscope {

// gelu: the tanh form, x/2 · (1 + tanh(√(2/π)·(x + 0.044715 x³))) (GPT-2); gelu_erf: the function that
// it stands for, x·Φ(x).
enum class Activation : std::uint8_t { none, relu, gelu, gelu_erf };
// Whether the derivative is taken at the activation's argument (relu's can be at its output too).
constexpr bool needs_argument(Activation a) {
    return a == Activation::gelu || a == Activation::gelu_erf;
}
enum class NormKind : std::uint8_t { layer_norm, rms_norm };
enum class Positions : std::uint8_t { learned, rotary };

// How the frequencies of rotary positions differ from theta^(−2i/d), so that a model reaches beyond the
// length it was trained for: linear divides all by `factor`; llama3 those whose wavelength is above
// original_seq / low_frequency_factor, leaves those below original_seq / high_frequency_factor as they
// are, and goes linearly in original_seq / wavelength between them (Llama 3.1's release).
struct RopeScaling {
    enum class Kind : std::uint8_t { none, linear, llama3 } kind = Kind::none;
    double factor = 1.0;
    double low_frequency_factor = 1.0, high_frequency_factor = 4.0;
    std::int64_t original_seq = 8192;

    bool operator==(const RopeScaling&) const = default;
};
// `frequency`: radians per position.
double scaled_frequency(const RopeScaling& scaling, double frequency);

// What a block's MLP computes between its two linear layers. The last three are gated: act(g) ⊙ u, the
// first layer giving g and u (Shazeer 2020, arXiv:2002.05202); swiglu is with silu(g) = g·σ(g).
enum class Mlp : std::uint8_t { relu, gelu, gelu_erf, swiglu, geglu, geglu_erf };

// Experts in place of the MLP of some blocks: a router sends every token to a few of them and sums what
// they give, weighted (Shazeer et al. 2017, arXiv:1701.06538). Beside them a block may have shared
// experts, an MLP that all tokens go through (DeepSeekMoE, arXiv:2401.06066).
struct ExpertsSpec {
    std::int64_t count = 0;       // 0: none, every block is dense
    std::int64_t per_token = 0;   // experts that a token is sent to
    std::int64_t ffn = 0;         // inner width of one expert
    std::int64_t shared_ffn = 0;  // inner width of all shared experts together; 0: none
    bool shared_gate = false;     // what they give is multiplied by σ(x·w) (Qwen2-MoE)
    bool router_bias = false;
    std::int64_t first_dense = 0;  // so many blocks at the beginning keep the MLP
    std::int64_t every = 1;        // of the others, block i has experts where this divides i + 1
    // Rows that experts are sent and compute, over tokens · per_token. 1: routing is balanced and
    // nothing is dropped or padded.
    double capacity_factor = 1.0;
    // Experts are in so many equal groups, of which a token goes to the experts of `groups_per_token` alone
    // (DeepSeek-V2 and V3: n_group, topk_group). 1 and 1: there are none.
    std::int64_t groups = 1, groups_per_token = 1;

    bool in_block(std::int64_t i) const {
        return count > 0 && i >= first_dense && (i + 1) % every == 0;
    }
    bool operator==(const ExpertsSpec&) const = default;
};

// Attention whose keys and values, and where query_rank > 0 queries too, come from a short vector per
// token, each part of them normalised (DeepSeek-V2, arXiv:2405.04434, section 2.1). A query or key head
// is nope_dim elements without and rope_dim with a position; the latter part of the key is one for all
// heads.
struct LatentAttentionSpec {
    std::int64_t kv_rank = 0;     // 0: attention as usual
    std::int64_t query_rank = 0;  // 0: queries come from the block's input
    std::int64_t nope_dim = 0, rope_dim = 0, value_dim = 0;  // of a head

    bool operator==(const LatentAttentionSpec&) const = default;
};

// A pre-norm decoder with every choice spelt out. GptSpec and LlamaSpec below are short forms of it.
struct TransformerSpec {
    std::int64_t layers = 0, hidden = 0, heads = 0, ffn = 0, vocab = 0, seq = 0;
    std::int64_t kv_heads = 0;  // 0: heads
    std::int64_t head_dim = 0;  // 0: hidden / heads

    Positions positions = Positions::rotary;
    std::int64_t position_rows = 0;    // learned: rows of the table; 0: position_offset + seq
    std::int64_t position_offset = 0;  // learned: the row of the first position
    std::int64_t rotary_dim = 0;       // rotary: elements of a head that turn; 0: all
    double rope_theta = 10000.0;
    RopeScaling rope_scaling = {};

    Mlp mlp = Mlp::swiglu;
    NormKind norm = NormKind::rms_norm;
    double norm_epsilon = 1e-5;
    bool qk_norm =
        false;  // RMSNorm of every query and key head, one weight for all heads of a kind
    bool qkv_bias = false, projection_bias = false, mlp_bias = false;
    // x + attention(norm(x)) + mlp(norm'(x)) instead of one after the other (GPT-J, GPT-NeoX).
    bool parallel_residual = false;
    double embedding_scale = 1.0;  // what rows of the token table are multiplied by
    bool tied_embeddings = false;
    double initial_deviation = 0.02;  // of weights; see transformer.cpp
    ExpertsSpec experts = {};         // simulated only, as is what follows
    LatentAttentionSpec latent = {};  // decides head_dim, rotary_dim and kv_heads

    bool operator==(const TransformerSpec&) const = default;
};

// GPT-2 style: learned positions, pre-LayerNorm, GELU, biases, tied embeddings.
struct GptSpec {
    std::int64_t layers = 0, hidden = 0, heads = 0, vocab = 0, seq = 0;
    std::int64_t ffn = 0;  // 0: 4 · hidden
    bool tied_embeddings = true;

    bool operator==(const GptSpec&) const = default;
};

// Llama style: RMSNorm, rotary positions, SwiGLU, grouped-query attention, no biases, untied.
struct LlamaSpec {
    std::int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, ffn = 0, vocab = 0, seq = 0;
    std::int64_t head_dim = 0;  // 0: hidden / heads
    bool tied_embeddings = false;
    double rope_theta = 10000.0;
    double norm_epsilon = 1e-5;

    bool operator==(const LlamaSpec&) const = default;
};

// A list of layers over feature vectors, ending in softmax cross-entropy over the last width.
struct LayerListSpec {
    enum class Kind { linear, relu, gelu, layer_norm };
    struct Item {
        Kind kind = Kind::linear;
        std::int64_t in = 0,
                     out = 0;  // linear; layer_norm uses `in` as its width (0: the current width)
        bool bias = true;      // linear

        bool operator==(const Item&) const = default;
    };
    std::vector<Item> items;

    bool operator==(const LayerListSpec&) const = default;
};

struct ModelSpec {
    std::string name;  // "gpt", a catalogue name, …
    std::variant<GptSpec, LlamaSpec, TransformerSpec, LayerListSpec> kind;

    bool operator==(const ModelSpec&) const = default;
};

}  // namespace shardscope
