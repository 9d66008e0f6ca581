// The attention kernels' grids cover every query and key of every head once, and their blocks fit every
// supported device.
#include <gtest/gtest.h>

#include "backends/cuda/attention/geometry.h"

namespace shardscope::cuda {
namespace {

constexpr AttentionTiles kAllTiles[] = {AttentionTiles::tensor64, AttentionTiles::tensor128,
                                        AttentionTiles::plain128, AttentionTiles::plain256};
// The least of what a block may ask for among the supported compute capabilities: 99 KiB on 8.6, 8.9 and
// 12.0 (CUDA C++ Programming Guide, table of technical specifications).
constexpr std::uint32_t kLeastShared = 99 << 10;

struct Rows {
    int forward, keys, queries;
};
Rows rows_of(AttentionTiles tiles) {
    switch (tiles) {
        case AttentionTiles::tensor64:
            return {kForward64.rows(), kKeyGrad64.rows(), kQueryGrad64.rows()};
        case AttentionTiles::tensor128:
            return {kForward128.rows(), kKeyGrad128.rows(), kQueryGrad128.rows()};
        case AttentionTiles::plain128:
            return {plain_tile(128), plain_tile(128), plain_tile(128)};
        case AttentionTiles::plain256:
            break;
    }
    return {plain_tile(256), plain_tile(256), plain_tile(256)};
}

void expect_covers(const Geometry& g, const PackedHeads& h, int heads, int rows) {
    const auto blocks = static_cast<std::int64_t>(g.grid.x) * g.grid.y * g.grid.z;
    const std::int64_t per_head = blocks / (std::int64_t{heads} * h.samples);
    EXPECT_EQ(per_head * heads * h.samples, blocks);
    EXPECT_GE(per_head * rows, h.seq);
    EXPECT_LT((per_head - 1) * rows, h.seq);
}

void expect_fits(const Geometry& g) {
    const std::uint32_t threads = g.block.x * g.block.y * g.block.z;
    EXPECT_LE(threads, kMostThreads);
    EXPECT_EQ(threads % kWarp, 0u);
    EXPECT_LE(g.grid.x, kMostGridX);
    EXPECT_GE(g.grid.x, 1u);
    EXPECT_LE(g.shared_bytes, kLeastShared);
}

TEST(AttentionGeometry, EveryRowIsOneBlocksAndBlocksFitEveryDevice) {
    for (const AttentionTiles tiles : kAllTiles)
        for (const int seq : {1, 16, 31, 64, 65, 127, 1000, 131072})
            for (const int kv_heads : {1, 4}) {
                const bool narrow = tiles == AttentionTiles::tensor64;
                const int dim = tiles == AttentionTiles::plain256 ? 256 : narrow ? 64 : 128;
                const PackedHeads h{3, seq, 8, kv_heads, dim};
                const Rows rows = rows_of(tiles);
                expect_covers(forward_geometry(h, tiles), h, h.heads, rows.forward);
                expect_covers(key_grad_geometry(h, tiles), h, h.kv_heads, rows.keys);
                expect_covers(query_grad_geometry(h, tiles), h, h.heads, rows.queries);
                expect_fits(forward_geometry(h, tiles));
                expect_fits(key_grad_geometry(h, tiles));
                expect_fits(query_grad_geometry(h, tiles));
            }
}

TEST(AttentionGeometry, DotsCoverEveryQueryOfEveryHead) {
    for (const int seq : {1, 5, 4096}) {
        const PackedHeads h{7, seq, 3, 1, 64};
        const Geometry g = dot_geometry(h);
        const std::int64_t lanes = std::int64_t{g.grid.x} * g.block.x;
        EXPECT_GE(lanes, std::int64_t{7} * seq * 3 * kDotLanes);
        EXPECT_LT(lanes - g.block.x, std::int64_t{7} * seq * 3 * kDotLanes);
        expect_fits(g);
    }
}

TEST(AttentionGeometry, TilesFollowStorageKindAndAlignment) {
    const Attention k{1, 8, 2, 1, 64};
    Attention unfused = k;
    unfused.kind = AttentionKind::unfused;
    EXPECT_EQ(tiles_for(k, DType::bf16, true), AttentionTiles::tensor64);
    EXPECT_EQ(tiles_for(k, DType::bf16, false), AttentionTiles::plain128);
    EXPECT_EQ(tiles_for(k, DType::fp32, true), AttentionTiles::plain128);
    EXPECT_EQ(tiles_for(unfused, DType::bf16, true), AttentionTiles::plain128);
    EXPECT_EQ(tiles_for(Attention{1, 8, 2, 1, 72}, DType::bf16, true), AttentionTiles::tensor128);
    EXPECT_EQ(tiles_for(Attention{1, 8, 2, 1, 65}, DType::bf16, true), AttentionTiles::plain128);
    EXPECT_EQ(tiles_for(Attention{1, 8, 2, 1, 136}, DType::bf16, true), AttentionTiles::plain256);
}

}  // namespace
}  // namespace shardscope::cuda
