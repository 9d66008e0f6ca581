// Linear layers on cuBLASLt.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/matmul/matmul_call.h"
#include "backends/executor.h"
#include "core/dtype.h"
#include "core/program/kernel.h"

namespace shardscope::cuda {

// How many of cuBLASLt's algorithms runs and calibrations time for each multiply.
inline constexpr int kTimedCandidates = 4;

// The linear layers of one rank: a cuBLASLt handle and the algorithm chosen for each shape. Not
// thread-safe. cuBLASLt's workspace is the context's scratch.
//
// A shape that cuBLASLt has no fused algorithm for is multiplied without the epilogue, which then is a
// kernel of ours; choices() tells. One that it refuses altogether is Error{run_failed, "matmul"}.
class Linears {
public:
    // Throws Error{run_failed, "cuda"} where cuBLASLt cannot start.
    explicit Linears(const MatmulOptions& options);
    ~Linears();

    // Chooses the algorithm for this call, as run() does when it first meets a shape: call it for every
    // kernel before a stream is captured. Operands are those of run(); with options.timed_candidates above
    // 1 the candidates are started on them, so that written operands are overwritten, and the
    // context's stream is waited for.
    void prepare(const Linear& kernel, DType dtype, const Addresses& operands,
                 const LaunchContext& context);
    void prepare(const LinearInputGrad& kernel, DType dtype, const Addresses& operands,
                 const LaunchContext& context);
    void prepare(const LinearWeightGrad& kernel, DType dtype, DType gradient,
                 const Addresses& operands, const LaunchContext& context);

    // `dtype` is the storage type of activations and parameters (fp32 or bf16), `gradient` that of
    // parameter gradients. A shape that was not prepared gets the heuristic's first algorithm.
    void run(const Linear& kernel, DType dtype, const Addresses& operands,
             const LaunchContext& context);
    void run(const LinearInputGrad& kernel, DType dtype, const Addresses& operands,
             const LaunchContext& context);
    void run(const LinearWeightGrad& kernel, DType dtype, DType gradient, const Addresses& operands,
             const LaunchContext& context);

    // One line for every shape met so far: the call, and which of how many candidates does it.
    std::vector<std::string> choices() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shardscope::cuda
