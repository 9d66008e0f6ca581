#include "backends/cuda/kernels/shared_memory.h"

#include <string>

#include <cuda_runtime.h>

#include "core/error.h"

namespace shardscope::cuda {

void allow_shared_bytes(const char* name, const void* kernel, const Geometry& geometry) {
    const cudaError_t status =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(geometry.shared_bytes));
    if (status == cudaSuccess) return;
    throw Error("cuda",
                std::string(name) + " wants " + std::to_string(geometry.shared_bytes) +
                    " bytes of shared memory: " + cudaGetErrorString(status),
                "run on a device of compute capability 8.0 or newer", ErrorKind::run_failed);
}

}  // namespace shardscope::cuda
