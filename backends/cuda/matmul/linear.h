// Linear layers on cuBLASLt.
#pragma once

#include <memory>

#include "backends/cuda/kernels/launch.h"
#include "backends/executor.h"
#include "core/dtype.h"
#include "core/program/kernel.h"

namespace shardscope::cuda {

struct MatmulOptions {
    bool tf32 =
        false;  // fp32 multiplies on tensor cores, their inputs rounded to 10 bits of mantissa
    // Whether bias and GELU are part of the multiply (cuBLASLt's epilogues) or kernels of their own.
    bool fused_epilogues = true;
};

// The linear layers of one rank: a cuBLASLt handle and the algorithm chosen for each shape. Not
// thread-safe. cuBLASLt's workspace is the context's scratch.
class Linears {
public:
    // Throws Error{run_failed, "cuda"} where cuBLASLt cannot start.
    explicit Linears(const MatmulOptions& options);
    ~Linears();

    // `dtype` is the storage type of activations and parameters (fp32 or bf16), `gradient` that of
    // parameter gradients. The first call of a shape asks cuBLASLt's heuristic, so it must not be in a
    // stream that is being captured.
    void run(const Linear& kernel, DType dtype, const Addresses& operands,
             const LaunchContext& context);
    void run(const LinearInputGrad& kernel, DType dtype, const Addresses& operands,
             const LaunchContext& context);
    void run(const LinearWeightGrad& kernel, DType dtype, DType gradient, const Addresses& operands,
             const LaunchContext& context);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shardscope::cuda
