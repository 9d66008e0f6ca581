// Internal to core/model: assembles a Model layer by layer.
//
// Call order: begin_layer, then the parameters it owns (their order is the storage order), then
// end_layer with the finished layer. Sizes are overflow-checked as they are added.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/model/model.h"

namespace shardscope {

class ModelBuilder {
public:
    void begin_layer(std::string name);

    // `name` is relative to the layer: "attention.qkv.weight" in "blocks.3". Below, an empty name
    // stands for the layer itself: "weight" instead of "<name>.weight".
    ParameterId parameter(const std::string& name, std::vector<std::int64_t> shape,
                          Initializer init);

    // "<name>.weight" of ones and, for layer_norm, "<name>.bias" of zeros.
    NormParameters norm(const std::string& name, NormKind kind, std::int64_t width, double epsilon);

    // "<name>.weight" [out, in] and, if `bias` is given, "<name>.bias" [out].
    LinearParameters linear(const std::string& name, std::int64_t in, std::int64_t out,
                            Initializer weight, std::optional<Initializer> bias);

    // The current layer also reads a parameter that another layer owns.
    void borrow(ParameterId id);

    void end_layer(LayerKind kind);

    // The layer finished last; null if there is none.
    Layer* last_layer();

    std::int64_t parameter_count() const { return count_; }
    Model& model() { return model_; }
    Model take() { return std::move(model_); }

private:
    Model model_;
    Layer layer_;
    std::int64_t count_ = 0;
};

// Throws Error "model-size" unless value ≥ 1; `what` as the user knows it ("hidden").
void require_positive(std::int64_t value, const char* what);

// With every size that is 0 for a default filled in: kv_heads, head_dim, position_rows, rotary_dim.
TransformerSpec resolved(TransformerSpec spec);

// One function per family; each validates its specification.
Model build_gpt(const GptSpec& spec);
Model build_llama(const LlamaSpec& spec);
Model build_transformer(const TransformerSpec& spec);
Model build_layer_list(const LayerListSpec& spec);

}  // namespace shardscope
