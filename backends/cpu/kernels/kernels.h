// Every kernel of core/program/kernel.h on the CPU, one .cpp per family, for storage T = float, double
// or Bf16; G is the type of parameter gradients: T, or float beside Bf16.
//
// bf16 is computed with as a GPU does: products of bf16 numbers, sums and everything between them in
// fp32, and one rounding where a result is stored. That makes the same templates do for all three
// types, except where fp32 and fp64 keep intermediate values where results go.
//
// Called by dispatch.h only. Operands come in the order kernel.h lists, stored as operand_types.h
// says; absent ones are null. The functions are pure in their operands and divide their work over
// `team` (team.h), with the same bits at any number of threads. Those on bf16 keep scratch memory
// per thread, bounded by the tiles of gemm_tiles.h, the accumulators in attention.cpp and the rows of a
// micro-batch.
#pragma once

#include <cstdint>

#include "backends/cpu/kernels/real.h"
#include "backends/cpu/kernels/team.h"
#include "backends/executor.h"
#include "core/program/kernel.h"

namespace shardscope::cpu {

// linear.cpp
template <class T>
void run(const Linear& kernel, const Addresses& operands, Team& team);
template <class T>
void run(const LinearInputGrad& kernel, const Addresses& operands, Team& team);
template <class T, class G>
void run(const LinearWeightGrad& kernel, const Addresses& operands, Team& team);

// activation.cpp
template <class T>
void run(const Activate& kernel, const Addresses& operands, Team& team);
template <class T>
void run(const ActivateGrad& kernel, const Addresses& operands, Team& team);

// gated_units.cpp
template <class T>
void run(const SwiGlu& kernel, const Addresses& operands, Team& team);
template <class T>
void run(const SwiGluGrad& kernel, const Addresses& operands, Team& team);
template <class T>
void run(const GeGlu& kernel, const Addresses& operands, Team& team);
template <class T>
void run(const GeGluGrad& kernel, const Addresses& operands, Team& team);

// norm.cpp
template <class T>
void run(const Norm& kernel, const Addresses& operands, Team& team);
template <class T>
void run(const NormInputGrad& kernel, const Addresses& operands, Team& team);
template <class T, class G>
void run(const NormWeightGrad& kernel, const Addresses& operands, Team& team);

// embedding.cpp; tokens must be below `vocab` (of all ranks together); `index` as for the loss
template <class T>
void run(const Embedding& kernel, const Addresses& operands, int index, Team& team);
template <class T, class G>
void run(const EmbeddingGrad& kernel, const Addresses& operands, int index, Team& team);

// head_norm.cpp
template <class T>
void run(const HeadNorm& kernel, const Addresses& operands, Team& team);
template <class T>
void run(const HeadNormInputGrad& kernel, const Addresses& operands, Team& team);
template <class T, class G>
void run(const HeadNormWeightGrad& kernel, const Addresses& operands, Team& team);

// rope.cpp; what turns of a head is even
template <class T>
void run(const Rope& kernel, const Addresses& operands, Team& team);

// attention.cpp
template <class T>
void run(const Attention& kernel, const Addresses& operands, Team& team);
template <class T>
void run(const AttentionGrad& kernel, const Addresses& operands, Team& team);

// loss.cpp; targets must be below `classes`
template <class T>
void run(const SoftmaxCrossEntropy& kernel, const Addresses& operands, Team& team);

// vocabulary_loss.cpp; `index`: of the rank in its tensor-parallel group
template <class T>
void run(const VocabularyMax& kernel, const Addresses& operands, int index, Team& team);
template <class T>
void run(const VocabularySum& kernel, const Addresses& operands, int index, Team& team);
template <class T>
void run(const VocabularyLoss& kernel, const Addresses& operands, int index, Team& team);

// elementwise.cpp; biases come with residuals
template <class T>
void run(const Zero& kernel, const Addresses& operands, Team& team);
template <class T>
void run(const Add& kernel, const Addresses& operands, Team& team);
template <class T>
void run(const Copy& kernel, const Addresses& operands, Team& team);
template <class T>
void run(const BiasResidual& kernel, const Addresses& operands, Team& team);
// `index`: of the rank in its data-parallel group
template <class T>
void run(const SumSquares& kernel, const Addresses& operands, int index, Team& team);

// optimizer.cpp; `step` counts from 1
template <class T, class G>
void run(const OptimizerStep& kernel, const Addresses& operands, std::int64_t step, Team& team);

// What the families share: an operand as an array of T, and the instances of a kernel.
template <class T>
T* as(std::byte* address) {
    return reinterpret_cast<T*>(address);
}
#define SHARDSCOPE_INSTANTIATE(Kernel)                                 \
    template void run<float>(const Kernel&, const Addresses&, Team&);  \
    template void run<double>(const Kernel&, const Addresses&, Team&); \
    template void run<Bf16>(const Kernel&, const Addresses&, Team&)
#define SHARDSCOPE_INSTANTIATE_INDEXED(Kernel)                              \
    template void run<float>(const Kernel&, const Addresses&, int, Team&);  \
    template void run<double>(const Kernel&, const Addresses&, int, Team&); \
    template void run<Bf16>(const Kernel&, const Addresses&, int, Team&)
#define SHARDSCOPE_INSTANTIATE_GRADIENT(Kernel)                                \
    template void run<float, float>(const Kernel&, const Addresses&, Team&);   \
    template void run<double, double>(const Kernel&, const Addresses&, Team&); \
    template void run<Bf16, float>(const Kernel&, const Addresses&, Team&);    \
    template void run<Bf16, Bf16>(const Kernel&, const Addresses&, Team&)

}  // namespace shardscope::cpu
