// Linear layers: one matrix multiply, then what is fused to it: in one pass over the rows, or for bf16
// in every tile before it is rounded.
#include "backends/cpu/kernels/activation_functions.h"
#include "backends/cpu/kernels/column_sums.h"
#include "backends/cpu/kernels/gemm_tiles.h"
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

SHARDSCOPE_CLONES void tile_epilogue(const Linear& k, const Tile& tile, const Bf16* bias,
                                     const Bf16* residual, Bf16* y, Bf16* pre) {
    for (std::int64_t r = 0; r < tile.rows; ++r) {
        float* line = tile.line(r);
        const std::int64_t at = (tile.row + r) * k.out + tile.column, n = tile.columns;
        if (bias) {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) line[i] += bias[tile.column + i];
        }
        if (pre) activate(Activation::none, line, pre + at, n);
        activate(k.activation, line, line, n);
        if (residual) {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) line[i] += residual[at + i];
        }
        activate(Activation::none, line, y + at, n);
    }
}

template <class T>
SHARDSCOPE_CLONES void times_derivative(const LinearInputGrad& k, const T* aux, T* dx) {
    activate_grad(k.activation, dx, aux, dx, k.rows * k.in);
}

SHARDSCOPE_CLONES void tile_derivative(const LinearInputGrad& k, const Tile& tile, const Bf16* aux,
                                       Bf16* dx) {
    for (std::int64_t r = 0; r < tile.rows; ++r) {
        const std::int64_t at = (tile.row + r) * k.in + tile.column;
        activate_grad(k.activation, tile.line(r), aux ? aux + at : nullptr, dx + at, tile.columns);
    }
}

template <class T, class G>
SHARDSCOPE_CLONES void bias_gradient(const LinearWeightGrad& k, const T* dy, G* db) {
    column_sums(k.rows, k.out, k.accumulate, db, [dy, out = k.out](std::int64_t r, std::int64_t c) {
        return Real<T>(dy[r * out + c]);
    });
}

}  // namespace

template <class T>
void run(const Linear& k, const Addresses& at, Team&) {
    const Matrix<T> x{as<T>(at[0]), k.in}, w{as<T>(at[1]), k.in, true};
    const T *bias = as<T>(at[2]), *residual = as<T>(at[3]);
    T *y = as<T>(at[4]), *pre = as<T>(at[5]);
    if constexpr (kStoresExactly<T>) {
        T* product = pre ? pre : y;
        gemm<T>(k.rows, k.out, k.in, T(1), x, w, T(0), product, k.out);
        if (k.bias || residual || k.activation != Activation::none)
            epilogue(k, product, bias, residual, y, pre);
    } else {
        for_each_tile(k.rows, k.out, k.in, 1.0f, x, w,
                      [&](const Tile& tile) { tile_epilogue(k, tile, bias, residual, y, pre); });
    }
}

template <class T>
void run(const LinearInputGrad& k, const Addresses& at, Team&) {
    const Matrix<T> dy{as<T>(at[0]), k.out}, w{as<T>(at[1]), k.in};
    const T* aux = as<T>(at[2]);
    T* dx = as<T>(at[3]);
    if constexpr (kStoresExactly<T>) {
        gemm<T>(k.rows, k.in, k.out, T(1), dy, w, T(0), dx, k.in);
        if (k.activation != Activation::none) times_derivative(k, aux, dx);
    } else {
        for_each_tile(k.rows, k.in, k.out, 1.0f, dy, w,
                      [&](const Tile& tile) { tile_derivative(k, tile, aux, dx); });
    }
}

template <class T, class G>
void run(const LinearWeightGrad& k, const Addresses& at, Team&) {
    const T *x = as<T>(at[0]), *dy = as<T>(at[1]);
    multiply(k.out, k.in, k.rows, Real<G>(1), Matrix<T>{dy, k.out, true}, Matrix<T>{x, k.in},
             k.accumulate, as<G>(at[2]), k.in);
    if (k.bias) bias_gradient(k, dy, as<G>(at[3]));
}

SHARDSCOPE_INSTANTIATE(Linear);
SHARDSCOPE_INSTANTIATE(LinearInputGrad);
SHARDSCOPE_INSTANTIATE_GRADIENT(LinearWeightGrad);

}  // namespace shardscope::cpu
