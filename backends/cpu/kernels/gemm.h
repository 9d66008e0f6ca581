// Matrix multiply on the calling thread: oneDNN for float, Eigen for double.
//
// The summed dimension is never split between threads, so that equal shapes and values give equal
// bits wherever the operands lie.
#pragma once

#include <cstdint>

namespace shardscope::cpu {

// A row-major matrix read as it is stored or transposed; `stride` is the distance between stored
// rows, in elements.
template <class T>
struct Matrix {
    const T* data = nullptr;
    std::int64_t stride = 0;
    bool transposed = false;
};

// c[m, n] = alpha · a[m, k] · b[k, n] + beta · c; with beta 0 c is only written, whatever it held.
// Shapes are those after transposition. Throws Error{run_failed} when the library refuses.
template <class T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, T alpha, Matrix<T> a, Matrix<T> b, T beta,
          T* c, std::int64_t c_stride);

// Makes the libraries stay on the calling thread; a rank's thread calls it once, before its first
// kernel.
void use_one_thread();

}  // namespace shardscope::cpu
