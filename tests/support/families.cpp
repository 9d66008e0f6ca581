#include "tests/support/families.h"

#include <cmath>
#include <optional>

#include "core/model/hf_import.h"

namespace shardscope::test {
namespace {

using Vector = std::vector<double>;
using Rows = std::vector<Vector>;

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

constexpr const char* kLlamaSizes =
    "\"num_hidden_layers\": 2, \"hidden_size\": 24, \"num_attention_heads\": 4,\n"
    "\"intermediate_size\": 36, \"vocab_size\": 50, \"max_position_embeddings\": 16";

std::vector<std::string> configurations() {
    const std::string sizes = kLlamaSizes;
    const std::string grouped = sizes + ", \"num_key_value_heads\": 2";
    return {
        "{\"model_type\": \"gpt2\", \"n_layer\": 2, \"n_embd\": 24, \"n_head\": 4,\n"
        "\"vocab_size\": 50, \"n_positions\": 16}",
        // Heads of 6, of which 4 elements turn.
        "{\"model_type\": \"gpt_neox\", \"rotary_pct\": 0.7, " + sizes + "}",
        "{\"model_type\": \"opt\", \"ffn_dim\": 36, \"num_hidden_layers\": 2, \"hidden_size\": "
        "24,\n"
        "\"num_attention_heads\": 4, \"vocab_size\": 50, \"max_position_embeddings\": 20}",
        "{\"model_type\": \"llama\", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": "
        "4.0,\n"
        "\"low_freq_factor\": 1.0, \"high_freq_factor\": 3.0,\n"
        "\"original_max_position_embeddings\": 8}, " +
            grouped + "}",
        "{\"model_type\": \"mistral\", \"sliding_window\": 16, " + grouped + "}",
        "{\"model_type\": \"qwen2\", " + grouped + "}",
        "{\"model_type\": \"qwen3\", \"head_dim\": 8, \"attention_bias\": true, " + grouped + "}",
        "{\"model_type\": \"gemma\", \"head_dim\": 8, \"num_key_value_heads\": 1, " + sizes + "}",
    };
}

double phi(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

double tanh_gelu(double x) {
    return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

// A forward pass over one sample.
class Reference {
public:
    Reference(const TransformerSpec& spec, const std::map<std::string, Vector>& weights)
        : s_(spec),
          weights_(weights),
          kv_heads_(spec.kv_heads != 0 ? spec.kv_heads : spec.heads),
          dim_(spec.head_dim != 0 ? spec.head_dim : spec.hidden / spec.heads) {}

    double loss(const std::vector<std::int32_t>& tokens, const std::vector<std::int32_t>& targets) {
        Rows x;
        for (std::size_t t = 0; t < tokens.size(); ++t) x.push_back(embedding(tokens[t], t));
        for (std::int64_t i = 0; i < s_.layers; ++i) x = block("blocks." + std::to_string(i), x);
        const Vector& classifier =
            weight(s_.tied_embeddings ? "embedding.tokens" : "head.classifier.weight");
        double sum = 0;
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            const Vector logits = times(classifier, norm("head.norm", x[t]), s_.vocab);
            double total = 0;
            for (const double logit : logits) total += std::exp(logit);
            sum += std::log(total) - logits[static_cast<std::size_t>(targets[t])];
        }
        return sum / static_cast<double>(tokens.size());
    }

private:
    const Vector& weight(const std::string& name) const { return weights_.at(name); }

    static Vector times(const Vector& matrix, const Vector& x, std::int64_t rows) {
        Vector y;
        for (std::size_t r = 0; r < size(rows); ++r) {
            double sum = 0;
            for (std::size_t i = 0; i < x.size(); ++i) sum += matrix[r * x.size() + i] * x[i];
            y.push_back(sum);
        }
        return y;
    }

    Vector linear(const std::string& name, const Vector& x, std::int64_t rows, bool bias) const {
        Vector y = times(weight(name + ".weight"), x, rows);
        if (bias) add(y, weight(name + ".bias"));
        return y;
    }

    static void add(Vector& y, const Vector& x) {
        for (std::size_t i = 0; i < y.size(); ++i) y[i] += x[i];
    }

    Vector embedding(std::int32_t token, std::size_t position) const {
        const std::size_t h = size(s_.hidden);
        Vector x;
        for (std::size_t i = 0; i < h; ++i) {
            double value = s_.embedding_scale *
                           weight("embedding.tokens")[static_cast<std::size_t>(token) * h + i];
            if (s_.positions == Positions::learned)
                value +=
                    weight("embedding.positions")[(position + size(s_.position_offset)) * h + i];
            x.push_back(value);
        }
        return x;
    }

    static void normalise(Vector& x, double mean, double epsilon) {
        double square = 0;
        for (const double v : x) square += (v - mean) * (v - mean) / static_cast<double>(x.size());
        for (double& v : x) v = (v - mean) / std::sqrt(square + epsilon);
    }

    Vector norm(const std::string& name, Vector x) const {
        double mean = 0;
        if (s_.norm == NormKind::layer_norm)
            for (const double v : x) mean += v / static_cast<double>(x.size());
        normalise(x, mean, s_.norm_epsilon);
        for (std::size_t i = 0; i < x.size(); ++i) x[i] *= weight(name + ".weight")[i];
        if (s_.norm == NormKind::layer_norm) add(x, weight(name + ".bias"));
        return x;
    }

    // A query or key head of the token at `position`.
    Vector head(const std::string& block, const Vector& qkv, std::int64_t index,
                std::size_t position) const {
        Vector x(qkv.begin() + index * dim_, qkv.begin() + (index + 1) * dim_);
        if (s_.qk_norm) {
            normalise(x, 0, s_.norm_epsilon);
            const Vector& w = weight(block + (index < s_.heads ? ".attention.query_norm.weight"
                                                               : ".attention.key_norm.weight"));
            for (std::size_t i = 0; i < x.size(); ++i) x[i] *= w[i];
        }
        if (s_.positions == Positions::learned) return x;
        const std::int64_t turns = s_.rotary_dim != 0 ? s_.rotary_dim : dim_;
        for (std::int64_t i = 0; i < turns / 2; ++i) {
            const double angle =
                static_cast<double>(position) *
                frequency(std::pow(s_.rope_theta, -2.0 * double(i) / double(turns)));
            double &a = x[size(i)], &b = x[size(i + turns / 2)];
            const double first = a * std::cos(angle) - b * std::sin(angle);
            b = b * std::cos(angle) + a * std::sin(angle);
            a = first;
        }
        return x;
    }

    // Radians per position, by Llama 3.1's rule, which is in wavelengths.
    double frequency(double plain) const {
        const RopeScaling& r = s_.rope_scaling;
        if (r.kind == RopeScaling::Kind::none) return plain;
        if (r.kind == RopeScaling::Kind::linear) return plain / r.factor;
        const double length = static_cast<double>(r.original_seq), wave = 2 * M_PI / plain;
        if (wave < length / r.high_frequency_factor) return plain;
        if (wave > length / r.low_frequency_factor) return plain / r.factor;
        const double smooth = (length / wave - r.low_frequency_factor) /
                              (r.high_frequency_factor - r.low_frequency_factor);
        return (1 - smooth) * plain / r.factor + smooth * plain;
    }

    Rows attention(const std::string& block, const Rows& x) const {
        Rows qkv, result;
        for (const Vector& row : x)
            qkv.push_back(linear(block + ".attention.qkv", norm(block + ".attention_norm", row),
                                 (s_.heads + 2 * kv_heads_) * dim_, s_.qkv_bias));
        for (std::size_t t = 0; t < x.size(); ++t) {
            Vector heads;
            for (std::int64_t h = 0; h < s_.heads; ++h) {
                const Vector y = attended(block, qkv, h, t);
                heads.insert(heads.end(), y.begin(), y.end());
            }
            result.push_back(
                linear(block + ".attention.projection", heads, s_.hidden, s_.projection_bias));
        }
        return result;
    }

    // What query head h of token t gathers from the tokens up to it.
    Vector attended(const std::string& block, const Rows& qkv, std::int64_t h,
                    std::size_t t) const {
        const std::int64_t group = h / (s_.heads / kv_heads_);
        const Vector q = head(block, qkv[t], h, t);
        Vector y(size(dim_), 0.0);
        double total = 0;
        for (std::size_t u = 0; u <= t; ++u) {
            const Vector k = head(block, qkv[u], s_.heads + group, u);
            double score = 0;
            for (std::size_t i = 0; i < k.size(); ++i) score += q[i] * k[i];
            const double p = std::exp(score / std::sqrt(static_cast<double>(dim_)));
            const std::int64_t v = (s_.heads + kv_heads_ + group) * dim_;
            for (std::size_t i = 0; i < y.size(); ++i) y[i] += p * qkv[u][size(v) + i];
            total += p;
        }
        for (double& value : y) value /= total;
        return y;
    }

    static double activated(Mlp mlp, double x) {
        switch (mlp) {
            case Mlp::relu:
                return x > 0 ? x : 0;
            case Mlp::gelu:
            case Mlp::geglu:
                return tanh_gelu(x);
            case Mlp::gelu_erf:
            case Mlp::geglu_erf:
                return x * phi(x);
            case Mlp::swiglu:
                return x / (1 + std::exp(-x));
        }
        return 0;
    }

    Vector mlp(const std::string& block, const Vector& x) const {
        const bool gated =
            s_.mlp == Mlp::swiglu || s_.mlp == Mlp::geglu || s_.mlp == Mlp::geglu_erf;
        const Vector up = linear(block + ".mlp.up", norm(block + ".mlp_norm", x),
                                 (gated ? 2 : 1) * s_.ffn, s_.mlp_bias);
        Vector act;
        for (std::size_t i = 0; i < size(s_.ffn); ++i)
            act.push_back(activated(s_.mlp, up[i]) * (gated ? up[i + size(s_.ffn)] : 1));
        return linear(block + ".mlp.down", act, s_.hidden, s_.mlp_bias);
    }

    Rows block(const std::string& name, const Rows& x) const {
        Rows result = attention(name, x);
        for (std::size_t t = 0; t < x.size(); ++t) {
            add(result[t], x[t]);
            add(result[t], mlp(name, s_.parallel_residual ? x[t] : result[t]));
        }
        return result;
    }

    const TransformerSpec& s_;
    const std::map<std::string, Vector>& weights_;
    std::int64_t kv_heads_, dim_;
};

}  // namespace

const std::vector<std::string>& tiny_family_names() {
    static const std::vector<std::string> names{"gpt2",    "gpt_neox", "opt",   "llama",
                                                "mistral", "qwen2",    "qwen3", "gemma"};
    return names;
}

std::vector<ModelSpec> tiny_families() {
    std::vector<ModelSpec> models;
    for (const std::string& text : configurations())
        models.push_back(
            import_hf_config(YamlValue::parse(text, "config.json"), {.seq = 16}).model);
    return models;
}

double reference_loss(const TransformerSpec& spec, const std::map<std::string, Vector>& weights,
                      const std::vector<std::int32_t>& tokens,
                      const std::vector<std::int32_t>& targets) {
    return Reference(spec, weights).loss(tokens, targets);
}

}  // namespace shardscope::test
