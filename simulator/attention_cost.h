// How long attention takes on a GPU, fused (flash) or as batched multiplies with the scores in memory.
// docs/cost-model.md derives the formulas and names their sources.
#pragma once

#include "core/program/kernel.h"
#include "simulator/gpu_generation.h"
#include "simulator/matmul_cost.h"

namespace shardscope {

// Causal attention of one layer, as Attention and AttentionGrad describe it, or of a context-parallel rank's
// queries to some keys.
struct AttentionShape {
    double samples = 0, queries = 0, keys = 0, heads = 0;  // queries, keys: per sample
    std::int64_t head_dim = 0;
    bool backward = false;
    std::int64_t value_dim = 0;  // of a value head; 0: head_dim
    double rate = 1;             // part of the library's
};

// Immutable after construction; safe to share between threads. Holds no reference to the device.
class AttentionCost {
public:
    explicit AttentionCost(const Device& device);

    // The tensor cores' seconds of fused attention that does `flops` (KernelCost::matmul, causal
    // half), without memory and kernel overhead.
    double fused(const AttentionShape& shape, double flops, const MatmulPrecision& precision,
                 AttentionLibrary library) const;

    // The same of the batched multiplies of unfused attention: forward q·kᵀ and p·v, backward dv, dp,
    // dq and dk, each of the whole square. `fp32` is taken where head_dim makes rows that tensor cores
    // cannot read.
    double unfused(const AttentionShape& shape, const MatmulPrecision& precision,
                   const MatmulPrecision& fp32) const;

private:
    MatmulCost matmul_;
    const GpuGeneration& generation_;
    double multiprocessors_;
};

}  // namespace shardscope
