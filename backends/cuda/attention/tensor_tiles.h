// Tiles of bf16 matrices in shared memory and their products on tensor cores: what the attention kernels
// are made of. A tile holds rows of kHead elements in chunks of 16 bytes; chunk c of row r lies at
// c ^ (r % 8), so that the eight rows of a small matrix are in different banks.
#pragma once

#include <cstdint>

#include "backends/cuda/attention/geometry.h"
#include "backends/cuda/kernels/device.h"

namespace shardscope::cuda {

inline constexpr int kChunk = 8;  // elements

// A 16 × 16 operand of multiply_add as it lies in its registers, and sums of 16 × 8.
struct LeftFragment {
    std::uint32_t words[4];
};

template <int kHead>
SHARDSCOPE_DEVICE int chunk_at(int row, int chunk) {
    return row * kHead + ((chunk ^ (row % 8)) * kChunk);
}

// Starts to copy rows first … first + kRows − 1 of a head (row 0 at `head`, rows `stride` elements apart)
// to a tile; rows from `end` on and elements from `dim` on become zero.
template <int kRows, int kHead, int kThreads>
SHARDSCOPE_DEVICE void copy_tile(Bf16* tile, const Bf16* head, std::int64_t stride, int first,
                                 int end, int dim) {
    constexpr int kChunks = kHead / kChunk, kStep = kThreads / kChunks;
    static_assert(kThreads % kChunks == 0 && kStep % 8 == 0 && kRows % kStep == 0);
    const int row = thread_index() / kChunks, chunk = thread_index() % kChunks;
    const bool inside = chunk * kChunk < dim;
    const Bf16* from = head + (first + row) * stride + chunk * kChunk;
    Bf16* to = tile + chunk_at<kHead>(row, chunk);
#pragma unroll
    for (int i = 0; i < kRows / kStep; ++i) {
        const bool valid = inside && first + row + i * kStep < end;
        copy_async(to + i * kStep * kHead, valid ? from + i * kStep * stride : head, valid);
    }
}

// Rows row … row + 15, elements 16·step … 16·step + 15 of a tile as the left operand.
template <int kHead>
SHARDSCOPE_DEVICE void load_left(std::uint32_t (&to)[4], const Bf16* tile, int row, int step) {
    const int lane = lane_index();
    load_matrices(to, tile + chunk_at<kHead>(row + lane % 16, 2 * step + lane / 16));
}
// Two right operands of 16 × 8: the tile's rows are the product's columns (row … row + 7, then the next
// eight), its elements 16·step … are summed over.
template <int kHead>
SHARDSCOPE_DEVICE void load_right(std::uint32_t (&to)[4], const Bf16* tile, int row, int step) {
    const int lane = lane_index();
    load_matrices(to,
                  tile + chunk_at<kHead>(row + lane % 8 + lane / 16 * 8, 2 * step + lane / 8 % 2));
}
// Two right operands of 16 × 8: the tile's elements 16·step … are the product's columns, its rows
// row … row + 15 are summed over.
template <int kHead>
SHARDSCOPE_DEVICE void load_right_transposed(std::uint32_t (&to)[4], const Bf16* tile, int row,
                                             int step) {
    const int lane = lane_index();
    load_matrices_transposed(to, tile + chunk_at<kHead>(row + lane % 16, 2 * step + lane / 16));
}

SHARDSCOPE_DEVICE void multiply_pair(float (&low)[4], float (&high)[4],
                                     const std::uint32_t (&left)[4],
                                     const std::uint32_t (&right)[4]) {
    const std::uint32_t first[2] = {right[0], right[1]}, second[2] = {right[2], right[3]};
    multiply_add(low, left, first);
    multiply_add(high, left, second);
}

// sums[f][j] := left · rightᵀ: rows are those of fragment f of the tile `left` from `row` on, columns
// 8·j … the rows of the tile `right`; summed over the head.
template <int kHead, int kFragments, int kColumns>
SHARDSCOPE_DEVICE void multiply_rows(float (&sums)[kFragments][kColumns / 8][4], const Bf16* left,
                                     int row, const Bf16* right) {
#pragma unroll
    for (int f = 0; f < kFragments; ++f)
#pragma unroll
        for (int j = 0; j < kColumns / 8; ++j)
#pragma unroll
            for (int i = 0; i < 4; ++i) sums[f][j][i] = 0.0f;
// Unrolled in full, wide heads keep more addresses than there are registers.
#pragma unroll 2
    for (int step = 0; step < kHead / 16; ++step) {
        std::uint32_t a[kFragments][4];
#pragma unroll
        for (int f = 0; f < kFragments; ++f) load_left<kHead>(a[f], left, row + 16 * f, step);
#pragma unroll
        for (int j = 0; j < kColumns / 16; ++j) {
            std::uint32_t b[4];
            load_right<kHead>(b, right, 16 * j, step);
#pragma unroll
            for (int f = 0; f < kFragments; ++f)
                multiply_pair(sums[f][2 * j], sums[f][2 * j + 1], a[f], b);
        }
    }
}

// sums[f] += values[f] · right, `values` the fp32 results of multiply_rows, rounded to bf16 here; columns
// are the elements of a head.
template <int kHead, int kFragments, int kColumns>
SHARDSCOPE_DEVICE void multiply_values(float (&sums)[kFragments][kHead / 8][4],
                                       const float (&values)[kFragments][kColumns / 8][4],
                                       const Bf16* right) {
#pragma unroll
    for (int step = 0; step < kColumns / 16; ++step) {
        std::uint32_t a[kFragments][4];
#pragma unroll
        for (int f = 0; f < kFragments; ++f) {
            const auto& left = values[f][2 * step];
            const auto& next = values[f][2 * step + 1];
            a[f][0] = pack_bf16(left[0], left[1]);
            a[f][1] = pack_bf16(left[2], left[3]);
            a[f][2] = pack_bf16(next[0], next[1]);
            a[f][3] = pack_bf16(next[2], next[3]);
        }
#pragma unroll
        for (int j = 0; j < kHead / 16; ++j) {
            std::uint32_t b[4];
            load_right_transposed<kHead>(b, right, 16 * step, j);
#pragma unroll
            for (int f = 0; f < kFragments; ++f)
                multiply_pair(sums[f][2 * j], sums[f][2 * j + 1], a[f], b);
        }
    }
}

// One fragment's sums, times `factor` of its rows g and g + 8, to rows row + … of a head in global memory;
// rows from `end` on and elements from `dim` on (a multiple of 8) do not exist.
template <int kHead>
SHARDSCOPE_DEVICE void store_rows(Bf16* head, std::int64_t stride, int row, int end, int dim,
                                  const float (&sums)[kHead / 8][4], float first, float second) {
    const int g = lane_index() / 4, t = lane_index() % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int at = row + g + 8 * half;
        if (at >= end) continue;
        const float factor = half == 0 ? first : second;
        auto* to = reinterpret_cast<std::uint32_t*>(head + at * stride);
#pragma unroll
        for (int j = 0; j < kHead / 8; ++j)
            if (8 * j < dim)
                to[4 * j + t] =
                    pack_bf16(sums[j][2 * half] * factor, sums[j][2 * half + 1] * factor);
    }
}

// ---- where a head lies ----

SHARDSCOPE_DEVICE std::int64_t qkv_stride(const PackedHeads& h) {
    return std::int64_t{h.heads + 2 * h.kv_heads} * h.dim;
}
SHARDSCOPE_DEVICE std::int64_t y_stride(const PackedHeads& h) {
    return std::int64_t{h.heads} * h.dim;
}
// Of `place` within a row of qkv: query head, or heads + key head, or heads + kv_heads + value head.
SHARDSCOPE_DEVICE std::int64_t qkv_offset(const PackedHeads& h, int sample, int place) {
    return std::int64_t{sample} * h.seq * qkv_stride(h) + std::int64_t{place} * h.dim;
}
SHARDSCOPE_DEVICE std::int64_t y_offset(const PackedHeads& h, int sample, int head) {
    return std::int64_t{sample} * h.seq * y_stride(h) + std::int64_t{head} * h.dim;
}
// Of the first query, in the statistics.
SHARDSCOPE_DEVICE std::int64_t query_offset(const PackedHeads& h, int sample, int head) {
    return (std::int64_t{sample} * h.heads + head) * h.seq;
}

// The log of e to base 2: exponentials are powers of two on the hardware.
inline constexpr float kLog2e = 1.4426950408889634f;
inline constexpr float kLn2 = 0.6931471805599453f;

}  // namespace shardscope::cuda
