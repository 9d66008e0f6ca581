#include "core/model/model.h"

#include <algorithm>
#include <limits>
#include <numbers>

#include <fmt/format.h>

#include "core/checked.h"
#include "core/model/builder.h"

namespace shardscope {
namespace {

template <class... Fs>
struct Overloaded : Fs... {
    using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

double weight_elements(const LinearParameters& linear) {
    return static_cast<double>(linear.in) * static_cast<double>(linear.out);
}

// Of a block's attention, either kind, and of all that a token goes through behind it.
double matmul_parameters(const BlockLayer& b) {
    const LatentParameters& l = b.latent;
    double sum = weight_elements(b.qkv) + weight_elements(b.projection) + weight_elements(b.up) +
                 weight_elements(b.down);
    for (const auto* p : {&l.query_down, &l.query_up, &l.kv_down, &l.key_rope, &l.kv_up})
        sum += weight_elements(*p);
    const ExpertsParameters& e = b.experts;
    return sum + weight_elements(e.router) + weight_elements(e.shared_gate) +
           static_cast<double>(e.per_token) * (weight_elements(e.up) + weight_elements(e.down));
}

// Weight elements that a matrix multiply reads per token; not the embedding, which is a lookup,
// but the classifier even when it is the embedding's table.
double matmul_parameters(const LayerKind& kind) {
    return std::visit(Overloaded{[](const BlockLayer& b) { return matmul_parameters(b); },
                                 [](const HeadLayer& h) { return weight_elements(h.classifier); },
                                 [](const LinearLayer& l) { return weight_elements(l.linear); },
                                 [](const auto&) { return 0.0; }},
                      kind);
}

// Mean width of the attention's scores and values: heads · head_dim where both are as wide, 0 for other
// layers.
double attention_width(const LayerKind& kind) {
    const auto* block = std::get_if<BlockLayer>(&kind);
    if (block == nullptr) return 0.0;
    return static_cast<double>(block->heads) *
           static_cast<double>(block->head_dim + block->value_dim) / 2;
}

// Token ids and labels are 32-bit.
void check_classes(const Model& model) {
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
    if (model.classes <= most) return;
    throw Error("model-size",
                fmt::format("{} {}", model.classes, model.tokens ? "tokens in vocab" : "classes"),
                fmt::format("use at most {}", most));
}

}  // namespace

bool is_gated(Mlp mlp) { return mlp == Mlp::swiglu || mlp == Mlp::geglu || mlp == Mlp::geglu_erf; }

Activation activation_of(Mlp mlp) {
    switch (mlp) {
        case Mlp::relu:
            return Activation::relu;
        case Mlp::gelu:
        case Mlp::geglu:
            return Activation::gelu;
        case Mlp::gelu_erf:
        case Mlp::geglu_erf:
            return Activation::gelu_erf;
        case Mlp::swiglu:
            break;
    }
    return Activation::none;
}

double scaled_frequency(const RopeScaling& scaling, double frequency) {
    using Kind = RopeScaling::Kind;
    if (scaling.kind == Kind::none) return frequency;
    const double stretched = frequency / scaling.factor;
    if (scaling.kind == Kind::linear) return stretched;
    const double turns =  // within the original length
        static_cast<double>(scaling.original_seq) * frequency / (2 * std::numbers::pi);
    const double low = scaling.low_frequency_factor, high = scaling.high_frequency_factor;
    const double kept = std::clamp((turns - low) / (high - low), 0.0, 1.0);
    return (1 - kept) * stretched + kept * frequency;
}

std::int64_t Parameter::elements() const {
    std::int64_t n = 1;
    for (std::int64_t extent : shape) n = checked_mul(n, extent, name.c_str());
    return n;
}

std::int64_t Model::parameter_count() const {
    std::int64_t n = 0;
    for (const Parameter& p : parameters)
        n = checked_add(n, p.elements(), "the number of parameters");
    return n;
}

std::int64_t Model::active_parameter_count() const {
    std::int64_t n = parameter_count();
    for (const Layer& layer : layers)
        if (const auto* block = std::get_if<BlockLayer>(&layer.kind);
            block && block->has_experts()) {
            const ExpertsParameters& e = block->experts;
            for (const ParameterId p : {e.up.weight, e.down.weight})
                n -= parameters[p.index()].elements() / e.count * (e.count - e.per_token);
        }
    return n;
}

bool Model::has_experts() const {
    return std::ranges::any_of(layers, [](const Layer& layer) {
        const auto* block = std::get_if<BlockLayer>(&layer.kind);
        return block != nullptr && block->has_experts();
    });
}

bool Model::has_latent_attention() const {
    return std::ranges::any_of(layers, [](const Layer& layer) {
        const auto* block = std::get_if<BlockLayer>(&layer.kind);
        return block != nullptr && block->is_latent();
    });
}

// Per sample of s tokens: a weight of n elements costs 2·n·s forward, as much again for its input
// gradient and as much for its weight gradient: 6·n·s; 4·n·s for the first layer where inputs are feature
// vectors, whose gradient nobody needs. Attention multiplies q·kᵀ and scores·v, 2·s²·w each forward with
// w = heads · head_dim; the causal mask leaves half, and the backward pass costs twice the forward:
// 3 · (4·s²·w) / 2 = 6·s²·w per block. Megatron-LM (training.py, num_floating_point_operations) and
// llm.c (gpt2_estimate_mfu) count the same; torchtitan and nanotron count the full square, 12·s²·w.
// Where scores and values differ in width, w is their mean.
Flops Model::training_flops_per_sample() const {
    const double s = static_cast<double>(seq);
    double flops = 0;
    bool reads_input = !tokens;
    for (const Layer& layer : layers) {
        const double multiplied = matmul_parameters(layer.kind);
        flops += (reads_input ? 4 : 6) * multiplied * s + 6.0 * attention_width(layer.kind) * s * s;
        if (multiplied > 0) reads_input = false;
    }
    return Flops(flops);
}

Model build_model(const ModelSpec& spec) {
    Model model =
        std::visit(Overloaded{[](const GptSpec& s) { return build_gpt(s); },
                              [](const LlamaSpec& s) { return build_llama(s); },
                              [](const TransformerSpec& s) { return build_transformer(s); },
                              [](const LayerListSpec& s) { return build_layer_list(s); }},
                   spec.kind);
    model.name = spec.name;
    check_classes(model);
    return model;
}

}  // namespace shardscope
