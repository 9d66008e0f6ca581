// Zero, add, and the sum of squares for clipping.
#include <algorithm>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu {
namespace {

template <class T>
SHARDSCOPE_CLONES void add(T* y, const T* x, std::int64_t n) {
    SHARDSCOPE_INDEPENDENT
    for (std::int64_t i = 0; i < n; ++i) y[i] += x[i];
}

template <class T>
SHARDSCOPE_CLONES double sum_squares(const T* x, std::int64_t n) {
    return lane_sum<double>(n, [x](std::int64_t i) {
        const double v = static_cast<double>(x[i]);
        return v * v;
    });
}

}  // namespace

template <class T>
void run(const Zero& k, const Addresses& at) {
    std::fill_n(as<T>(at[0]), k.elements, T(0));
}

template <class T>
void run(const Add& k, const Addresses& at) {
    add(as<T>(at[0]), as<const T>(at[1]), k.elements);
}

template <class T>
void run(const SumSquares& k, const Addresses& at) {
    double* sum = as<double>(at[1]);
    *sum = (k.accumulate ? *sum : 0.0) + sum_squares(as<const T>(at[0]), k.elements);
}

SHARDSCOPE_INSTANTIATE(Zero);
SHARDSCOPE_INSTANTIATE(Add);
SHARDSCOPE_INSTANTIATE(SumSquares);

}  // namespace shardscope::cpu
