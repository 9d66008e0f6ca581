#include "core/model/builder.h"

namespace shardscope {

Model build_llama(const LlamaSpec& spec) {
    require_positive(spec.kv_heads, "kv_heads");
    TransformerSpec full;
    full.layers = spec.layers;
    full.hidden = spec.hidden;
    full.heads = spec.heads;
    full.kv_heads = spec.kv_heads;
    full.head_dim = spec.head_dim;
    full.ffn = spec.ffn;
    full.vocab = spec.vocab;
    full.seq = spec.seq;
    full.tied_embeddings = spec.tied_embeddings;
    full.norm_epsilon = spec.norm_epsilon;
    full.rope_theta = spec.rope_theta;
    return build_transformer(full);
}

}  // namespace shardscope
