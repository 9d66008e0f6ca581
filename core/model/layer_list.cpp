#include <cmath>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "core/checked.h"
#include "core/model/builder.h"

namespace shardscope {
namespace {

using Item = LayerListSpec::Item;
using ItemKind = LayerListSpec::Kind;

constexpr double kLayerNormEpsilon = 1e-5;  // PyTorch's default

[[noreturn]] void refuse_layer(std::size_t index, const std::string& message,
                               const std::string& fix) {
    throw Error("layer-shape", fmt::format("layers.{} {}", index, message), fix);
}

class LayerListBuilder {
public:
    // Layers are named by their place in the user's list, so a fused activation leaves a gap, as in
    // PyTorch's nn.Sequential.
    void add(std::size_t index, const Item& item) {
        switch (item.kind) {
            case ItemKind::linear:
                return add_linear(index, item);
            case ItemKind::relu:
                return add_activation(index, Activation::relu);
            case ItemKind::gelu:
                return add_activation(index, Activation::gelu);
            case ItemKind::layer_norm:
                return add_norm(index, item);
        }
    }

    Model finish() {
        b_.begin_layer("loss");
        b_.end_layer(LossLayer{width_});
        Model model = b_.take();
        model.tokens = false;
        model.seq = 1;
        model.input_width = input_width_;
        model.classes = width_;
        return model;
    }

private:
    void add_linear(std::size_t index, const Item& item) {
        require_positive(item.in, "a linear layer's input width");
        require_positive(item.out, "a linear layer's output width");
        expect_width(index, item.in, fmt::format("linear: [{}, {}]", item.in, item.out));
        // PyTorch's nn.Linear: Kaiming uniform with a = √5 is uniform in ±1/√in, biases too.
        const Initializer init{Initializer::Kind::uniform,
                               1.0 / std::sqrt(static_cast<double>(item.in))};
        begin(index);
        LinearLayer layer;
        layer.linear =
            b_.linear("", item.in, item.out, init, item.bias ? std::optional(init) : std::nullopt);
        b_.end_layer(layer);
        width_ = item.out;
    }

    void add_activation(std::size_t index, Activation activation) {
        if (width_ == 0)
            refuse_layer(index, "is an activation of unknown width",
                         "start the list with a linear layer");
        if (auto* linear = std::get_if<LinearLayer>(&b_.last_layer()->kind);
            linear != nullptr && linear->activation == Activation::none) {
            linear->activation = activation;
            return;
        }
        begin(index);
        b_.end_layer(ActivationLayer{activation, width_});
    }

    void add_norm(std::size_t index, const Item& item) {
        const std::int64_t width = item.in != 0 ? item.in : width_;
        if (width == 0)
            refuse_layer(index, "is a layer_norm of unknown width",
                         "give its width or start with a linear");
        require_positive(width, "a layer_norm's width");
        expect_width(index, width, "layer_norm");
        begin(index);
        NormLayer layer;
        layer.width = width;
        layer.norm = b_.norm("", NormKind::layer_norm, width, kLayerNormEpsilon);
        b_.end_layer(layer);
    }

    void begin(std::size_t index) { b_.begin_layer(fmt::format("layers.{}", index)); }

    // Checks that a layer takes what the one before it gives; the first one sets the input width.
    void expect_width(std::size_t index, std::int64_t width, const std::string& what) {
        if (width_ == 0) {
            input_width_ = width_ = width;
            return;
        }
        if (width == width_) return;
        refuse_layer(
            index,
            fmt::format("({}) takes {} inputs, but the layer before gives {}", what, width, width_),
            fmt::format("make both widths {} or both {}", width, width_));
    }

    ModelBuilder b_;
    std::int64_t input_width_ = 0, width_ = 0;  // 0: not known yet
};

}  // namespace

Model build_layer_list(const LayerListSpec& spec) {
    if (spec.items.empty())
        throw Error("layer-shape", "the list of layers is empty", "add at least one linear layer");
    if (spec.items.back().kind != ItemKind::linear)
        refuse_layer(spec.items.size() - 1,
                     "is the last one and not linear, but its outputs are the logits",
                     "end the list with {linear: [width, classes]}");
    LayerListBuilder builder;
    for (std::size_t i = 0; i < spec.items.size(); ++i) builder.add(i, spec.items[i]);
    return builder.finish();
}

}  // namespace shardscope
