// Calls one of the CUDA backend's kernels on the host device, with operands given as plain numbers; see
// tests/backends/kernels/kernel_call.h, whose checks it repeats: written operands are NaN before, read
// ones do not change, nothing is written past an operand's end.
#pragma once

#include <functional>
#include <vector>

#include "backends/cuda/kernels/launch.h"
#include "backends/executor.h"
#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {

struct DeviceStorage {
    DType dtype = DType::fp32, gradient = DType::fp32;
    int shift = 0;  // elements by which every operand begins past a multiple of 256 bytes
};

// The operands' values after `run`, as they are stored.
std::vector<Values> device_call(
    const Kernel& kernel, const DeviceStorage& storage, const std::vector<Tensor>& operands,
    const std::function<void(const Addresses&, const cuda::LaunchContext&)>& run);

// ‖got − want‖ / ‖want‖ in the 2-norm is at most the tolerance. Not-a-number and unequal sizes never pass.
::testing::AssertionResult close_in_norm(const Values& got, const Values& want, double tolerance);

// Of results in this storage against fp64 on the same numbers. fp32: sums of some hundred products are
// rounded 2⁻²⁴ each; bf16: every stored number is rounded by up to 2⁻⁹ of itself.
inline double norm_tolerance(DType dtype) { return dtype == DType::bf16 ? 1e-2 : 1e-5; }

// Values as `dtype` stores them.
Values stored_as(DType dtype, Values values);

}  // namespace shardscope::test
