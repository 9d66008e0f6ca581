// cuDNN's fused attention for bf16 and the flash kind, through the cudnn-frontend headers. Built in where
// CMake finds them (cudnn_attention.cpp), else no_cudnn.cpp stands in, whose why_no_cudnn() says so.
// libcudnn itself is loaded when it is first asked for, never linked.
//
// The statistics are the same as our own kernels': log-sum-exp, fp32, [samples, heads, seq].
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "backends/cuda/kernels/launch.h"
#include "backends/executor.h"
#include "core/program/kernel.h"

namespace shardscope::cuda {

class CudnnAttention {
public:
    // Throws Error{run_failed, "cudnn"} where why_no_cudnn() has something to say, or the library cannot
    // start. `deterministic`: the backward pass sums in one order, at the price of more workspace.
    explicit CudnnAttention(bool deterministic);
    ~CudnnAttention();

    // Plans the kernel; returns the bytes of workspace it wants. Throws Error{run_failed, "cudnn"} with
    // cuDNN's own words where it has no plan for this shape on this device.
    std::int64_t prepare(const Attention& kernel);
    std::int64_t prepare(const AttentionGrad& kernel);

    // Plans it first unless that is done. Operands as kernel.h says.
    void run(const Attention& kernel, const Addresses& operands, std::byte* workspace,
             const LaunchContext& context);
    void run(const AttentionGrad& kernel, const Addresses& operands, std::byte* workspace,
             const LaunchContext& context);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shardscope::cuda
