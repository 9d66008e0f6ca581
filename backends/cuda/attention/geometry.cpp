#include "backends/cuda/attention/geometry.h"

#include <limits>
#include <string>

#include "core/error.h"

namespace shardscope::cuda {
namespace {

template <class Kernel>
PackedHeads packed(const Kernel& k) {
    const auto fits = [](std::int64_t n) { return n <= std::numeric_limits<int>::max() / 2; };
    // Blocks are counted in 31 bits; no tile has fewer than 16 rows.
    if (!fits(k.seq) || !fits((k.heads + 2 * k.kv_heads) * k.head_dim) ||
        !fits(k.samples * k.heads * ((k.seq + 15) / 16)))
        throw Error("attention-size",
                    "attention over " + std::to_string(k.samples) + " samples, " +
                        std::to_string(k.heads) + " heads and " + std::to_string(k.seq) +
                        " positions has more tiles than the cuda backend counts",
                    "use a smaller micro-batch or a shorter sequence");
    return {static_cast<int>(k.samples), static_cast<int>(k.seq), static_cast<int>(k.heads),
            static_cast<int>(k.kv_heads), static_cast<int>(k.head_dim)};
}

template <class Kernel>
AttentionTiles tiles(const Kernel& k, DType dtype, bool aligned) {
    if (k.head_dim > kWidestHead)
        throw Error("head-dim",
                    "a head of attention has " + std::to_string(k.head_dim) +
                        " elements; the cuda backend's kernels take at most " +
                        std::to_string(kWidestHead),
                    "use more heads");
    const bool rows_aligned = aligned && k.head_dim % 8 == 0;
    if (dtype == DType::bf16 && k.kind == AttentionKind::flash && rows_aligned) {
        if (k.head_dim <= 64) return AttentionTiles::tensor64;
        if (k.head_dim <= 128) return AttentionTiles::tensor128;
    }
    return k.head_dim <= 128 ? AttentionTiles::plain128 : AttentionTiles::plain256;
}

std::uint32_t blocks(const PackedHeads& h, int heads, int rows) {
    return static_cast<std::uint32_t>(tiles_of(h.seq, rows) * heads * h.samples);
}

Geometry tensor_geometry(const PackedHeads& h, int heads, const TensorTile& tile, int floats) {
    const int elements = tile.head * (tile.rows() * tile.resident_matrices +
                                      2 * tile.streamed * tile.streamed_matrices);
    return {{blocks(h, heads, tile.rows()), 1, 1},
            {static_cast<std::uint32_t>(tile.warps * kWarp), 1, 1},
            static_cast<std::uint32_t>(2 * elements + 4 * floats)};
}

Geometry plain_geometry(const PackedHeads& h, int heads, AttentionTiles tiles) {
    const int rows = plain_tile(tiles == AttentionTiles::plain128 ? 128 : 256);
    // Four tiles of rows, two of scores and their gradients; see plain.cu.
    const int floats = 4 * rows * plain_pitch(h.dim) + 2 * rows * plain_pitch(rows);
    return {{blocks(h, heads, rows), 1, 1},
            {kPlainSide, kPlainSide, 1},
            static_cast<std::uint32_t>(4 * floats)};
}

// The tile of these tensor kernels; `floats` are kept beside the matrices.
Geometry geometry(const PackedHeads& h, int heads, AttentionTiles tiles, const TensorTile& narrow,
                  const TensorTile& wide, int floats_per_row) {
    if (tiles == AttentionTiles::tensor64)
        return tensor_geometry(h, heads, narrow, floats_per_row * narrow.streamed);
    if (tiles == AttentionTiles::tensor128)
        return tensor_geometry(h, heads, wide, floats_per_row * wide.streamed);
    return plain_geometry(h, heads, tiles);
}

}  // namespace

PackedHeads packed_heads(const Attention& k) { return packed(k); }
PackedHeads packed_heads(const AttentionGrad& k) { return packed(k); }

AttentionTiles tiles_for(const Attention& k, DType dtype, bool aligned) {
    return tiles(k, dtype, aligned);
}
AttentionTiles tiles_for(const AttentionGrad& k, DType dtype, bool aligned) {
    return tiles(k, dtype, aligned);
}

Geometry forward_geometry(const PackedHeads& h, AttentionTiles tiles) {
    return geometry(h, h.heads, tiles, kForward64, kForward128, 0);
}
Geometry key_grad_geometry(const PackedHeads& h, AttentionTiles tiles) {
    return geometry(h, h.kv_heads, tiles, kKeyGrad64, kKeyGrad128, 2 * kStages);
}
Geometry query_grad_geometry(const PackedHeads& h, AttentionTiles tiles) {
    return geometry(h, h.heads, tiles, kQueryGrad64, kQueryGrad128, 0);
}

Geometry dot_geometry(const PackedHeads& h) {
    const std::int64_t items = std::int64_t{h.samples} * h.seq * h.heads;
    constexpr int kItems = kDotThreads / kDotLanes;
    return {
        {static_cast<std::uint32_t>((items + kItems - 1) / kItems), 1, 1}, {kDotThreads, 1, 1}, 0};
}

}  // namespace shardscope::cuda
