// Grids, blocks and shared memory of every kernel: pure functions of the problem and the device, tested
// without one.
#pragma once

#include <cstdint>

namespace shardscope::cuda {

struct Extent {
    std::uint32_t x = 1, y = 1, z = 1;
};

struct Geometry {
    Extent grid, block;
    std::uint32_t shared_bytes = 0;  // dynamic shared memory of a block
};

// What launches depend on.
struct DeviceShape {
    int multiprocessors = 1;
    int compute_capability = 80;            // 10 · major + minor
    std::int64_t shared_per_block = 49152;  // that a block may ask for (opt-in limit), bytes
};

// CUDA's limits on every supported device.
inline constexpr std::uint32_t kMostThreads = 1024;  // of a block
inline constexpr std::uint32_t kMostGridX = 0x7FFFFFFFu;
inline constexpr std::uint32_t kMostGridYZ = 65535;
inline constexpr int kWarp = 32;

// Below, a vector is what a thread moves at once: 16 bytes of elements, or one element where addresses
// do not allow more. Kernels take steps of their whole grid until all is done, so a grid that a limit has
// cut is slower, not wrong.

// flat.h: a thread per vector of a flat range; `most_blocks` bounds the grid further.
Geometry flat_geometry(std::int64_t elements, int per_vector,
                       std::uint32_t most_blocks = kMostGridX);

// A thread per vector of a matrix: blocks of block.x vectors by block.y rows, rows along grid.x.
Geometry matrix_geometry(std::int64_t rows, std::int64_t vectors);

// Vectors that a thread of a row keeps in registers.
inline constexpr int kKeptVectors = 4;
// Threads of a row at most: the registers of a block are divided among them.
inline constexpr std::uint32_t kMostRowThreads = 256;
// norm.cu: a warp per row and block.y rows per block (block.x = 32), or a block per row (block.y = 1).
Geometry row_geometry(std::int64_t rows, std::int64_t vectors);

inline constexpr std::uint32_t kMostLogitsThreads = 512;  // where the row is not in shared memory
// loss.cu, vocabulary_loss.cu: a block per row at a time, few enough blocks for their sums to be added by
// one. Shared memory holds the row where the device has so much.
Geometry logits_geometry(std::int64_t rows, std::int64_t columns, int element_bytes,
                         const DeviceShape& device);
// Bytes of shared memory for a row that begins anywhere within 16 bytes.
std::int64_t row_bytes(std::int64_t columns, int element_bytes);

// head_norm.cu, rope.cu: a block per row, block.x lanes (a power of two, at most a warp) per head.
Geometry head_geometry(std::int64_t rows, std::int64_t heads, std::int64_t vectors);

// column_sums.h: rows in `parts` (grid.y), each summed by the block.y threads of a column's vector; then
// the parts by block.y threads for each of block.x columns.
struct ColumnGeometry {
    Geometry sum, finish;
    std::int64_t rows_per_part = 0;
    int parts = 0;
};
// `sums`: results per column. Partial sums, fp32, take partial_bytes(), at most scratch_bytes.
ColumnGeometry column_geometry(std::int64_t rows, std::int64_t columns, int per_vector, int sums,
                               std::int64_t scratch_bytes, const DeviceShape& device);
std::int64_t partial_bytes(const ColumnGeometry& geometry, std::int64_t columns, int sums);

// reduce.cu: blocks whose partial sums one block adds.
inline constexpr std::uint32_t kMostPartials = 4096;
Geometry sum_geometry(std::int64_t elements, int per_vector, const DeviceShape& device);
Geometry finish_sum_geometry();

// embedding.cu: the gradient of the table.
inline constexpr int kShortList = kWarp;  // rows of a token that one warp orders
inline constexpr int kLongList = 2048;  // … that a block orders; longer ones are found by a search
struct EmbeddingGeometry {
    Geometry clear, rows, tokens;  // of counters; of the batch's rows; of the table's rows
    Geometry short_lists, long_lists;
    std::int64_t scratch_bytes = 0;
};
EmbeddingGeometry embedding_geometry(std::int64_t rows, std::int64_t vocab, std::int64_t hidden,
                                     int per_vector);

// optimizer.cu
Geometry optimizer_geometry(std::int64_t elements, int per_vector, const DeviceShape& device);

}  // namespace shardscope::cuda
