#include "core/checked.h"
#include "core/model/builder.h"
#include "core/model/transformer.h"

namespace shardscope {

Model build_gpt(const GptSpec& spec) {
    TransformerShape shape;
    shape.layers = spec.layers;
    shape.hidden = spec.hidden;
    shape.heads = shape.kv_heads = spec.heads;
    shape.head_dim = default_head_dim(spec.hidden, spec.heads);
    shape.ffn = spec.ffn != 0 ? spec.ffn : checked_mul(4, spec.hidden, "ffn = 4 · hidden");
    shape.vocab = spec.vocab;
    shape.seq = spec.seq;
    shape.biases = true;
    shape.tied = spec.tied_embeddings;
    return build_transformer(shape);
}

}  // namespace shardscope
