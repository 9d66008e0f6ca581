// What `calibrate` measures: shapes like those of training, from a core's cache to main memory, and on GPUs
// from a few kernels' worth of work to large models.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "core/program/instruction.h"
#include "simulator/calibration_names.h"

namespace shardscope {

struct MatmulShape {
    std::int64_t m = 0, n = 0, k = 0;
};
std::vector<std::pair<DType, MatmulShape>> matmul_shapes(bool quick);

// The three linear kernels that multiply this shape.
std::array<Kernel, 3> multiplies_of(const MatmulShape& shape);

Compute with_dtype(Kernel kernel, DType dtype);

// One element per sample to take; the name and work follow from calibration_names.h.
std::vector<Compute> kernel_cases(bool quick);

// The same for a GPU, whose ranks train in fp32 and bf16: wider rows, a vocabulary's worth of classes, enough
// heads to fill it.
std::vector<std::pair<DType, MatmulShape>> gpu_matmul_shapes(bool quick);
std::vector<Compute> gpu_kernel_cases(bool quick);

// What a linear kernel adds to its multiply: the time of `with` minus that of `without`.
struct EpilogueCase {
    std::string_view name;
    Kernel with, without;
};
std::vector<EpilogueCase> epilogue_cases(DType dtype, bool quick);
std::vector<EpilogueCase> gpu_epilogue_cases(bool quick);

// A few kernels in the proportion of a small transformer's step.
std::vector<Compute> typical_mixture();

}  // namespace shardscope
