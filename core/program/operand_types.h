// In which type each operand of a kernel is stored.
#pragma once

#include <array>

#include "core/program/instruction.h"

namespace shardscope {

// Statistics, optimizer states, master weights and attention's workspace: fp32, fp64 for fp64.
constexpr DType state_dtype(DType storage) {
    return storage == DType::fp64 ? DType::fp64 : DType::fp32;
}

// Per operand, in the order of kernel.h, absent ones included: activations and parameters are of
// compute.dtype, parameter gradients of compute.gradient, states of state_dtype, tokens and targets
// int32, losses and norms fp64. Zero, Add and Copy move elements of compute.dtype, whatever they mean.
std::array<DType, kMaxOperands> operand_dtypes(const Compute& compute);

}  // namespace shardscope
