// Zero, add, copy, bias and residual.
#include "backends/cuda/kernels/flat.h"
#include "backends/cuda/kernels/kernels.h"

namespace shardscope::cuda {
namespace {

// Sets bits, so whole vectors whatever they mean; x null: zeros.
template <class T>
struct Move {
    static constexpr int N = 2 * kPerWords<T>;
    const T* x;
    T* y;
    bool aligned;
    SHARDSCOPE_DEVICE void operator()(std::int64_t at, int count) const {
        if (aligned && count == N) {
            auto* to = reinterpret_cast<Words*>(y + at);
            const auto* from = x ? reinterpret_cast<const Words*>(x + at) : nullptr;
            const Words first = x ? from[0] : Words{}, second = x ? from[1] : Words{};
            to[0] = first;
            to[1] = second;
        } else {
            for (int i = 0; i < count; ++i) y[at + i] = x ? x[at + i] : T(0.0f);
        }
    }
};

template <class T>
struct Sum {
    static constexpr int N = kPerWords<T>;
    T* y;
    const T* x;
    bool aligned;
    SHARDSCOPE_DEVICE void operator()(std::int64_t at, int count) const {
        float a[N], b[N];
        load(y + at, count, aligned, a);
        load(x + at, count, aligned, b);
#pragma unroll
        for (int i = 0; i < N; ++i) a[i] += b[i];
        store(y + at, count, aligned, a);
    }
};

template <class T, int N>
struct AddBiasResidual {
    std::int64_t hidden;
    T* y;
    const T *bias, *residual;
    SHARDSCOPE_DEVICE void operator()(std::int64_t row, std::int64_t column) const {
        const std::int64_t at = row * hidden + column;
        float v[N], b[N] = {}, r[N] = {};
        load(y + at, v);
        if (bias) load(bias + column, b);
        if (residual) load(residual + at, r);
#pragma unroll
        for (int i = 0; i < N; ++i) v[i] += b[i] + r[i];
        store(y + at, v);
    }
};

}  // namespace

template <class T>
void run(const Zero& k, const Addresses& at, const LaunchContext& context) {
    T* y = as<T>(at[0]);
    run_flat<Move<T>::N>("zero", k.elements, context, Move<T>{nullptr, y, is_aligned(y)});
}

template <class T>
void run(const Copy& k, const Addresses& at, const LaunchContext& context) {
    const T* x = as<const T>(at[0]);
    T* y = as<T>(at[1]);
    run_flat<Move<T>::N>("copy", k.elements, context, Move<T>{x, y, is_aligned(x, y)});
}

template <class T>
void run(const Add& k, const Addresses& at, const LaunchContext& context) {
    T* y = as<T>(at[0]);
    const T* x = as<const T>(at[1]);
    run_flat<kPerWords<T>>("add", k.elements, context, Sum<T>{y, x, is_aligned(x, y)});
}

template <class T>
void run(const BiasResidual& k, const Addresses& at, const LaunchContext& context) {
    T* y = as<T>(at[0]);
    const T *bias = as<const T>(at[1]), *residual = as<const T>(at[2]);
    with_vectors<T>(
        k.hidden,
        [&]<int N>() {
            run_matrix<N>("bias_residual", k.rows, k.hidden, context,
                          AddBiasResidual<T, N>{k.hidden, y, bias, residual});
        },
        y, bias, residual);
}

SHARDSCOPE_INSTANTIATE(Zero);
SHARDSCOPE_INSTANTIATE(Copy);
SHARDSCOPE_INSTANTIATE(Add);
SHARDSCOPE_INSTANTIATE(BiasResidual);

}  // namespace shardscope::cuda
