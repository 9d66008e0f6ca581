// What each of our fused kernels becomes in another product: how many kernels its host launches for
// it, and which bytes move beside ours, because one kernel writes what the next reads back.
// docs/cost-model.md has the table with its sources.
#pragma once

#include "core/cluster/cluster.h"
#include "core/program/instruction.h"
#include "core/strategy/runtime_profile.h"
#include "simulator/gpu_generation.h"

namespace shardscope {

struct ProductKernel {
    int launches = 1;
    double bytes = 0;  // beside KernelCost's, read and written together
    bool operator==(const ProductKernel&) const = default;
};

// `shardscope` launches every kernel once and moves what KernelCost says; casts to 8 and 4 bits are
// kernels of their own in every profile.
ProductKernel product_kernel(RuntimeProfile profile, const Compute& compute);

// Host time of one launch: the device's own (Device::host_cost), and what the framework and its
// language spend on each operation.
Seconds launch_cost(RuntimeProfile profile, const Device& device);

// That time in units of LaneProgram::host_cost: eager PyTorch launches from Python, but in the backward pass
// autograd's engine does, in C++, which takes about a quarter. Compiled code and our own host launch alike in both.
int launch_units(RuntimeProfile profile, Phase phase);

AttentionLibrary attention_library(RuntimeProfile profile, Architecture architecture);

// The part of that library's rate that attention to a context-parallel group's keys reaches.
double context_attention_rate(RuntimeProfile profile);

}  // namespace shardscope
