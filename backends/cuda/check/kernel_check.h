// The kernel check: every kernel of the CUDA backend beside the CPU's in fp64, on random inputs, on a GPU or
// on the host device. Without any vendor's header.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "backends/executor.h"
#include "core/program/instruction.h"
#include "core/units.h"

namespace shardscope::cuda {

// What to compare with: executes an instruction in fp64 on operands in host memory (cpu::execute).
using Reference = std::function<void(const Compute&, const Addresses&, const StepContext&)>;

struct CheckOptions {
    std::uint64_t seed = 1;  // of the inputs
    int device = 0;          // as CUDA counts them
    bool cudnn = false;      // attention through cuDNN where it does the case, which is in bf16
    bool timed = false;      // the large cases instead, for their speed; results are not compared
};

// ‖out − reference‖ / ‖reference‖ that an operand may be off, by the type it is stored in. Every kernel computes
// in fp32 on the same (rounded) inputs as the reference, so what is stored in fp32 is off by the
// roundings of its sums: 1e-5, of log-sum-exps at least 1e-5 of one. One rounding to bf16 costs up to
// 2⁻⁹ = 0.2 %, and multiplies of attention have rounded probabilities and gradients as inputs too: 1e-2.
double tolerance_of(DType stored);

struct CheckResult {
    std::string kernel, shape;
    DType dtype = DType::fp32, gradient = DType::fp32;
    // Of the written operand that is nearest to, or farthest beyond, what is allowed.
    int operand = -1;
    double error = 0, tolerance = 0;
    std::string complaint;  // other than an error: bytes that must not change and did; empty: none
    // A timed case: median of one call, and the description's bytes and FLOPs (kernel.h) by it.
    std::optional<Seconds> time;
    BytesPerSecond moved{0};
    FlopsPerSecond computed{0};

    bool passed() const { return complaint.empty() && error <= tolerance; }
};

// Runs all cases on a device and tells of each as soon as it is known. Throws Error{run_failed} where the device
// fails.
void check_kernels(const Reference& reference, const CheckOptions& options,
                   const std::function<void(const CheckResult&)>& tell);

// "norm bf16 (rows 5, hidden 768): operand 3 is off by 3.1e-1, allowed 1.0e-2 (seed 7)".
std::string describe(const CheckResult& result, std::uint64_t seed);

}  // namespace shardscope::cuda
