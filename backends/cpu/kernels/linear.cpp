// Linear layers: one matrix multiply, then what is fused to it in one pass over the rows.
#include "backends/cpu/kernels/activation_functions.h"
#include "backends/cpu/kernels/column_sums.h"
#include "backends/cpu/kernels/gemm.h"
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu {
namespace {

// y = act(product + bias) + residual. `pre` (null: not wanted) keeps the activation's argument and
// may be `product` itself, as may y.
template <class T>
SHARDSCOPE_CLONES void epilogue(const Linear& k, const T* product, const T* bias, const T* residual,
                                T* y, T* pre) {
    for (std::int64_t r = 0; r < k.rows; ++r) {
        const std::int64_t row = r * k.out;
        if (bias && pre) {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < k.out; ++i) {
                pre[row + i] = product[row + i] + bias[i];
            }
            activate(k.activation, pre + row, y + row, k.out);
        } else if (bias) {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < k.out; ++i) y[row + i] = product[row + i] + bias[i];
            activate(k.activation, y + row, y + row, k.out);
        } else {
            activate(k.activation, product + row, y + row, k.out);
        }
        if (residual) {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < k.out; ++i) y[row + i] += residual[row + i];
        }
    }
}

template <class T>
SHARDSCOPE_CLONES void times_derivative(const LinearInputGrad& k, const T* aux, T* dx) {
    activate_grad(k.activation, dx, aux, dx, k.rows * k.in);
}

template <class T>
SHARDSCOPE_CLONES void bias_gradient(const LinearWeightGrad& k, const T* dy, T* db) {
    column_sums(k.rows, k.out, k.accumulate, db,
                [dy, out = k.out](std::int64_t r, std::int64_t c) { return dy[r * out + c]; });
}

}  // namespace

template <class T>
void run(const Linear& k, const Addresses& at) {
    const T* residual = as<T>(at[3]);
    T *y = as<T>(at[4]), *pre = as<T>(at[5]);
    T* product = pre ? pre : y;
    gemm<T>(k.rows, k.out, k.in, T(1), {as<T>(at[0]), k.in}, {as<T>(at[1]), k.in, true}, T(0),
            product, k.out);
    if (k.bias || residual || k.activation != Activation::none)
        epilogue(k, product, as<T>(at[2]), residual, y, pre);
}

template <class T>
void run(const LinearInputGrad& k, const Addresses& at) {
    T* dx = as<T>(at[3]);
    gemm<T>(k.rows, k.in, k.out, T(1), {as<T>(at[0]), k.out}, {as<T>(at[1]), k.in}, T(0), dx, k.in);
    if (k.activation != Activation::none) times_derivative(k, as<T>(at[2]), dx);
}

template <class T>
void run(const LinearWeightGrad& k, const Addresses& at) {
    const T *x = as<T>(at[0]), *dy = as<T>(at[1]);
    gemm<T>(k.out, k.in, k.rows, T(1), {dy, k.out, true}, {x, k.in}, k.accumulate ? T(1) : T(0),
            as<T>(at[2]), k.in);
    if (k.bias) bias_gradient(k, dy, as<T>(at[3]));
}

SHARDSCOPE_INSTANTIATE(Linear);
SHARDSCOPE_INSTANTIATE(LinearInputGrad);
SHARDSCOPE_INSTANTIATE(LinearWeightGrad);

}  // namespace shardscope::cpu
