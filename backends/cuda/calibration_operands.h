// Operands to time a kernel with.
#pragma once

#include <vector>

#include <cuda_runtime.h>

#include "backends/cuda/device/handles.h"
#include "backends/executor.h"
#include "core/program/instruction.h"

namespace shardscope::cuda {

// Several sets of a kernel's operands on the current device, filled as in training: tokens that are tokens, and
// small random numbers elsewhere, because multiplies of constants take less power and are faster than
// those of training. The sets together exceed the device's cache, unless a kernel's operands are small in
// a real step too.
class CalibrationOperands {
public:
    // Fills them on the stream and waits. Throws Error{run_failed, "out-of-memory"}.
    CalibrationOperands(const Compute& instruction, cudaStream_t stream);
    const std::vector<Addresses>& sets() const { return sets_; }

private:
    DeviceMemory memory_;
    std::vector<Addresses> sets_;
};

}  // namespace shardscope::cuda
