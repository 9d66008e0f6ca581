// One double from the partial sums of many blocks.
#pragma once

#include "backends/cuda/kernels/flat.h"

namespace shardscope::cuda {

// *to = (accumulate ? *to : 0) + weight · Σ partials[0 … count − 1], in a fixed order.
void finish_sum(const char* name, const double* partials, int count, double weight, bool accumulate,
                double* to, const LaunchContext& context);

}  // namespace shardscope::cuda
