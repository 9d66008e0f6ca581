// Every kernel of core/program/kernel.h on the CPU, for T = float or double, one .cpp per family.
//
// Called by dispatch.h only. Operands come in the order kernel.h lists; absent ones are null. The
// functions are pure in their operands, run on the calling thread and allocate nothing themselves.
#pragma once

#include <cstdint>

#include "backends/executor.h"
#include "core/program/kernel.h"

namespace shardscope::cpu {

// linear.cpp
template <class T>
void run(const Linear& kernel, const Addresses& operands);
template <class T>
void run(const LinearInputGrad& kernel, const Addresses& operands);
template <class T>
void run(const LinearWeightGrad& kernel, const Addresses& operands);

// activation.cpp
template <class T>
void run(const Activate& kernel, const Addresses& operands);
template <class T>
void run(const ActivateGrad& kernel, const Addresses& operands);
template <class T>
void run(const SwiGlu& kernel, const Addresses& operands);
template <class T>
void run(const SwiGluGrad& kernel, const Addresses& operands);

// norm.cpp
template <class T>
void run(const Norm& kernel, const Addresses& operands);
template <class T>
void run(const NormInputGrad& kernel, const Addresses& operands);
template <class T>
void run(const NormWeightGrad& kernel, const Addresses& operands);

// embedding.cpp; tokens must be below `vocab`
template <class T>
void run(const Embedding& kernel, const Addresses& operands);
template <class T>
void run(const EmbeddingGrad& kernel, const Addresses& operands);

// rope.cpp; head_dim is even
template <class T>
void run(const Rope& kernel, const Addresses& operands);

// attention.cpp
template <class T>
void run(const Attention& kernel, const Addresses& operands);
template <class T>
void run(const AttentionGrad& kernel, const Addresses& operands);

// loss.cpp; targets must be below `classes`
template <class T>
void run(const SoftmaxCrossEntropy& kernel, const Addresses& operands);

// elementwise.cpp
template <class T>
void run(const Zero& kernel, const Addresses& operands);
template <class T>
void run(const Add& kernel, const Addresses& operands);
template <class T>
void run(const SumSquares& kernel, const Addresses& operands);

// optimizer.cpp; `step` counts from 1
template <class T>
void run(const OptimizerStep& kernel, const Addresses& operands, std::int64_t step);

// What the families share: an operand as an array of T, and the two instances of a kernel.
template <class T>
T* as(std::byte* address) {
    return reinterpret_cast<T*>(address);
}
#define SHARDSCOPE_INSTANTIATE(Kernel)                         \
    template void run<float>(const Kernel&, const Addresses&); \
    template void run<double>(const Kernel&, const Addresses&)

}  // namespace shardscope::cpu
