#include "core/model/builder.h"

#include <fmt/format.h>

#include "core/checked.h"

namespace shardscope {
namespace {

std::string member(const std::string& name, const char* tensor) {
    return name.empty() ? tensor : name + "." + tensor;
}

}  // namespace

void ModelBuilder::begin_layer(std::string name) {
    layer_ = Layer{};
    layer_.name = std::move(name);
}

ParameterId ModelBuilder::parameter(const std::string& name, std::vector<std::int64_t> shape,
                                    Initializer init) {
    Parameter parameter{layer_.name + "." + name, std::move(shape), init};
    count_ = checked_add(count_, parameter.elements(), "the number of parameters");
    const ParameterId id(model_.parameters.size());
    model_.parameters.push_back(std::move(parameter));
    layer_.parameters.push_back(id);
    return id;
}

NormParameters ModelBuilder::norm(const std::string& name, NormKind kind, std::int64_t width,
                                  double epsilon) {
    NormParameters norm{kind, epsilon, {}, {}};
    norm.weight = parameter(member(name, "weight"), {width}, {Initializer::Kind::ones, 0});
    if (kind == NormKind::layer_norm)
        norm.bias = parameter(member(name, "bias"), {width}, {Initializer::Kind::zeros, 0});
    return norm;
}

LinearParameters ModelBuilder::linear(const std::string& name, std::int64_t in, std::int64_t out,
                                      Initializer weight, std::optional<Initializer> bias) {
    LinearParameters linear{in, out, {}, {}};
    linear.weight = parameter(member(name, "weight"), {out, in}, weight);
    if (bias) linear.bias = parameter(member(name, "bias"), {out}, *bias);
    return linear;
}

void ModelBuilder::borrow(ParameterId id) { layer_.borrowed.push_back(id); }

void ModelBuilder::end_layer(LayerKind kind) {
    layer_.kind = kind;
    model_.layers.push_back(std::move(layer_));
}

Layer* ModelBuilder::last_layer() {
    return model_.layers.empty() ? nullptr : &model_.layers.back();
}

void require_positive(std::int64_t value, const char* what) {
    if (value >= 1) return;
    throw Error("model-size", fmt::format("{} is {}", what, value),
                fmt::format("use {} ≥ 1", what));
}

}  // namespace shardscope
