// Sums down the rows of a matrix: gradients of biases.
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/launch.h"
#include "core/bf16.h"

namespace shardscope::cuda {

// sums[c] (+)= Σ_r x[r·columns + c], summed in fp32 in a fixed order and stored once. x [rows, columns],
// sums [columns]; partial sums lie in the context's scratch. T and G: float, or Bf16.
template <class T, class G>
void column_sums(const T* x, std::int64_t rows, std::int64_t columns, bool accumulate, G* sums,
                 const LaunchContext& context);

}  // namespace shardscope::cuda
