// Launch geometry: limits hold at any size, and the steps that kernels take visit everything exactly once.
#include "backends/cuda/kernels/geometry.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace shardscope::cuda {
namespace {

using std::int64_t;

const DeviceShape kH100{132, 90, 227 << 10};
const DeviceShape kSmall{1, 80, 99 << 10};

// Sizes around what decides: warps, blocks, vectors; and far beyond any model.
const int64_t kSizes[] = {
    1,        2,   7,    31,   32,   33,   127,  128,     129,       255,
    256,      257, 1000, 1024, 4095, 4096, 4097, 1000003, 1LL << 31, (1LL << 33) + 5,
    1LL << 40};

::testing::AssertionResult within_limits(const Geometry& g) {
    const auto fail = [&](const char* what) {
        return ::testing::AssertionFailure()
               << what << ": grid " << g.grid.x << " " << g.grid.y << " " << g.grid.z << ", block "
               << g.block.x << " " << g.block.y << " " << g.block.z << ", shared "
               << g.shared_bytes;
    };
    if (g.grid.x < 1 || g.grid.y < 1 || g.grid.z < 1) return fail("an empty grid");
    if (g.grid.x > kMostGridX || g.grid.y > kMostGridYZ || g.grid.z > kMostGridYZ)
        return fail("the grid is too large");
    const std::uint64_t threads = std::uint64_t{g.block.x} * g.block.y * g.block.z;
    if (threads < 1 || threads > kMostThreads) return fail("the block is too large");
    if (threads % kWarp != 0) return fail("a block of parts of warps");
    if (g.shared_bytes > 227 * 1024) return fail("too much shared memory");
    return ::testing::AssertionSuccess();
}

// How often each of `count` things is visited by steps of `grid · block`, `per_thread` things each.
std::vector<int> visits(int64_t count, std::uint32_t grid, std::uint32_t block, int per_thread) {
    std::vector<int> seen(static_cast<std::size_t>(count));
    for (std::uint32_t b = 0; b < grid; ++b)
        for (std::uint32_t t = 0; t < block; ++t)
            for (int64_t first = (int64_t{b} * block + t) * per_thread; first < count;
                 first += int64_t{grid} * block * per_thread)
                for (int64_t i = first; i < std::min(first + per_thread, count); ++i)
                    ++seen[static_cast<std::size_t>(i)];
    return seen;
}
bool once(const std::vector<int>& seen) {
    return std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; });
}

TEST(CudaGeometry, FlatRanges) {
    for (const int width : {1, 4, 8, 16})
        for (const int64_t n : kSizes) {
            for (const Geometry& g :
                 {flat_geometry(n, width), optimizer_geometry(n, width, kH100),
                  sum_geometry(n, width, kH100), sum_geometry(n, width, kSmall)}) {
                EXPECT_TRUE(within_limits(g)) << n;
                if (n < 5000) {
                    EXPECT_TRUE(once(visits(n, g.grid.x, g.block.x, width))) << n;
                }
            }
            EXPECT_LE(sum_geometry(n, width, kH100).grid.x, kMostPartials);
            EXPECT_LE(optimizer_geometry(n, width, kH100).grid.x, 8u * 132);
        }
    EXPECT_EQ(flat_geometry(1LL << 50, 1).grid.x, kMostGridX);
    EXPECT_TRUE(within_limits(finish_sum_geometry()));
    // No block is without work.
    EXPECT_EQ(flat_geometry(2048, 8).grid.x, 1u);
    EXPECT_EQ(flat_geometry(2049, 8).grid.x, 2u);
}

TEST(CudaGeometry, Matrices) {
    for (const int64_t rows : kSizes)
        for (const int64_t vectors : kSizes) {
            const Geometry g = matrix_geometry(rows, vectors);
            EXPECT_TRUE(within_limits(g)) << rows << " " << vectors;
            if (rows > 5000 || vectors > 5000) continue;
            EXPECT_TRUE(once(visits(rows, g.grid.x, g.block.y, 1))) << rows;
            EXPECT_TRUE(once(visits(vectors, g.grid.y, g.block.x, 1))) << vectors;
        }
}

TEST(CudaGeometry, Rows) {
    for (const int64_t rows : kSizes)
        for (const int64_t vectors : kSizes) {
            const Geometry g = row_geometry(rows, vectors);
            EXPECT_TRUE(within_limits(g)) << rows << " " << vectors;
            // What group_sum() of norm.cu stands on: one warp, or all of the block.
            EXPECT_EQ(g.block.x == kWarp, g.block.y > 1);
            // A row that fits the registers of a block is not read twice.
            EXPECT_LE(g.block.x * g.block.y, kMostRowThreads);
            if (vectors <= kMostRowThreads * kKeptVectors) {
                EXPECT_GE(int64_t{g.block.x} * kKeptVectors, vectors);
            }
            if (rows < 5000) {
                EXPECT_TRUE(once(visits(rows, g.grid.x, g.block.y, 1)));
            }
        }
    EXPECT_EQ(row_geometry(10, 128).block.x, 32u);
    EXPECT_EQ(row_geometry(10, 129).block.x, 64u);
}

TEST(CudaGeometry, Logits) {
    for (const DeviceShape& device : {kH100, kSmall})
        for (const int64_t rows : kSizes)
            for (const int64_t classes : kSizes)
                for (const int bytes : {2, 4}) {
                    const Geometry g = logits_geometry(rows, classes, bytes, device);
                    EXPECT_TRUE(within_limits(g)) << rows << " " << classes;
                    EXPECT_LE(g.grid.x, kMostPartials);
                    EXPECT_LE(g.shared_bytes, device.shared_per_block);
                    if (g.shared_bytes == 0) {
                        EXPECT_LE(g.block.x, kMostLogitsThreads);
                    }
                    // The row fits wherever in 16 bytes it begins, or is not there at all.
                    if (g.shared_bytes > 0) {
                        EXPECT_GE(int64_t{g.shared_bytes}, (classes * bytes + 14 + 15) / 16 * 16);
                    }
                }
    EXPECT_GT(logits_geometry(1, 50257, 4, kH100).shared_bytes, 0u);
    // The block's reductions need some of it as well.
    for (int64_t classes = 115000; classes < 117000; ++classes) {
        EXPECT_LE(logits_geometry(1, classes, 2, kH100).shared_bytes + 1024,
                  kH100.shared_per_block);
    }
    EXPECT_EQ(logits_geometry(1, 128256, 2, kH100).shared_bytes, 0u);
    EXPECT_EQ(logits_geometry(1, 50257, 4, kSmall).shared_bytes, 0u);
}

TEST(CudaGeometry, Heads) {
    for (const int64_t heads : {1, 2, 3, 5, 12, 40, 257})
        for (const int64_t vectors : {1, 2, 3, 8, 10, 16, 31, 32, 33, 264}) {
            const Geometry g = head_geometry(7, heads, vectors);
            EXPECT_TRUE(within_limits(g)) << heads << " " << vectors;
            // Lanes of a head are lanes of one warp.
            EXPECT_EQ(kWarp % g.block.x, 0u);
            EXPECT_TRUE(once(visits(heads, 1, g.block.y, 1)));
            EXPECT_TRUE(once(visits(vectors, 1, g.block.x, 1)));
        }
}

TEST(CudaGeometry, Columns) {
    const int64_t scratch = int64_t{32} << 20;
    for (const DeviceShape& device : {kH100, kSmall})
        for (const int64_t rows : kSizes)
            for (const int64_t columns : {1LL, 7LL, 96LL, 768LL, 4096LL, 50257LL, 128256LL})
                for (const int sums : {1, 2}) {
                    const int width = columns % 8 == 0 ? 8 : 1;
                    const auto g = column_geometry(rows, columns, width, sums, scratch, device);
                    EXPECT_TRUE(within_limits(g.sum)) << rows << " " << columns;
                    EXPECT_TRUE(within_limits(g.finish)) << rows << " " << columns;
                    EXPECT_LE(g.sum.shared_bytes, 48u << 10);
                    EXPECT_LE(partial_bytes(g, columns, sums), scratch);
                    // Parts cover the rows, and none is empty.
                    EXPECT_GE(g.parts * g.rows_per_part, rows);
                    EXPECT_LT((g.parts - 1) * g.rows_per_part, rows);
                    EXPECT_GE(int64_t{g.sum.grid.x} * g.sum.block.x * width, columns);
                    EXPECT_GE(int64_t{g.finish.grid.x} * g.finish.block.x, columns);
                    EXPECT_EQ(g.finish.grid.y, static_cast<std::uint32_t>(sums));
                }
    // Many rows keep a large device busy.
    const auto g = column_geometry(65536, 768, 8, 2, scratch, kH100);
    EXPECT_GE(g.sum.grid.x * g.sum.grid.y, 4u * 132);
}

TEST(CudaGeometry, EmbeddingGradients) {
    for (const int64_t rows : {1LL, 32LL, 33LL, 65536LL, 1LL << 20})
        for (const int64_t vocab : {1LL, 50257LL, 262144LL})
            for (const int64_t hidden : {1LL, 768LL, 8192LL}) {
                const int width = hidden % 8 == 0 ? 8 : 1;
                const auto g = embedding_geometry(rows, vocab, hidden, width);
                for (const Geometry& part :
                     {g.clear, g.rows, g.tokens, g.short_lists, g.long_lists})
                    EXPECT_TRUE(within_limits(part)) << rows << " " << vocab << " " << hidden;
                EXPECT_TRUE(
                    once(visits(hidden, g.short_lists.grid.y, g.short_lists.block.x, width)));
                EXPECT_LE(g.scratch_bytes, int64_t{32} << 20);
                EXPECT_GE(g.scratch_bytes, 4 * (2 * vocab + rows));
            }
}

// The same on random sizes.
TEST(CudaGeometry, RandomSizes) {
    const auto seed = static_cast<std::uint64_t>(::testing::UnitTest::GetInstance()->random_seed());
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const auto size = [&] { return static_cast<int64_t>(random() >> (22 + random() % 42)) + 1; };
    for (int i = 0; i < 2000; ++i) {
        const int64_t a = size(), b = size();
        EXPECT_TRUE(within_limits(flat_geometry(a, 8)));
        EXPECT_TRUE(within_limits(matrix_geometry(a, b)));
        EXPECT_TRUE(within_limits(row_geometry(a, b)));
        EXPECT_TRUE(within_limits(logits_geometry(a, b, 2, kH100)));
        EXPECT_TRUE(within_limits(head_geometry(a, b, 16)));
    }
}

}  // namespace
}  // namespace shardscope::cuda
