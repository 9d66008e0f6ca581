// A kernel that says how far a stream has come.
#pragma once

#include "backends/cuda/kernels/launch.h"

namespace shardscope::cuda {

// Writes `value` to `word`, in memory of the host that the device can reach, when the stream comes to it.
void mark(std::int32_t* word, std::int32_t value, const LaunchContext& context);

}  // namespace shardscope::cuda
