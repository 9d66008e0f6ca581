// Matrix multiply on the calling thread: oneDNN for float, Eigen for double; and how threads share one.
//
// The summed dimension is never split between threads, so that equal shapes and values give equal
// bits wherever the operands lie.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backends/cpu/kernels/team.h"

namespace shardscope::cpu {

// A row-major matrix read as it is stored or transposed; `stride` is the distance between stored
// rows, in elements.
template <class T>
struct Matrix {
    const T* data = nullptr;
    std::int64_t stride = 0;
    bool transposed = false;

    // The part that begins at a row and a column of the matrix as it reads.
    Matrix from(std::int64_t row, std::int64_t column) const {
        return {transposed ? data + column * stride + row : data + row * stride + column, stride,
                transposed};
    }
};

// c[m, n] = alpha · a[m, k] · b[k, n] + beta · c; with beta 0 c is only written, whatever it held.
// Shapes are those after transposition. Throws Error{run_failed} when the library refuses.
template <class T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, T alpha, Matrix<T> a, Matrix<T> b, T beta,
          T* c, std::int64_t c_stride);

// Rows [row, row + rows) and columns [column, column + columns) of a product.
struct Panel {
    std::int64_t row, column, rows, columns;
};

// Calls multiply(Panel) for panels that cover a product [m, n] with summed dimension k. A panel is wide
// enough for the library to reach its full rate on it, and its rows stay in a core's cache for what
// follows the multiply.
template <class Multiply>
void divide_product(Team& team, std::int64_t m, std::int64_t n, std::int64_t k,
                    const Multiply& multiply) {
    constexpr double kLeast = 2e6;  // multiply-adds worth a second thread
    if (static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) < kLeast)
        return multiply(Panel{0, 0, m, n});
    const auto width = [](std::int64_t length) {
        return length >= 1024 ? 256 : length >= 256 ? 128 : 64;
    };
    if (m >= 128)
        team.divide(m, width(m), [&](const Share& rows) {
            multiply(Panel{rows.first, 0, rows.count(), n});
        });
    else
        team.divide(n, std::max(width(n), 128), [&](const Share& columns) {
            multiply(Panel{0, columns.first, m, columns.count()});
        });
}

// Makes the libraries stay on the calling thread; a rank's thread calls it once, before its first
// kernel.
void use_one_thread();

}  // namespace shardscope::cpu
