// Our own attention kernels: starts them for one choice of tiles (geometry.h). Operands as kernel.h orders
// them; no workspace, and always the same bits: no sum depends on which block came first.
#pragma once

#include <cmath>
#include <cstdint>

#include "backends/cuda/attention/geometry.h"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/shared_memory.h"
#include "core/bf16.h"
#include "core/program/kernel.h"

namespace shardscope::cuda {

// forward.cu, backward.cu: bf16, AttentionKind::flash, tiles tensor64 or tensor128. The backward pass is
// three kernels: Σ dy·y of each query, which waits in dq's place; dk and dv; dq.
void tensor_forward(const Attention& kernel, AttentionTiles tiles, const Bf16* qkv, Bf16* y,
                    float* lse, const LaunchContext& context);
void tensor_backward(const AttentionGrad& kernel, AttentionTiles tiles, const Bf16* dy,
                     const Bf16* qkv, const Bf16* y, const float* lse, Bf16* dqkv,
                     const LaunchContext& context);

// plain.cu: T = float or Bf16, either kind, tiles plain128 or plain256.
template <class T>
void plain_forward(const Attention& kernel, AttentionTiles tiles, const T* qkv, T* y,
                   std::byte* stats, const LaunchContext& context);
template <class T>
void plain_backward(const AttentionGrad& kernel, AttentionTiles tiles, const T* dy, const T* qkv,
                    const T* y, const std::byte* stats, T* dqkv, const LaunchContext& context);

// 1/√head_dim.
inline float score_scale(const PackedHeads& heads) {
    return static_cast<float>(1.0 / std::sqrt(static_cast<double>(heads.dim)));
}

}  // namespace shardscope::cuda
