// Matrix multiply of every storage type. bf16 is multiplied as a GPU's tensor cores do it: products of
// bf16 numbers (fp32 operands are rounded to bf16 first), sums in fp32, and results tile by tile. CPUs
// with instructions for that use them (gemm_bf16.h); for the others operands are converted to fp32 a panel
// at a time. The summed dimension is cut every kDepth… only.
//
// Panels and tile are the calling thread's and stay for its next multiply: 512 KiB, because it is memory
// outside the plan.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "backends/cpu/kernels/gemm.h"
#include "backends/cpu/kernels/gemm_bf16.h"
#include "backends/cpu/kernels/real.h"

namespace shardscope::cpu {

constexpr std::int64_t kTileSide = 256;
// Of panels in fp32; of panels in bf16, which take the same memory; of operands that need no panel.
constexpr std::int64_t kDepth = 128, kDepthBf16 = 256, kDepthInPlace = 512;

// Rows [row, row + rows) and columns [column, column + columns) of a product: finished sums, the
// user's to change until it returns.
struct Tile {
    std::int64_t row, column, rows, columns;
    float* sums;
    float* line(std::int64_t r) const { return sums + r * kTileSide; }
};

namespace tiles {

struct Panels {
    alignas(64) float a[kTileSide * kDepth];
    alignas(64) float b[kDepth * kTileSide];
    alignas(64) float sums[kTileSide * kTileSide];
};
Panels& of_this_thread();

// The part [row, row + rows) × [column, column + columns) of x as it reads, rounded to bf16 and stored
// as To, float or Bf16.
template <class X, class To>
Matrix<To> pack(Matrix<X> x, std::int64_t row, std::int64_t column, std::int64_t rows,
                std::int64_t columns, To* to);

// sums[tile] := factor · sums.
void scale(const Tile& tile, float factor);

// c[tile] (+)= the tile's sums, rounded once.
template <class C>
void store(const Tile& tile, bool accumulate, C* c, std::int64_t c_stride);

// x[row …, column …] in bf16: where it is, or rounded into the panel.
template <class X>
Matrix<Bf16> in_bf16(Matrix<X> x, std::int64_t row, std::int64_t column, std::int64_t rows,
                     std::int64_t columns, float* panel) {
    if constexpr (std::is_same_v<X, Bf16>)
        return x.from(row, column);
    else
        return pack(x, row, column, rows, columns, reinterpret_cast<Bf16*>(panel));
}

// The sums of one tile, by instructions for bf16.
template <class A, class B>
void sum_in_bf16(const Tile& tile, std::int64_t k, float alpha, Matrix<A> a, Matrix<B> b,
                 Panels& panels) {
    constexpr bool kInPlace = std::is_same_v<A, Bf16> && std::is_same_v<B, Bf16>;
    constexpr std::int64_t depth = kInPlace ? kDepthInPlace : kDepthBf16;
    for (std::int64_t l = 0; l < k; l += depth) {
        const std::int64_t deep = std::min(depth, k - l);
        const auto left = in_bf16(a, tile.row, l, tile.rows, deep, panels.a);
        const auto right = in_bf16(b, l, tile.column, deep, tile.columns, panels.b);
        gemm_bf16(tile.rows, tile.columns, deep, left, right, l > 0, tile.sums, kTileSide);
    }
    if (alpha != 1.0f) scale(tile, alpha);
}

// The same with operands converted to fp32. A right panel as deep as the whole product serves the tiles
// below as well; `right` keeps it.
template <class A, class B>
void sum_in_fp32(const Tile& tile, std::int64_t k, float alpha, Matrix<A> a, Matrix<B> b,
                 Panels& panels, Matrix<float>& right) {
    for (std::int64_t l = 0; l < k; l += kDepth) {
        const std::int64_t deep = std::min(kDepth, k - l);
        const auto left = pack(a, tile.row, l, tile.rows, deep, panels.a);
        if (tile.row == 0 || deep < k)
            right = pack(b, l, tile.column, deep, tile.columns, panels.b);
        gemm<float>(tile.rows, tile.columns, deep, alpha, left, right, l > 0 ? 1.0f : 0.0f,
                    tile.sums, kTileSide);
    }
}

}  // namespace tiles

// Calls use(tile) for tiles that cover alpha · a[m, k] · b[k, n]; k ≥ 1.
template <class A, class B, class Use>
void for_each_tile(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, Matrix<A> a,
                   Matrix<B> b, const Use& use) {
    tiles::Panels& panels = tiles::of_this_thread();
    const bool bf16 = multiplies_bf16();
    Matrix<float> right;
    for (std::int64_t j = 0; j < n; j += kTileSide)
        for (std::int64_t i = 0; i < m; i += kTileSide) {
            const Tile tile{i, j, std::min(kTileSide, m - i), std::min(kTileSide, n - j),
                            panels.sums};
            if (bf16)
                tiles::sum_in_bf16(tile, k, alpha, a, b, panels);
            else
                tiles::sum_in_fp32(tile, k, alpha, a, b, panels, right);
            use(tile);
        }
}

// c[m, n] = alpha · a[m, k] · b[k, n], or added to c. Without bf16 this is gemm().
template <class A, class B, class C>
void multiply(std::int64_t m, std::int64_t n, std::int64_t k, Real<C> alpha, Matrix<A> a,
              Matrix<B> b, bool accumulate, C* c, std::int64_t c_stride) {
    if constexpr (kStoresExactly<A> && kStoresExactly<B>)
        gemm<A>(m, n, k, alpha, a, b, accumulate ? A(1) : A(0), c, c_stride);
    else
        for_each_tile(m, n, k, alpha, a, b,
                      [=](const Tile& tile) { tiles::store(tile, accumulate, c, c_stride); });
}

}  // namespace shardscope::cpu
