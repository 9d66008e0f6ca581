// The decoder that every transformer here is a setting of.
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "core/checked.h"
#include "core/model/builder.h"

namespace shardscope {
namespace {

// Far beyond any real model, small enough that the lists of layers stay small.
constexpr std::int64_t kMostLayers = 100'000;

Initializer normal(double deviation) { return {Initializer::Kind::normal, deviation}; }

void require_positive_number(double value, const char* what) {
    if (std::isfinite(value) && value > 0) return;
    throw Error("model-size", fmt::format("{} is {}", what, value),
                fmt::format("use a positive number for {}", what));
}

// hidden / heads, which must be whole.
std::int64_t default_head_dim(std::int64_t hidden, std::int64_t heads) {
    require_positive(hidden, "hidden");
    require_positive(heads, "heads");
    if (hidden % heads != 0)
        throw Error("heads", fmt::format("heads {} does not divide hidden {}", heads, hidden),
                    fmt::format("use a divisor of {} for heads", hidden));
    return hidden / heads;
}

void check_heads(const TransformerSpec& s) {
    if (s.heads % s.kv_heads != 0)
        throw Error("heads",
                    fmt::format("kv_heads {} does not divide heads {}", s.kv_heads, s.heads),
                    fmt::format("use a divisor of {} for kv_heads", s.heads));
    if (s.rotary_dim % 2 != 0)
        throw Error(
            "heads",
            fmt::format("{} {} is odd, but rotary positions turn pairs of elements",
                        s.rotary_dim == s.head_dim ? "head_dim" : "rotary_dim", s.rotary_dim),
            s.rotary_dim == s.head_dim ? "use an even head_dim" : "use an even rotary_dim");
    if (s.rotary_dim < 0 || s.rotary_dim > s.head_dim)
        throw Error(
            "heads",
            fmt::format("rotary_dim {} is not a part of head_dim {}", s.rotary_dim, s.head_dim),
            fmt::format("use an even rotary_dim of at most {}", s.head_dim));
}

void check_positions(const TransformerSpec& s) {
    if (s.positions == Positions::rotary) return;
    if (s.position_offset < 0 ||
        checked_add(s.position_offset, s.seq, "position_offset + seq") > s.position_rows)
        throw Error("positions",
                    fmt::format("{} positions from row {} on are more than the {} rows of the "
                                "position table",
                                s.seq, s.position_offset, s.position_rows),
                    fmt::format("use a seq of at most {}", s.position_rows - s.position_offset));
}

void check_scaling(const RopeScaling& scaling) {
    if (scaling.kind == RopeScaling::Kind::none) return;
    require_positive_number(scaling.factor, "rope_scaling.factor");
    if (scaling.kind == RopeScaling::Kind::linear) return;
    require_positive(scaling.original_seq, "rope_scaling.original_seq");
    require_positive_number(scaling.low_frequency_factor, "rope_scaling.low_frequency_factor");
    if (scaling.high_frequency_factor > scaling.low_frequency_factor) return;
    throw Error("positions",
                fmt::format("rope_scaling.high_frequency_factor {} is not above "
                            "low_frequency_factor {}",
                            scaling.high_frequency_factor, scaling.low_frequency_factor),
                "use a larger high_frequency_factor, such as 4 with 1");
}

[[noreturn]] void refuse_expert_sizes(const std::string& message, const std::string& fix) {
    throw Error("experts", message, fix);
}

void check_expert_groups(const ExpertsSpec& e) {
    require_positive(e.groups, "experts.groups");
    require_positive(e.groups_per_token, "experts.groups_per_token");
    if (e.count % e.groups != 0)
        refuse_expert_sizes(
            fmt::format("{} experts do not divide into {} groups", e.count, e.groups),
            fmt::format("use a number of groups that divides {}", e.count));
    if (e.groups_per_token > e.groups)
        refuse_expert_sizes(
            fmt::format("groups_per_token {} of {} groups", e.groups_per_token, e.groups),
            fmt::format("use a groups_per_token of at most {}", e.groups));
    const std::int64_t within = e.count / e.groups * e.groups_per_token;
    if (e.per_token > within)
        refuse_expert_sizes(fmt::format("per_token {} of the {} experts in groups_per_token {} of "
                                        "{} groups",
                                        e.per_token, within, e.groups_per_token, e.groups),
                            "use a larger groups_per_token, or fewer groups");
}

void check_experts(const TransformerSpec& s) {
    const ExpertsSpec& e = s.experts;
    if (e.count == 0) return;
    require_positive(e.count, "experts.count");
    require_positive(e.ffn, "experts.ffn");
    require_positive(e.per_token, "experts.per_token");
    require_positive(e.every, "experts.every");
    require_positive_number(e.capacity_factor, "experts.capacity_factor");
    if (e.per_token > e.count)
        refuse_expert_sizes(fmt::format("per_token {} of {} experts", e.per_token, e.count),
                            fmt::format("use a per_token of at most {}", e.count));
    check_expert_groups(e);
    if (e.shared_ffn < 0 || e.first_dense < 0)
        refuse_expert_sizes(
            fmt::format("shared_ffn {}, first_dense {}", e.shared_ffn, e.first_dense),
            "use 0 or more");
    if (e.shared_gate && e.shared_ffn == 0)
        refuse_expert_sizes("shared_gate without shared experts",
                            "set shared_ffn, or shared_gate: false");
    if (s.mlp != Mlp::swiglu)
        refuse_expert_sizes("experts compute swiglu, the model's mlp is another",
                            "use mlp: swiglu");
    if (s.mlp_bias) refuse_expert_sizes("experts have no biases", "use mlp_bias: false");
    if (s.parallel_residual)
        refuse_expert_sizes("experts beside parallel_residual are not supported",
                            "use parallel_residual: false");
    for (std::int64_t i = 0; i < s.layers; ++i)
        if (e.in_block(i)) return;
    refuse_expert_sizes(fmt::format("no block of {} has experts: first_dense {}, every {}",
                                    s.layers, e.first_dense, e.every),
                        "use a smaller first_dense or every");
}

void check_latent(const TransformerSpec& s) {
    const LatentAttentionSpec& l = s.latent;
    if (l.kv_rank == 0) return;
    require_positive(l.kv_rank, "latent_attention.kv_rank");
    require_positive(l.nope_dim, "latent_attention.nope_dim");
    require_positive(l.rope_dim, "latent_attention.rope_dim");
    require_positive(l.value_dim, "latent_attention.value_dim");
    const auto refuse = [](const std::string& message, const std::string& fix) {
        throw Error("latent-attention", message, fix);
    };
    if (l.query_rank < 0) refuse(fmt::format("query_rank is {}", l.query_rank), "use 0 or more");
    if (s.positions != Positions::rotary)
        refuse("latent attention needs rotary positions", "use positions: rotary");
    if (s.kv_heads != s.heads || s.head_dim != l.nope_dim + l.rope_dim ||
        s.rotary_dim != l.rope_dim)
        refuse(fmt::format("kv_heads {}, head_dim {} and rotary_dim {} are not what follows from "
                           "it: {}, {} and {}",
                           s.kv_heads, s.head_dim, s.rotary_dim, s.heads, l.nope_dim + l.rope_dim,
                           l.rope_dim),
               "leave them out");
    if (s.qk_norm || s.qkv_bias || s.projection_bias)
        refuse("latent attention has norms of its own and no biases",
               "use qk_norm, qkv_bias and projection_bias: false");
}

void check(const TransformerSpec& s) {
    require_positive(s.layers, "layers");
    require_positive(s.hidden, "hidden");
    require_positive(s.heads, "heads");
    require_positive(s.kv_heads, "kv_heads");
    require_positive(s.head_dim, "head_dim");
    require_positive(s.ffn, "ffn");
    require_positive(s.vocab, "vocab");
    require_positive(s.seq, "seq");
    if (s.layers > kMostLayers)
        throw Error("layers", fmt::format("{} layers", s.layers),
                    fmt::format("use at most {}", kMostLayers));
    require_positive_number(s.rope_theta, "rope_theta");
    require_positive_number(s.norm_epsilon, "norm_epsilon");
    require_positive_number(s.embedding_scale, "embedding_scale");
    require_positive_number(s.initial_deviation, "initial_deviation");
    check_heads(s);
    check_positions(s);
    check_scaling(s.rope_scaling);
    check_experts(s);
    check_latent(s);
}

class TransformerBuilder {
public:
    explicit TransformerBuilder(const TransformerSpec& spec) : s_(spec) {}

    Model build() {
        add_embedding();
        for (std::int64_t i = 0; i < s_.layers; ++i) add_block(i);
        add_head();
        Model model = b_.take();
        model.tokens = true;
        model.seq = s_.seq;
        model.classes = s_.vocab;
        return model;
    }

private:
    void add_embedding() {
        b_.begin_layer("embedding");
        EmbeddingLayer e;
        e.vocab = s_.vocab;
        e.hidden = s_.hidden;
        e.seq = s_.seq;
        e.scale = s_.embedding_scale;
        e.table = table_ = b_.parameter("tokens", {s_.vocab, s_.hidden}, weights());
        if (s_.positions == Positions::learned) {
            e.position_rows = s_.position_rows;
            e.position_offset = s_.position_offset;
            e.positions = b_.parameter("positions", {s_.position_rows, s_.hidden}, weights());
        }
        b_.end_layer(e);
    }

    void add_block(std::int64_t i) {
        b_.begin_layer(fmt::format("blocks.{}", i));
        BlockLayer block;
        block.hidden = s_.hidden;
        block.heads = s_.heads;
        block.kv_heads = s_.kv_heads;
        block.head_dim = s_.head_dim;
        block.value_dim = s_.latent.kv_rank > 0 ? s_.latent.value_dim : s_.head_dim;
        block.seq = s_.seq;
        block.rotary_dim = s_.rotary_dim;
        block.rope_theta = s_.rope_theta;
        block.rope_scaling = s_.rope_scaling;
        block.mlp = s_.mlp;
        block.parallel_residual = s_.parallel_residual;
        block.attention_norm = b_.norm("attention_norm", s_.norm, s_.hidden, s_.norm_epsilon);
        if (s_.latent.kv_rank > 0)
            add_latent_attention(block);
        else
            add_attention(block);
        block.mlp_norm = b_.norm("mlp_norm", s_.norm, s_.hidden, s_.norm_epsilon);
        if (s_.experts.in_block(i)) {
            add_experts(block);
            add_mlp(block, "shared", s_.experts.shared_ffn);
        } else {
            add_mlp(block, "mlp", s_.ffn);
        }
        b_.end_layer(block);
    }

    void add_mlp(BlockLayer& block, const std::string& name, std::int64_t ffn) {
        block.ffn = ffn;
        if (ffn == 0) return;  // no shared experts
        const std::int64_t up = is_gated(s_.mlp) ? checked_mul(2, ffn, "2 · ffn") : ffn;
        block.up = b_.linear(name + ".up", s_.hidden, up, weights(), bias(s_.mlp_bias));
        block.down =
            b_.linear(name + ".down", ffn, s_.hidden, residual_weights(), bias(s_.mlp_bias));
    }

    void add_experts(BlockLayer& block) {
        const ExpertsSpec& spec = s_.experts;
        ExpertsParameters& e = block.experts;
        e.count = e.local = spec.count;
        e.per_token = spec.per_token;
        e.ffn = spec.ffn;
        e.capacity_factor = spec.capacity_factor;
        e.groups = spec.groups;
        e.groups_per_token = spec.groups_per_token;
        const auto stacked = [&](const char* name, std::int64_t in, std::int64_t out,
                                 Initializer init) {
            LinearParameters linear{in, out, {}, {}};
            linear.weight = b_.parameter(name, {spec.count, out, in}, init);
            return linear;
        };
        e.router = b_.linear("router", s_.hidden, spec.count, weights(), bias(spec.router_bias));
        e.up = stacked("experts.up.weight", s_.hidden, checked_mul(2, spec.ffn, "2 · experts.ffn"),
                       weights());
        e.down = stacked("experts.down.weight", spec.ffn, s_.hidden, residual_weights());
        if (spec.shared_gate)
            e.shared_gate = b_.linear("shared.gate", s_.hidden, 1, weights(), std::nullopt);
    }

    void add_latent_attention(BlockLayer& block) {
        const LatentAttentionSpec& spec = s_.latent;
        LatentParameters& l = block.latent;
        l.kv_rank = spec.kv_rank;
        l.query_rank = spec.query_rank;
        l.nope_dim = spec.nope_dim;
        l.rope_dim = spec.rope_dim;
        const auto linear = [&](const char* name, std::int64_t in, std::int64_t out) {
            return b_.linear(std::string("attention.") + name, in, out, weights(), std::nullopt);
        };
        const auto latent_norm = [&](const char* name, std::int64_t width) {
            return b_.norm(std::string("attention.") + name, s_.norm, width, s_.norm_epsilon);
        };
        const auto heads = [&](std::int64_t width) {
            return checked_mul(s_.heads, width, "heads · width of a head");
        };
        if (spec.query_rank > 0) {
            l.query_down = linear("query_down", s_.hidden, spec.query_rank);
            l.query_norm = latent_norm("query_norm", spec.query_rank);
        }
        l.query_up = linear("query_up", spec.query_rank > 0 ? spec.query_rank : s_.hidden,
                            heads(s_.head_dim));
        l.kv_down = linear("kv_down", s_.hidden, spec.kv_rank);
        l.key_rope = linear("key_rope", s_.hidden, spec.rope_dim);
        l.kv_norm = latent_norm("kv_norm", spec.kv_rank);
        l.kv_up = linear("kv_up", spec.kv_rank, heads(spec.nope_dim + spec.value_dim));
        block.projection = b_.linear("attention.projection", heads(spec.value_dim), s_.hidden,
                                     residual_weights(), std::nullopt);
    }

    void add_attention(BlockLayer& block) {
        const std::int64_t query = checked_mul(s_.heads, s_.head_dim, "heads · head_dim");
        const std::int64_t key_value =
            checked_mul(2, checked_mul(s_.kv_heads, s_.head_dim, "kv rows"), "kv rows");
        block.qkv = b_.linear("attention.qkv", s_.hidden, checked_add(query, key_value, "qkv rows"),
                              weights(), bias(s_.qkv_bias));
        if (s_.qk_norm) {
            const auto weight = [&](const char* name) {
                return b_.norm(name, NormKind::rms_norm, s_.head_dim, s_.norm_epsilon).weight;
            };
            block.head_norm = {s_.norm_epsilon, weight("attention.query_norm"),
                               weight("attention.key_norm")};
        }
        block.projection = b_.linear("attention.projection", query, s_.hidden, residual_weights(),
                                     bias(s_.projection_bias));
    }

    void add_head() {
        b_.begin_layer("head");
        HeadLayer head{s_.hidden, s_.vocab, {}, {}};
        head.norm = b_.norm("norm", s_.norm, s_.hidden, s_.norm_epsilon);
        if (s_.tied_embeddings) {
            head.classifier = {s_.hidden, s_.vocab, table_, {}};
            b_.borrow(table_);
        } else {
            head.classifier = b_.linear("classifier", s_.hidden, s_.vocab, weights(), std::nullopt);
        }
        b_.end_layer(head);
    }

    // GPT-2's: all weights normal(0, 0.02), those that write into the residual stream scaled by
    // 1/√(2·layers), so that its variance does not grow with depth (Radford et al. 2019, section 2.3).
    Initializer weights() const { return normal(s_.initial_deviation); }
    Initializer residual_weights() const {
        return normal(s_.initial_deviation / std::sqrt(2.0 * static_cast<double>(s_.layers)));
    }

    static std::optional<Initializer> bias(bool wanted) {
        if (!wanted) return std::nullopt;
        return Initializer{Initializer::Kind::zeros, 0};
    }

    TransformerSpec s_;
    ModelBuilder b_;
    ParameterId table_;
};

}  // namespace

TransformerSpec resolved(TransformerSpec s) {
    if (s.kv_heads == 0) s.kv_heads = s.heads;
    if (s.latent.kv_rank > 0) {
        const std::int64_t query =
            checked_add(s.latent.nope_dim, s.latent.rope_dim, "nope_dim + rope_dim");
        if (s.head_dim == 0) s.head_dim = query;
        if (s.rotary_dim == 0) s.rotary_dim = s.latent.rope_dim;
    }
    if (s.head_dim == 0) s.head_dim = default_head_dim(s.hidden, s.heads);
    if (s.positions == Positions::learned) {
        s.rotary_dim = 0;
        if (s.position_rows == 0)
            s.position_rows = checked_add(s.position_offset, s.seq, "position_offset + seq");
    } else {
        if (s.rotary_dim == 0) s.rotary_dim = s.head_dim;
        s.position_rows = s.position_offset = 0;
    }
    return s;
}

Model build_transformer(const TransformerSpec& spec) {
    const TransformerSpec s = resolved(spec);
    check(s);
    return TransformerBuilder(s).build();
}

}  // namespace shardscope
