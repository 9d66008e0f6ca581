#include "backends/cpu/kernels/gemm.h"

#include <algorithm>
#include <string>

#include <Eigen/Core>
#include <dnnl.h>

#include "core/error.h"

// Of OpenMP's library, which oneDNN runs on. Its header belongs to a compiler's own library, and is
// not there for every compiler.
extern "C" void omp_set_num_threads(int);

namespace shardscope::cpu {
namespace {

template <class T>
void scale(std::int64_t m, std::int64_t n, T beta, T* c, std::int64_t c_stride) {
    for (std::int64_t i = 0; i < m; ++i)
        std::transform(c + i * c_stride, c + i * c_stride + n, c + i * c_stride,
                       [beta](T v) { return beta == T(0) ? T(0) : beta * v; });
}

void multiply(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, Matrix<float> a,
              Matrix<float> b, float beta, float* c, std::int64_t c_stride) {
    const dnnl_status_t status =
        dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k, alpha, a.data,
                   a.stride, b.data, b.stride, beta, c, c_stride);
    if (status != dnnl_success)
        throw Error("matrix-multiply",
                    "oneDNN's sgemm failed with status " + std::to_string(status) + " for m " +
                        std::to_string(m) + ", n " + std::to_string(n) + ", k " + std::to_string(k),
                    "check free memory: the library allocates packing buffers",
                    ErrorKind::run_failed);
}

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Strided = Eigen::Map<const RowMajor, Eigen::Unaligned, Eigen::OuterStride<>>;

// The stored matrix that reads as [rows, columns].
Strided stored(Matrix<double> x, std::int64_t rows, std::int64_t columns) {
    if (x.transposed) std::swap(rows, columns);
    return Strided(x.data, rows, columns, Eigen::OuterStride<>(x.stride));
}

void multiply(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, Matrix<double> a,
              Matrix<double> b, double beta, double* c, std::int64_t c_stride) {
    scale(m, n, beta, c, c_stride);
    Eigen::Map<RowMajor, Eigen::Unaligned, Eigen::OuterStride<>> out(
        c, m, n, Eigen::OuterStride<>(c_stride));
    const Strided left = stored(a, m, k), right = stored(b, k, n);
    if (a.transposed && b.transposed)
        out.noalias() += alpha * left.transpose() * right.transpose();
    else if (a.transposed)
        out.noalias() += alpha * left.transpose() * right;
    else if (b.transposed)
        out.noalias() += alpha * left * right.transpose();
    else
        out.noalias() += alpha * left * right;
}

}  // namespace

template <class T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, T alpha, Matrix<T> a, Matrix<T> b, T beta,
          T* c, std::int64_t c_stride) {
    if (m == 0 || n == 0) return;
    if (k == 0) return scale(m, n, beta, c, c_stride);
    multiply(m, n, k, alpha, a, b, beta, c, c_stride);
}

template void gemm<float>(std::int64_t, std::int64_t, std::int64_t, float, Matrix<float>,
                          Matrix<float>, float, float*, std::int64_t);
template void gemm<double>(std::int64_t, std::int64_t, std::int64_t, double, Matrix<double>,
                           Matrix<double>, double, double*, std::int64_t);

// OpenMP keeps the number per calling thread, so that ranks do not disturb each other.
void use_one_thread() { omp_set_num_threads(1); }

}  // namespace shardscope::cpu
