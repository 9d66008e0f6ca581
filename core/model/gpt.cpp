#include "core/checked.h"
#include "core/model/builder.h"

namespace shardscope {

Model build_gpt(const GptSpec& spec) {
    TransformerSpec full;
    full.layers = spec.layers;
    full.hidden = spec.hidden;
    full.heads = spec.heads;
    full.ffn = spec.ffn != 0 ? spec.ffn : checked_mul(4, spec.hidden, "ffn = 4 · hidden");
    full.vocab = spec.vocab;
    full.seq = spec.seq;
    full.positions = Positions::learned;
    full.mlp = Mlp::gelu;
    full.norm = NormKind::layer_norm;
    full.qkv_bias = full.projection_bias = full.mlp_bias = true;
    full.tied_embeddings = spec.tied_embeddings;
    return build_transformer(full);
}

}  // namespace shardscope
