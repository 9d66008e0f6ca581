// Causal attention on a GPU: cuDNN's fused kernels, or our own tiled ones.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backends/cuda/kernels/launch.h"
#include "backends/executor.h"
#include "core/dtype.h"
#include "core/program/kernel.h"

namespace shardscope::cuda {

enum class AttentionLibrary : std::uint8_t {
    own,    // our kernels, which never store the scores
    cudnn,  // bf16 only; an error for what it does not take
    best,   // cuDNN for what it takes, our own for the rest; choices() tells
};

// Why cuDNN cannot be used: not built in, not installed, too old; empty: it can. Loads the library.
std::string why_no_cudnn();

// The attention of one rank. Not thread-safe. The unfused kind is always our own: it is there to compare
// memory.
class Attentions {
public:
    // Throws Error{run_failed, "cudnn"} where cuDNN is asked for and cannot be used. Our own kernels always
    // sum in the same order; cuDNN's backward pass does if it is to be `deterministic`, with more workspace.
    explicit Attentions(AttentionLibrary library, bool deterministic = true);
    ~Attentions();

    // Builds what the kernels need of cuDNN (its plans), and returns the bytes of device memory that they
    // want for temporaries; call for every kernel of a program before the first run(). 0 for our own.
    // Throws Error{invalid_input} naming what the library's kernels do not take.
    std::int64_t prepare(const Attention& kernel, DType dtype);
    std::int64_t prepare(const AttentionGrad& kernel, DType dtype);

    // `workspace`: as many bytes of device memory as the largest prepare() asked for.
    void set_workspace(std::byte* workspace);

    void run(const Attention& kernel, DType dtype, const Addresses& operands,
             const LaunchContext& context);
    void run(const AttentionGrad& kernel, DType dtype, const Addresses& operands,
             const LaunchContext& context);

    // One line for every kernel prepared so far: whose it is and, of `best`, why not cuDNN's.
    std::vector<std::string> choices() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shardscope::cuda
