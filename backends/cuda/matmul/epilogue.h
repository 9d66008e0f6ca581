// What a linear layer does after its multiply where cuBLASLt does not: kernels of our own.
#pragma once

#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/matmul/matmul_call.h"
#include "core/program/kernel.h"

namespace shardscope::cuda {

// y = act(product + bias) + residual, and product + bias in `pre`, all [rows, out] but bias [out]; bias,
// residual and pre may be null. `product` may be y or pre. T: float or Bf16.
template <class T>
void linear_epilogue(const Linear& kernel, const T* product, const T* bias, const T* residual, T* y,
                     T* pre, const LaunchContext& context);

}  // namespace shardscope::cuda
