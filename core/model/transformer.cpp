#include "core/model/transformer.h"

#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "core/checked.h"
#include "core/model/builder.h"

namespace shardscope {
namespace {

// GPT-2's: all weights normal(0, 0.02), those that write into the residual stream scaled by
// 1/√(2·layers), so that its variance does not grow with depth (Radford et al. 2019, section 2.3).
constexpr double kInitialDeviation = 0.02;

// Far beyond any real model, small enough that the lists of layers stay small.
constexpr std::int64_t kMostLayers = 100'000;

Initializer normal(double deviation) { return {Initializer::Kind::normal, deviation}; }

void check_heads(const TransformerShape& s) {
    if (s.heads % s.kv_heads != 0)
        throw Error("heads",
                    fmt::format("kv_heads {} does not divide heads {}", s.kv_heads, s.heads),
                    fmt::format("use a divisor of {} for kv_heads", s.heads));
    if (s.rotary && s.head_dim % 2 != 0)
        throw Error("heads",
                    fmt::format("head_dim {} is odd, but rotary positions turn pairs of elements",
                                s.head_dim),
                    "use an even head_dim");
}

void check(const TransformerShape& s) {
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
    check_heads(s);
}

class TransformerBuilder {
public:
    explicit TransformerBuilder(const TransformerShape& shape) : s_(shape) {}

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
        EmbeddingLayer e{s_.vocab, s_.hidden, s_.seq, {}, {}};
        e.table = table_ = b_.parameter("tokens", {s_.vocab, s_.hidden}, normal(kInitialDeviation));
        if (!s_.rotary)
            e.positions = b_.parameter("positions", {s_.seq, s_.hidden}, normal(kInitialDeviation));
        b_.end_layer(e);
    }

    void add_block(std::int64_t i) {
        b_.begin_layer(fmt::format("blocks.{}", i));
        BlockLayer block{
            s_.hidden,     s_.heads, s_.kv_heads, s_.head_dim, s_.ffn, s_.seq, s_.rotary, s_.swiglu,
            s_.rope_theta, {},       {},          {},          {},     {},     {}};
        const std::int64_t query = checked_mul(s_.heads, s_.head_dim, "heads · head_dim");
        const std::int64_t key_value =
            checked_mul(2, checked_mul(s_.kv_heads, s_.head_dim, "kv rows"), "kv rows");
        const std::int64_t up = s_.swiglu ? checked_mul(2, s_.ffn, "2 · ffn") : s_.ffn;
        block.attention_norm = b_.norm("attention_norm", s_.norm, s_.hidden, s_.epsilon);
        block.qkv = linear("attention.qkv", s_.hidden, checked_add(query, key_value, "qkv rows"));
        block.projection = residual_linear("attention.projection", query, s_.hidden);
        block.mlp_norm = b_.norm("mlp_norm", s_.norm, s_.hidden, s_.epsilon);
        block.up = linear("mlp.up", s_.hidden, up);
        block.down = residual_linear("mlp.down", s_.ffn, s_.hidden);
        b_.end_layer(block);
    }

    void add_head() {
        b_.begin_layer("head");
        HeadLayer head{s_.hidden, s_.vocab, {}, {}};
        head.norm = b_.norm("norm", s_.norm, s_.hidden, s_.epsilon);
        if (s_.tied) {
            head.classifier = {s_.hidden, s_.vocab, table_, {}};
            b_.borrow(table_);
        } else {
            head.classifier = b_.linear("classifier", s_.hidden, s_.vocab,
                                        normal(kInitialDeviation), std::nullopt);
        }
        b_.end_layer(head);
    }

    LinearParameters linear(const char* name, std::int64_t in, std::int64_t out) {
        return b_.linear(name, in, out, normal(kInitialDeviation), bias());
    }

    LinearParameters residual_linear(const char* name, std::int64_t in, std::int64_t out) {
        const double scale = std::sqrt(2.0 * static_cast<double>(s_.layers));
        return b_.linear(name, in, out, normal(kInitialDeviation / scale), bias());
    }

    std::optional<Initializer> bias() const {
        if (!s_.biases) return std::nullopt;
        return Initializer{Initializer::Kind::zeros, 0};
    }

    TransformerShape s_;
    ModelBuilder b_;
    ParameterId table_;
};

}  // namespace

Model build_transformer(const TransformerShape& shape) {
    check(shape);
    return TransformerBuilder(shape).build();
}

std::int64_t default_head_dim(std::int64_t hidden, std::int64_t heads) {
    require_positive(hidden, "hidden");
    require_positive(heads, "heads");
    if (hidden % heads != 0)
        throw Error("heads", fmt::format("heads {} does not divide hidden {}", heads, hidden),
                    fmt::format("use a divisor of {} for heads", hidden));
    return hidden / heads;
}

}  // namespace shardscope
