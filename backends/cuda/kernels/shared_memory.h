// Leave for kernels to use more dynamic shared memory than every kernel may.
#pragma once

#include "backends/cuda/kernels/geometry.h"

namespace shardscope::cuda {

// Bytes of shared memory that a block may have without asking.
inline constexpr std::uint32_t kSharedWithoutAsking = 48 * 1024;

// Lets `kernel` have the dynamic shared memory of its geometry. Throws Error{run_failed, "cuda"} naming
// `name` where the device has less.
void allow_shared_bytes(const char* name, const void* kernel, const Geometry& geometry);

template <class Kernel>
void allow_shared(const char* name, Kernel* kernel, const Geometry& geometry) {
    if (geometry.shared_bytes > kSharedWithoutAsking)
        allow_shared_bytes(name, reinterpret_cast<const void*>(kernel), geometry);
}

}  // namespace shardscope::cuda
