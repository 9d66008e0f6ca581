// Linear layers: one matrix multiply, and what is fused to it: in one pass over each panel of the result,
// which is still in a cache, or for bf16 in every tile before it is rounded.
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
SHARDSCOPE_CLONES void epilogue(const Linear& k, const Panel& panel, const T* product,
                                const T* bias, const T* residual, T* y, T* pre) {
    const std::int64_t n = panel.columns;
    for (std::int64_t r = panel.row; r < panel.row + panel.rows; ++r) {
        const std::int64_t at = r * k.out + panel.column;
        const T* add = bias + (bias ? panel.column : 0);
        if (bias && pre) {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) pre[at + i] = product[at + i] + add[i];
            activate(k.activation, pre + at, y + at, n);
        } else if (bias) {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) y[at + i] = product[at + i] + add[i];
            activate(k.activation, y + at, y + at, n);
        } else {
            activate(k.activation, product + at, y + at, n);
        }
        if (residual) {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) y[at + i] += residual[at + i];
        }
    }
}

// Rows and columns of a tile count within its panel.
SHARDSCOPE_CLONES void tile_epilogue(const Linear& k, const Panel& panel, const Tile& tile,
                                     const Bf16* bias, const Bf16* residual, Bf16* y, Bf16* pre) {
    const std::int64_t column = panel.column + tile.column, n = tile.columns;
    for (std::int64_t r = 0; r < tile.rows; ++r) {
        float* line = tile.line(r);
        const std::int64_t at = (panel.row + tile.row + r) * k.out + column;
        if (bias) {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) line[i] += bias[column + i];
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
SHARDSCOPE_CLONES void times_derivative(const LinearInputGrad& k, const Panel& panel, const T* aux,
                                        T* dx) {
    for (std::int64_t r = panel.row; r < panel.row + panel.rows; ++r) {
        const std::int64_t at = r * k.in + panel.column;
        activate_grad(k.activation, dx + at, aux + at, dx + at, panel.columns);
    }
}

SHARDSCOPE_CLONES void tile_derivative(const LinearInputGrad& k, const Panel& panel,
                                       const Tile& tile, const Bf16* aux, Bf16* dx) {
    for (std::int64_t r = 0; r < tile.rows; ++r) {
        const std::int64_t at = (panel.row + tile.row + r) * k.in + panel.column + tile.column;
        activate_grad(k.activation, tile.line(r), aux ? aux + at : nullptr, dx + at, tile.columns);
    }
}

template <class T, class G>
SHARDSCOPE_CLONES void bias_gradient(const LinearWeightGrad& k, Share share, const T* dy, G* db) {
    column_sums(k.rows, share, k.accumulate, db, [dy, out = k.out](std::int64_t r, std::int64_t c) {
        return Real<T>(dy[r * out + c]);
    });
}

}  // namespace

template <class T>
void run(const Linear& k, const Addresses& at, Team& team) {
    const Matrix<T> x{as<T>(at[0]), k.in}, w{as<T>(at[1]), k.in, true};
    const T *bias = as<T>(at[2]), *residual = as<T>(at[3]);
    T *y = as<T>(at[4]), *pre = as<T>(at[5]);
    divide_product(team, k.rows, k.out, k.in, [&](const Panel& p) {
        const Matrix<T> left = x.from(p.row, 0), right = w.from(0, p.column);
        if constexpr (kStoresExactly<T>) {
            T* product = pre ? pre : y;
            gemm<T>(p.rows, p.columns, k.in, T(1), left, right, T(0),
                    product + p.row * k.out + p.column, k.out);
            if (k.bias || residual || k.activation != Activation::none)
                epilogue(k, p, product, bias, residual, y, pre);
        } else {
            for_each_tile(p.rows, p.columns, k.in, 1.0f, left, right, [&](const Tile& tile) {
                tile_epilogue(k, p, tile, bias, residual, y, pre);
            });
        }
    });
}

template <class T>
void run(const LinearInputGrad& k, const Addresses& at, Team& team) {
    const Matrix<T> dy{as<T>(at[0]), k.out}, w{as<T>(at[1]), k.in};
    const T* aux = as<T>(at[2]);
    T* dx = as<T>(at[3]);
    divide_product(team, k.rows, k.in, k.out, [&](const Panel& p) {
        const Matrix<T> left = dy.from(p.row, 0), right = w.from(0, p.column);
        if constexpr (kStoresExactly<T>) {
            gemm<T>(p.rows, p.columns, k.out, T(1), left, right, T(0), dx + p.row * k.in + p.column,
                    k.in);
            if (k.activation != Activation::none) times_derivative(k, p, aux, dx);
        } else {
            for_each_tile(p.rows, p.columns, k.out, 1.0f, left, right,
                          [&](const Tile& tile) { tile_derivative(k, p, tile, aux, dx); });
        }
    });
}

template <class T, class G>
void run(const LinearWeightGrad& k, const Addresses& at, Team& team) {
    const T *x = as<T>(at[0]), *dy = as<T>(at[1]);
    const Matrix<T> left{dy, k.out, true}, right{x, k.in};
    divide_product(team, k.out, k.in, k.rows, [&](const Panel& p) {
        multiply(p.rows, p.columns, k.rows, Real<G>(1), left.from(p.row, 0),
                 right.from(0, p.column), k.accumulate, as<G>(at[2]) + p.row * k.in + p.column,
                 k.in);
    });
    if (k.bias)
        team.divide(k.out, kColumnShare,
                    [&](const Share& share) { bias_gradient(k, share, dy, as<G>(at[3])); });
}

SHARDSCOPE_INSTANTIATE(Linear);
SHARDSCOPE_INSTANTIATE(LinearInputGrad);
SHARDSCOPE_INSTANTIATE_GRADIENT(LinearWeightGrad);

}  // namespace shardscope::cpu
