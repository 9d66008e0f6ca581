// What a measured KernelSample is called: the one place that `calibrate` and the cost model share.
//
// A sample's name is kernel_name() plus, where the cost per unit of work depends on it, a variant:
// "norm.rms_norm", "optimizer_step.adam", "attention.d64" (head_dim 64), "attention.unfused.d64". The parts that a linear kernel adds to its matrix multiply
// are samples of their own ("linear.gelu"), with work = epilogue_work().
#pragma once

#include <string_view>

#include "core/program/instruction.h"

namespace shardscope {

// The sample's name for any kernel; for the three linear kernels the bare kernel_name(), which no
// sample carries because MatmulSample describes their multiply.
std::string_view calibration_name(const Kernel& kernel);

// What `work` of a sample counts: matrix-multiply FLOPs for attention and its gradient, bytes moved
// (KernelCost::moved) for the rest. A kernel is `parts` equal pieces of `work`: attention one per
// sample and head, as its cost per FLOP depends on the length of the sequence, not on how many heads
// there are; everything else is one piece.
struct CalibrationWork {
    double work = 0, parts = 1;
};
CalibrationWork calibration_work(const Compute& compute);

// What a linear kernel does beside the multiply. Absent parts are empty names.
struct Epilogue {
    std::string_view bias, activation, residual;
    double work = 0;  // bytes of the tensor that it passes over, once read and once written
};
Epilogue epilogue_of(const Compute& compute);

}  // namespace shardscope
