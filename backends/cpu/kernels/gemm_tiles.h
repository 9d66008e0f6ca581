// Matrix multiply of every storage type. bf16 is multiplied as a GPU's tensor cores do it: products of
// bf16 numbers (fp32 operands are rounded to bf16 first), sums in fp32. The library multiplies fp32,
// so operands are converted a panel at a time and the result comes tile by tile; the summed dimension
// is cut every kTileDepth only.
//
// Panels and tile are the calling thread's and stay for its next multiply: 192 KiB, because it is memory outside the plan.
#pragma once

#include <algorithm>
#include <cstdint>

#include "backends/cpu/kernels/gemm.h"
#include "backends/cpu/kernels/real.h"

namespace shardscope::cpu {

constexpr std::int64_t kTileSide = 128, kTileDepth = 128;

// Rows [row, row + rows) and columns [column, column + columns) of a product: finished sums, the
// user's to change until it returns.
struct Tile {
    std::int64_t row, column, rows, columns;
    float* sums;
    float* line(std::int64_t r) const { return sums + r * kTileSide; }
};

namespace tiles {

struct Panels {
    alignas(64) float a[kTileSide * kTileDepth];
    alignas(64) float b[kTileDepth * kTileSide];
    alignas(64) float sums[kTileSide * kTileSide];
};
Panels& of_this_thread();

// The part [row, row + rows) × [column, column + columns) of x as it reads, converted into `to`.
template <class X>
Matrix<float> pack(Matrix<X> x, std::int64_t row, std::int64_t column, std::int64_t rows,
                   std::int64_t columns, float* to);

// c[tile] (+)= the tile's sums, rounded once.
template <class C>
void store(const Tile& tile, bool accumulate, C* c, std::int64_t c_stride);

}  // namespace tiles

// Calls use(tile) for tiles that cover alpha · a[m, k] · b[k, n]; k ≥ 1.
template <class A, class B, class Use>
void for_each_tile(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, Matrix<A> a,
                   Matrix<B> b, const Use& use) {
    tiles::Panels& panels = tiles::of_this_thread();
    Matrix<float> right;
    for (std::int64_t j = 0; j < n; j += kTileSide)
        for (std::int64_t i = 0; i < m; i += kTileSide) {
            const Tile tile{i, j, std::min(kTileSide, m - i), std::min(kTileSide, n - j),
                            panels.sums};
            for (std::int64_t l = 0; l < k; l += kTileDepth) {
                const std::int64_t depth = std::min(kTileDepth, k - l);
                const auto left = tiles::pack(a, i, l, tile.rows, depth, panels.a);
                // A panel as deep as the whole product serves the tiles below as well.
                if (i == 0 || depth < k)
                    right = tiles::pack(b, l, j, depth, tile.columns, panels.b);
                gemm<float>(tile.rows, tile.columns, depth, alpha, left, right, l > 0 ? 1.0f : 0.0f,
                            tile.sums, kTileSide);
            }
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
