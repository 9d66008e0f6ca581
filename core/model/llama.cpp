#include <cmath>

#include <fmt/format.h>

#include "core/error.h"
#include "core/model/builder.h"
#include "core/model/transformer.h"

namespace shardscope {
namespace {

void require_positive_number(double value, const char* what) {
    if (std::isfinite(value) && value > 0) return;
    throw Error("model-size", fmt::format("{} is {}", what, value),
                fmt::format("use a positive number for {}", what));
}

}  // namespace

Model build_llama(const LlamaSpec& spec) {
    require_positive_number(spec.rope_theta, "rope_theta");
    require_positive_number(spec.norm_epsilon, "norm_epsilon");
    TransformerShape shape;
    shape.layers = spec.layers;
    shape.hidden = spec.hidden;
    shape.heads = spec.heads;
    shape.kv_heads = spec.kv_heads;
    shape.head_dim = spec.head_dim != 0 ? spec.head_dim : default_head_dim(spec.hidden, spec.heads);
    shape.ffn = spec.ffn;
    shape.vocab = spec.vocab;
    shape.seq = spec.seq;
    shape.rotary = shape.swiglu = true;
    shape.tied = spec.tied_embeddings;
    shape.norm = NormKind::rms_norm;
    shape.epsilon = spec.norm_epsilon;
    shape.rope_theta = spec.rope_theta;
    return build_transformer(shape);
}

}  // namespace shardscope
