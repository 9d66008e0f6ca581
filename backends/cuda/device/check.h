// What CUDA says about a call, as an Error.
#pragma once

#include <string>

#include <cuda_runtime.h>

#include "core/units.h"

namespace shardscope::cuda {

// Throws Error{run_failed, "cuda"} unless the call succeeded: "cudaStreamCreate: invalid argument".
void check(cudaError_t status, const char* call);

// The same for an allocation: Error{run_failed, "out-of-memory"} tells what was asked for and what is free.
void check_allocation(cudaError_t status, const char* call, Bytes asked);

// Whether all that was queued on the stream is done. Throws check()'s errors.
bool is_idle(cudaStream_t stream);

}  // namespace shardscope::cuda
