// The architecture that a measured run's columns describe.
#pragma once

#include <vector>

#include "core/model/model_spec.h"
#include "core/strategy/runtime_profile.h"
#include "core/validation/run_cluster.h"

namespace shardscope {

// `gelu` and the other plain activations stand for GPT-2's kind of block (learned positions, LayerNorm,
// biases), the gated ones for Llama's (rotary positions, RMSNorm, no biases). Megatron's profiles have the
// vocabulary padded to a multiple of 128 · tp, as --make-vocab-size-divisible-by does. Latent attention, shared experts,
// norms of queries and keys (Qwen3) and biases (Qwen2) have no columns: they follow from the names of released models
// (DeepSeek's are those of which head_dim is not read). Throws Error "missing-value" and "unknown-name".
ModelSpec model_of(const MeasuredRun& run, RuntimeProfile profile, int tp,
                   std::vector<Assumption>& assumed);

}  // namespace shardscope
