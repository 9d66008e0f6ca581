// Tiles, grids, threads and shared memory of our attention kernels: pure functions of the shape.
//
// Every kernel's grid is one-dimensional: the tiles of one head are neighbours, so that they share its keys
// and values in the cache, and of them the longest come first.
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/geometry.h"
#include "core/dtype.h"
#include "core/host_device.h"
#include "core/program/kernel.h"

namespace shardscope::cuda {

// Heads in the rows of qkv and y, as kernels are told of them; elements.
struct PackedHeads {
    int samples = 0, seq = 0, heads = 0, kv_heads = 0, dim = 0;
};
PackedHeads packed_heads(const Attention& kernel);
PackedHeads packed_heads(const AttentionGrad& kernel);

// Which of our kernels do it.
enum class AttentionTiles : std::uint8_t {
    tensor64,   // bf16 on tensor cores, heads of at most 64
    tensor128,  // heads of at most 128
    plain128,   // any storage: products in fp32, heads of at most 128
    plain256,   // heads of at most 256
};
inline constexpr int kWidestHead = 256;

// bf16 and flash on tensor cores wherever rows and heads begin at multiples of 16 bytes (`aligned`: the
// buffers do), everything else with plain tiles. Throws Error{invalid_input, "head-dim"} above
// kWidestHead, and "attention-size" for what 31-bit indices cannot count.
AttentionTiles tiles_for(const Attention& kernel, DType dtype, bool aligned);
AttentionTiles tiles_for(const AttentionGrad& kernel, DType dtype, bool aligned);

// Compile-time shape of the kernels, and the storage of their tiles.
struct TensorTile {
    int head;       // elements of a head, padded
    int warps;      // of a block
    int fragments;  // of 16 rows of the resident side that a warp holds
    int streamed;   // rows of a tile of the side that is looped over
    int resident_matrices,
        streamed_matrices;  // how many tiles of each side; streamed ones are doubled
    int rows() const { return warps * fragments * 16; }
};
// Resident: queries (q), streamed: keys (k, v).
inline constexpr TensorTile kForward64{64, 4, 2, 64, 1, 2};
inline constexpr TensorTile kForward128{128, 8, 1, 64, 1, 2};
// Resident: keys (k, v), streamed: queries (q, dy) with log-sum-exp and Σ dy·y of each.
inline constexpr TensorTile kKeyGrad64{64, 4, 1, 64, 2, 2};
inline constexpr TensorTile kKeyGrad128{128, 4, 1, 32, 2, 2};
// Resident: queries (q, dy), streamed: keys (k, v).
inline constexpr TensorTile kQueryGrad64{64, 4, 2, 32, 2, 2};
inline constexpr TensorTile kQueryGrad128{128, 4, 1, 64, 2, 2};

// Tiles of the streamed side: one is worked on while the next is copied.
inline constexpr int kStages = 2;

// Plain tiles: 16 × 16 threads for so many queries and as many keys. Rows in shared memory are odd in length,
// so that neighbouring rows begin in different banks.
SHARDSCOPE_HD constexpr int plain_tile(int head) { return head <= 128 ? 32 : 16; }
SHARDSCOPE_HD constexpr int plain_pitch(int elements) { return elements | 1; }
inline constexpr int kPlainSide = 16;

SHARDSCOPE_HD constexpr int tiles_of(int seq, int rows) { return (seq + rows - 1) / rows; }

Geometry forward_geometry(const PackedHeads& heads, AttentionTiles tiles);
Geometry key_grad_geometry(const PackedHeads& heads, AttentionTiles tiles);
Geometry query_grad_geometry(const PackedHeads& heads, AttentionTiles tiles);
// Σ dy·y of every query and head, before the tensor kernels: kDotLanes lanes for each.
inline constexpr int kDotLanes = 8, kDotThreads = 128;
Geometry dot_geometry(const PackedHeads& heads);

}  // namespace shardscope::cuda
