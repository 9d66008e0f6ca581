#include "backends/cuda/device/shape.h"

#include <cuda_runtime.h>

#include "backends/cuda/device/check.h"

namespace shardscope::cuda {
namespace {

int attribute(cudaDeviceAttr name, int device) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, name, device), "cudaDeviceGetAttribute");
    return value;
}

}  // namespace

DeviceShape shape_of(int device) {
    DeviceShape shape;
    shape.multiprocessors = attribute(cudaDevAttrMultiProcessorCount, device);
    shape.compute_capability = 10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
                               attribute(cudaDevAttrComputeCapabilityMinor, device);
    shape.shared_per_block = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    return shape;
}

}  // namespace shardscope::cuda
