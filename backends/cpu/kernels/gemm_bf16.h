// Matrix multiply of bf16 numbers with sums in fp32, by the instructions that some CPUs have for it
// (AVX512_BF16, AMX), on the calling thread.
#pragma once

#include <cstdint>

#include "backends/cpu/kernels/gemm.h"
#include "core/bf16.h"

namespace shardscope::cpu {

// Whether this CPU has them; else gemm_tiles.h multiplies in fp32.
bool multiplies_bf16();

// c[m, n] = or += a[m, k] · b[k, n]; m, n, k ≥ 1. Keeps what the library prepared for the shapes seen
// last, and its scratch memory, for the thread's next call. Throws Error{run_failed} when the library
// refuses.
void gemm_bf16(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<Bf16> a, Matrix<Bf16> b,
               bool accumulate, float* c, std::int64_t c_stride);

}  // namespace shardscope::cpu
