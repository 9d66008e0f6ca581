// Every kernel of core/program/kernel.h on a GPU that is our own, one .cu per family, for storage
// T = float or Bf16; G is the type of parameter gradients: T, or float beside Bf16. Linear layers are in
// matmul/, attention in attention/.
//
// bf16 is computed with as on the CPU: sums and everything between loads and stores in fp32, one
// rounding where a result is stored. Calls are asynchronous on the context's stream and always sum in the
// same order: no atomic additions of floating-point numbers. Operands come in the order kernel.h
// lists, stored as operand_types.h says, device addresses, aligned to 16 bytes at least
// where they begin a buffer and to their element everywhere; absent ones are null.
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/launch.h"
#include "backends/executor.h"
#include "core/bf16.h"
#include "core/program/kernel.h"

namespace shardscope::cuda {

// gated_units.cu, activation.cu
template <class T>
void run(const Activate& kernel, const Addresses& operands, const LaunchContext& context);
template <class T>
void run(const ActivateGrad& kernel, const Addresses& operands, const LaunchContext& context);
template <class T>
void run(const SwiGlu& kernel, const Addresses& operands, const LaunchContext& context);
template <class T>
void run(const SwiGluGrad& kernel, const Addresses& operands, const LaunchContext& context);
template <class T>
void run(const GeGlu& kernel, const Addresses& operands, const LaunchContext& context);
template <class T>
void run(const GeGluGrad& kernel, const Addresses& operands, const LaunchContext& context);

// norm.cu, head_norm.cu
template <class T>
void run(const Norm& kernel, const Addresses& operands, const LaunchContext& context);
template <class T>
void run(const NormInputGrad& kernel, const Addresses& operands, const LaunchContext& context);
template <class T, class G>
void run(const NormWeightGrad& kernel, const Addresses& operands, const LaunchContext& context);
template <class T>
void run(const HeadNorm& kernel, const Addresses& operands, const LaunchContext& context);
template <class T>
void run(const HeadNormInputGrad& kernel, const Addresses& operands, const LaunchContext& context);
template <class T, class G>
void run(const HeadNormWeightGrad& kernel, const Addresses& operands, const LaunchContext& context);

// embedding.cu
template <class T>
void run(const Embedding& kernel, const Addresses& operands, const LaunchContext& context);
template <class T, class G>
void run(const EmbeddingGrad& kernel, const Addresses& operands, const LaunchContext& context);

// rope.cu
template <class T>
void run(const Rope& kernel, const Addresses& operands, const LaunchContext& context);

// loss.cu, vocabulary_loss.cu
template <class T>
void run(const SoftmaxCrossEntropy& kernel, const Addresses& operands,
         const LaunchContext& context);
template <class T>
void run(const VocabularyMax& kernel, const Addresses& operands, const LaunchContext& context);
template <class T>
void run(const VocabularySum& kernel, const Addresses& operands, const LaunchContext& context);
template <class T>
void run(const VocabularyLoss& kernel, const Addresses& operands, const LaunchContext& context);

// elementwise.cu
template <class T>
void run(const Zero& kernel, const Addresses& operands, const LaunchContext& context);
template <class T>
void run(const Add& kernel, const Addresses& operands, const LaunchContext& context);
template <class T>
void run(const Copy& kernel, const Addresses& operands, const LaunchContext& context);
template <class T>
void run(const BiasResidual& kernel, const Addresses& operands, const LaunchContext& context);

// reduce.cu; T is the gradients' type
template <class T>
void run(const SumSquares& kernel, const Addresses& operands, const LaunchContext& context);

// optimizer.cu; the bias correction reads the step from context.words
template <class T, class G>
void run(const OptimizerStep& kernel, const Addresses& operands, const LaunchContext& context);

// The instances of a kernel.
#define SHARDSCOPE_INSTANTIATE(Kernel)                                               \
    template void run<float>(const Kernel&, const Addresses&, const LaunchContext&); \
    template void run<Bf16>(const Kernel&, const Addresses&, const LaunchContext&)
#define SHARDSCOPE_INSTANTIATE_GRADIENT(Kernel)                                             \
    template void run<float, float>(const Kernel&, const Addresses&, const LaunchContext&); \
    template void run<Bf16, float>(const Kernel&, const Addresses&, const LaunchContext&);  \
    template void run<Bf16, Bf16>(const Kernel&, const Addresses&, const LaunchContext&)

}  // namespace shardscope::cuda
