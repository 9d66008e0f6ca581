// What launches depend on, of a device that is there.
#pragma once

#include "backends/cuda/kernels/geometry.h"

namespace shardscope::cuda {

// Throws Error{run_failed, "cuda"}.
DeviceShape shape_of(int device);

}  // namespace shardscope::cuda
