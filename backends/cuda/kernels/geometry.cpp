#include "backends/cuda/kernels/geometry.h"

#include <algorithm>

namespace shardscope::cuda {
namespace {

constexpr std::int64_t kThreads = 256;  // of a block, where nothing asks for another number

// Bytes of a block's shared memory that its reductions have beside what a geometry asks for, at most.
constexpr std::int64_t kReductionBytes = 1024;

std::int64_t divided_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::uint32_t within(std::int64_t wanted, std::int64_t most) {
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(wanted, 1, most));
}

// The least power of two that is at least `count`, up to `most`, which is one.
std::uint32_t power_of_two(std::int64_t count, std::int64_t most) {
    std::int64_t power = 1;
    while (power < count && power < most) power *= 2;
    return static_cast<std::uint32_t>(power);
}

// Whole warps for `count` threads, up to a block's limit.
std::uint32_t whole_warps(std::int64_t count) {
    return within(divided_up(std::max<std::int64_t>(count, 1), kWarp) * kWarp, kMostThreads);
}

}  // namespace

Geometry flat_geometry(std::int64_t elements, int per_vector, std::uint32_t most_blocks) {
    Geometry g;
    g.block.x = kThreads;
    g.grid.x = within(divided_up(elements, kThreads * per_vector), most_blocks);
    return g;
}

Geometry matrix_geometry(std::int64_t rows, std::int64_t vectors) {
    Geometry g;
    g.block.x = power_of_two(vectors, kThreads);
    g.block.y = static_cast<std::uint32_t>(kThreads) / g.block.x;
    g.grid.x = within(divided_up(rows, g.block.y), kMostGridX);
    g.grid.y = within(divided_up(vectors, g.block.x), kMostGridYZ);
    return g;
}

Geometry row_geometry(std::int64_t rows, std::int64_t vectors) {
    Geometry g;
    if (vectors <= kWarp * kKeptVectors) {
        g.block.x = kWarp;
        g.block.y = 4;
    } else {
        // At least two warps: block.x = 32 means that a warp has the row for itself.
        g.block.x = std::clamp<std::uint32_t>(whole_warps(divided_up(vectors, kKeptVectors)),
                                              2 * kWarp, kMostRowThreads);
    }
    g.grid.x = within(divided_up(rows, g.block.y), kMostGridX);
    return g;
}

std::int64_t row_bytes(std::int64_t columns, int element_bytes) {
    return divided_up(columns * element_bytes, 16) * 16 + 16;
}

Geometry logits_geometry(std::int64_t rows, std::int64_t columns, int element_bytes,
                         const DeviceShape& device) {
    constexpr std::int64_t kElementsPerThread = 32;
    Geometry g;
    const std::int64_t bytes = row_bytes(columns, element_bytes);
    const bool fits = bytes + kReductionBytes <= device.shared_per_block;
    if (fits) g.shared_bytes = static_cast<std::uint32_t>(bytes);
    g.block.x = std::min(whole_warps(divided_up(columns, kElementsPerThread)),
                         fits ? kMostThreads : kMostLogitsThreads);
    // Rows are many more than blocks run at once, so that the last ones leave few multiprocessors idle.
    g.grid.x = within(
        rows, std::min<std::int64_t>(kMostPartials, std::int64_t{32} * device.multiprocessors));
    return g;
}

Geometry head_geometry(std::int64_t rows, std::int64_t heads, std::int64_t vectors) {
    Geometry g;
    g.block.x = power_of_two(vectors, kWarp);
    const auto most = static_cast<std::uint32_t>(kThreads) / g.block.x;
    const std::uint32_t per_warp = kWarp / g.block.x;
    const auto wanted = within(heads, most);
    g.block.y = (wanted + per_warp - 1) / per_warp * per_warp;
    g.grid.x = within(rows, kMostGridX);
    return g;
}

ColumnGeometry column_geometry(std::int64_t rows, std::int64_t columns, int per_vector, int sums,
                               std::int64_t scratch_bytes, const DeviceShape& device) {
    constexpr std::int64_t kRowsPerThread = 8;  // fewer are not worth a partial sum
    const std::int64_t vectors = divided_up(columns, per_vector);
    ColumnGeometry g;
    g.sum.block.x = power_of_two(vectors, kWarp);
    g.sum.block.y = static_cast<std::uint32_t>(kThreads) / g.sum.block.x;
    g.sum.grid.x = within(divided_up(vectors, g.sum.block.x), kMostGridX);
    const std::int64_t wanted = divided_up(std::int64_t{4} * device.multiprocessors, g.sum.grid.x);
    const std::int64_t useful = divided_up(rows, g.sum.block.y * kRowsPerThread);
    const std::int64_t fitting =
        scratch_bytes / (columns * sums * static_cast<std::int64_t>(sizeof(float)));
    const std::int64_t parts = within(std::min({wanted, useful, fitting}), kMostGridYZ);
    g.rows_per_part = std::max<std::int64_t>(1, divided_up(rows, parts));
    g.parts = static_cast<int>(std::max<std::int64_t>(1, divided_up(rows, g.rows_per_part)));
    g.sum.grid.y = static_cast<std::uint32_t>(g.parts);
    g.sum.shared_bytes = static_cast<std::uint32_t>(kThreads * per_vector * sums * 4);
    g.finish.block.x = kWarp;
    g.finish.block.y = 8;
    g.finish.grid.x = within(divided_up(columns, kWarp), kMostGridX);
    g.finish.grid.y = static_cast<std::uint32_t>(sums);
    return g;
}

std::int64_t partial_bytes(const ColumnGeometry& geometry, std::int64_t columns, int sums) {
    return geometry.parts * columns * sums * static_cast<std::int64_t>(sizeof(float));
}

Geometry sum_geometry(std::int64_t elements, int per_vector, const DeviceShape& device) {
    const std::int64_t most =
        std::min<std::int64_t>(kMostPartials, std::int64_t{8} * device.multiprocessors);
    return flat_geometry(elements, per_vector, static_cast<std::uint32_t>(most));
}

Geometry finish_sum_geometry() {
    Geometry g;
    g.block.x = kMostThreads;
    return g;
}

EmbeddingGeometry embedding_geometry(std::int64_t rows, std::int64_t vocab, std::int64_t hidden,
                                     int per_vector) {
    constexpr std::uint32_t kWarps = 8;
    const std::int64_t chunks = divided_up(hidden, std::int64_t{kWarp} * per_vector);
    EmbeddingGeometry g;
    g.clear = flat_geometry(vocab + 2, 1);
    g.rows = flat_geometry(rows, 1);
    g.tokens = flat_geometry(vocab, 1);
    g.short_lists.block = {kWarp, kWarps, 1};
    g.short_lists.grid.x = within(divided_up(vocab, kWarps), kMostGridX);
    g.short_lists.grid.y = within(chunks, kMostGridYZ);
    g.long_lists.block = {kWarp, kWarps, 1};
    g.long_lists.grid.x = within(rows / (kShortList + 1), kMostGridX);  // there cannot be more
    g.long_lists.grid.y = g.short_lists.grid.y;
    // Counters and two more numbers; where lists begin; which are long; the lists.
    g.scratch_bytes = 4 * ((vocab + 2) + vocab + (rows / (kShortList + 1) + 1) + rows);
    return g;
}

Geometry optimizer_geometry(std::int64_t elements, int per_vector, const DeviceShape& device) {
    // A few blocks per multiprocessor take turns, since each works out the step's factors first.
    return flat_geometry(elements, per_vector,
                         static_cast<std::uint32_t>(8 * std::max(1, device.multiprocessors)));
}

}  // namespace shardscope::cuda
