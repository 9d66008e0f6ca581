#include "backends/cpu/kernels/gemm_tiles.h"

#include <memory>

#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu::tiles {
namespace {

template <class X, class To>
SHARDSCOPE_CLONES void convert(const X* from, std::int64_t stride, std::int64_t rows,
                               std::int64_t columns, To* to) {
    for (std::int64_t r = 0; r < rows; ++r) {
        const X* in = from + r * stride;
        To* out = to + r * columns;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < columns; ++i) out[i] = Bf16(in[i]);
    }
}

template <class C>
SHARDSCOPE_CLONES void store_lines(const Tile& tile, bool accumulate, C* c, std::int64_t stride) {
    for (std::int64_t r = 0; r < tile.rows; ++r) {
        const float* in = tile.line(r);
        C* out = c + (tile.row + r) * stride + tile.column;
        if (accumulate) {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < tile.columns; ++i) out[i] = out[i] + in[i];
        } else {
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < tile.columns; ++i) out[i] = in[i];
        }
    }
}

SHARDSCOPE_CLONES void scale_lines(const Tile& tile, float factor) {
    for (std::int64_t r = 0; r < tile.rows; ++r) {
        float* line = tile.line(r);
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < tile.columns; ++i) line[i] *= factor;
    }
}

}  // namespace

Panels& of_this_thread() {
    thread_local const auto panels = std::make_unique<Panels>();
    return *panels;
}

void scale(const Tile& tile, float factor) { scale_lines(tile, factor); }

template <class X, class To>
Matrix<To> pack(Matrix<X> x, std::int64_t row, std::int64_t column, std::int64_t rows,
                std::int64_t columns, To* to) {
    if (x.transposed) {
        std::swap(row, column);
        std::swap(rows, columns);
    }
    convert(x.data + row * x.stride + column, x.stride, rows, columns, to);
    return {to, columns, x.transposed};
}

template <class C>
void store(const Tile& tile, bool accumulate, C* c, std::int64_t c_stride) {
    store_lines(tile, accumulate, c, c_stride);
}

template Matrix<float> pack(Matrix<Bf16>, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                            float*);
template Matrix<float> pack(Matrix<float>, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                            float*);
template Matrix<Bf16> pack(Matrix<float>, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                           Bf16*);
template void store(const Tile&, bool, float*, std::int64_t);
template void store(const Tile&, bool, Bf16*, std::int64_t);

}  // namespace shardscope::cpu::tiles
