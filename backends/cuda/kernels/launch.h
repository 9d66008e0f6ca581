// How our kernels are started, and what they may use beside their operands.
//
// The kernels' sources also compile for the host: tests/host_device/ has a cuda_runtime.h of its own that runs
// a block's threads one after another, so that every kernel is executed where there is no GPU. They
// therefore use only what is declared there, and start through launch() alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_runtime.h>

#include "backends/cuda/kernels/geometry.h"

namespace shardscope::cuda {

// Values that change from step to step but are read by kernels of a graph that is captured once: device
// memory, written before each step.
struct StepWords {
    std::int64_t step = 0;  // 0-based
};

// What a call on one stream may use. Calls with the same scratch must be on one stream.
struct LaunchContext {
    cudaStream_t stream = nullptr;
    DeviceShape device;
    // Device memory that a call may overwrite and nobody reads afterwards (partial sums, cuBLASLt's
    // workspace); aligned to 256 bytes.
    std::byte* scratch = nullptr;
    std::int64_t scratch_bytes = 0;
    const StepWords* words = nullptr;  // on the device
    int data_index = 0;                // of the rank in its data-parallel group
    int tensor_index = 0;              // of the rank in its tensor-parallel group
};

// Scratch of every context is at least this large.
inline constexpr std::int64_t kScratchBytes = std::int64_t{32} << 20;

// Throws Error{run_failed, "cuda"} naming `what` unless the last launch of this thread was accepted.
void check_launch(const char* what);

#if defined(__CUDACC__) || \
    !defined(__CUDA_RUNTIME_H__)  // plain C++ beside CUDA's headers starts none
// Starts `kernel` with these arguments. Dynamic shared memory above 48 KiB is allowed for by the caller
// (allow_shared).
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const Geometry& g,
            const LaunchContext& context, Arguments&&... arguments) {
    const dim3 grid(g.grid.x, g.grid.y, g.grid.z), block(g.block.x, g.block.y, g.block.z);
#ifdef __CUDACC__
    kernel<<<grid, block, g.shared_bytes, context.stream>>>(static_cast<Parameters>(arguments)...);
#else
    host_device::launch(name, kernel, grid, block, g.shared_bytes, context.stream,
                        static_cast<Parameters>(arguments)...);
#endif
    check_launch(name);
}
#endif

}  // namespace shardscope::cuda
