// The CPU's implementation of a compute instruction.
#pragma once

#include "backends/cpu/kernels/team.h"
#include "backends/executor.h"

namespace shardscope::cpu {

// Runs the kernel on `team` and returns when it is done. Thread-safe for different teams: what
// is kept between calls is scratch memory of their threads.
//
// Storage is fp32 or fp64 and gradients alike, or bf16 with gradients in bf16 or fp32; anything else
// throws Error{"unsupported"}. operand_types.h says how each operand is stored. LoadBatch
// belongs to the executor, which has the data source, and is a logic error here, as is an absent
// workspace of a kernel whose attention_workspace_elements is not 0.
//
// Operands may alias only where an output is the very same array as one of these inputs:
// activate y = x; activate_grad dx = dy or x; norm_input_grad dx = dy or dresidual.
void execute(const Compute& instruction, const Addresses& operands, const StepContext& context,
             Team& team);

}  // namespace shardscope::cpu
