#include "backends/arithmetic/activation.h"
#include "backends/cuda/kernels/flat.h"
#include "backends/cuda/matmul/epilogue.h"

namespace shardscope::cuda {
namespace {

struct Identity {
    SHARDSCOPE_DEVICE static float value(float x) { return x; }
};

template <class T, int N, class Function>
struct LinearEpilogue {
    std::int64_t columns;
    const T *product, *bias, *residual;
    T *y, *pre;

    SHARDSCOPE_DEVICE void operator()(std::int64_t row, std::int64_t column) const {
        const std::int64_t at = row * columns + column;
        float v[N], other[N];
        load(product + at, v);
        if (bias) {
            load(bias + column, other);
#pragma unroll
            for (int i = 0; i < N; ++i) v[i] += other[i];
        }
        if (pre) store(pre + at, v);
#pragma unroll
        for (int i = 0; i < N; ++i) v[i] = Function::value(v[i]);
        if (residual) {
            load(residual + at, other);
#pragma unroll
            for (int i = 0; i < N; ++i) v[i] += other[i];
        }
        store(y + at, v);
    }
};

}  // namespace

template <class T>
void linear_epilogue(const Linear& k, const T* product, const T* bias, const T* residual, T* y,
                     T* pre, const LaunchContext& context) {
    const auto run = [&]<class Function>() {
        with_vectors<T>(
            k.out,
            [&]<int N>() {
                run_matrix<N>(
                    "linear_epilogue", k.rows, k.out, context,
                    LinearEpilogue<T, N, Function>{k.out, product, bias, residual, y, pre});
            },
            product, bias, residual, y, pre);
    };
    switch (k.activation) {
        case Activation::none:
            return run.template operator()<Identity>();
        case Activation::relu:
            return run.template operator()<Relu<DeviceMath>>();
        case Activation::gelu:
            return run.template operator()<GeluTanh<DeviceMath>>();
        case Activation::gelu_erf:
            return run.template operator()<GeluErf<DeviceMath>>();
    }
}

template void linear_epilogue<float>(const Linear&, const float*, const float*, const float*,
                                     float*, float*, const LaunchContext&);
template void linear_epilogue<Bf16>(const Linear&, const Bf16*, const Bf16*, const Bf16*, Bf16*,
                                    Bf16*, const LaunchContext&);

}  // namespace shardscope::cuda
