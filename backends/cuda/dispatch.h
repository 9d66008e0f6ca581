// From a compute instruction to the kernel that does it.
#pragma once

#include "backends/cuda/attention/attention.h"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/matmul/linear.h"
#include "backends/executor.h"
#include "core/program/instruction.h"

namespace shardscope::cuda {

// Throws Error{invalid_input, "unsupported"} naming what the cuda backend does not run: it stores
// activations and parameters in fp32 or bf16, gradients in the same, or bf16's in fp32.
void expect_supported(DType dtype, DType gradient);

// Lets a linear layer choose its algorithm (Linears::prepare); other kernels need nothing. May write to the
// operands and wait for the device.
void prepare(const Compute& instruction, const Addresses& operands, const LaunchContext& context,
             Linears& linears);

// Starts the kernel on the context's stream. Every kernel but LoadBatch, which is the executor's.
// Throws expect_supported()'s errors and Error{run_failed, "cuda"}.
void execute(const Compute& instruction, const Addresses& operands, const LaunchContext& context,
             Linears& linears, Attentions& attentions);

}  // namespace shardscope::cuda
