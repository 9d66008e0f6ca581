// Zero, add, copy, bias and residual, and the sum of squares for clipping.
#include <algorithm>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu {
namespace {

template <class T>
SHARDSCOPE_CLONES void add(Share share, T* y, const T* x) {
    SHARDSCOPE_INDEPENDENT
    for (std::int64_t i = share.first; i < share.last; ++i) y[i] = y[i] + x[i];
}

template <class T>
SHARDSCOPE_CLONES void add_bias_residual(const BiasResidual& k, Share share, T* y, const T* bias,
                                         const T* residual) {
    for (std::int64_t r = share.first; r < share.last; ++r) {
        T* row = y + r * k.hidden;
        const T* other = residual ? residual + r * k.hidden : bias;
        if (bias && residual) {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < k.hidden; ++i) row[i] = row[i] + bias[i] + other[i];
        } else if (other) {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < k.hidden; ++i) row[i] = row[i] + other[i];
        }
    }
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
void run(const Zero& k, const Addresses& at, Team& team) {
    divide_elements(team, k.elements, [&](const Share& share) {
        std::fill_n(as<T>(at[0]) + share.first, share.count(), T(0));
    });
}

template <class T>
void run(const Add& k, const Addresses& at, Team& team) {
    divide_elements(team, k.elements,
                    [&](const Share& share) { add(share, as<T>(at[0]), as<const T>(at[1])); });
}

template <class T>
void run(const Copy& k, const Addresses& at, Team& team) {
    divide_elements(team, k.elements, [&](const Share& share) {
        std::copy_n(as<const T>(at[0]) + share.first, share.count(), as<T>(at[1]) + share.first);
    });
}

template <class T>
void run(const BiasResidual& k, const Addresses& at, Team& team) {
    divide_rows(team, k.rows, k.hidden, [&](const Share& share) {
        add_bias_residual(k, share, as<T>(at[0]), as<const T>(at[1]), as<const T>(at[2]));
    });
}

template <class T>
void run(const SumSquares& k, const Addresses& at, int index, Team& team) {
    const std::int64_t origin = k.sharded ? index * k.elements : 0;
    const std::int64_t first = std::clamp<std::int64_t>(k.first - origin, 0, k.elements);
    const std::int64_t last = std::clamp<std::int64_t>(k.last - origin, first, k.elements);
    const T* x = as<const T>(at[0]) + first;
    const double squares = sum_of_shares(
        team, last - first, kShareElements,
        [x](const Share& share) { return sum_squares(x + share.first, share.count()); });
    double* sum = as<double>(at[1]);
    *sum = (k.accumulate ? *sum : 0.0) + k.weight * squares;
}

SHARDSCOPE_INSTANTIATE(Zero);
SHARDSCOPE_INSTANTIATE(Add);
SHARDSCOPE_INSTANTIATE(Copy);
SHARDSCOPE_INSTANTIATE(BiasResidual);
SHARDSCOPE_INSTANTIATE_INDEXED(SumSquares);

}  // namespace shardscope::cpu
