// PyTorch's CUDA caching allocator, replayed without a GPU: which segments it would have taken from the
// device after a sequence of allocations.
//
// The rules are those of c10/cuda/CUDACachingAllocator.cpp with default settings: sizes round up to 512
// bytes; up to 1 MiB come from segments of 2 MiB, less than 10 MiB from segments of 20 MiB, more from
// segments of their own size, rounded up to 2 MiB; the smallest free block of the stream that is large
// enough is taken, and split where the rest is of use; freed blocks join their free neighbours in the
// segment. Segments are never given back: no step here runs out of memory.
//
// With expandable_segments:True each stream has one segment for small blocks and one for large ones, which
// grow by pages of 2 and 20 MiB, as far as what is free at their end is too short.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "core/units.h"

namespace shardscope {

enum class Segments : std::uint8_t { fixed, expandable };

// Not thread-safe.
class CachingAllocator {
public:
    using Block = std::uint32_t;
    static constexpr Block kNone = ~Block{0};  // is never allocated

    explicit CachingAllocator(Segments segments = Segments::fixed) : segments_(segments) {}

    // `stream` tells apart streams of a device: each has blocks of its own.
    Block allocate(Bytes size, int stream);
    void free(Block block);

    Bytes allocated() const { return Bytes(allocated_); }  // in live blocks, rounded
    Bytes peak_allocated() const { return Bytes(peak_); }
    Bytes reserved() const { return Bytes(reserved_); }  // in segments; never falls

private:
    struct Piece {
        std::int64_t size = 0;
        Block before = kNone, after = kNone;  // neighbours in the segment
        int stream = 0;
        bool small = false, free = false;
    };
    // Free blocks by size; equals, of which PyTorch takes the lowest address, by number. They are few, so
    // that moving those behind costs less than a tree's nodes.
    using Pool = std::vector<std::pair<std::int64_t, Block>>;

    Pool& pool_of(int stream, bool small);
    void put(Block block);       // into its pool
    void take_out(Block block);  // of its pool
    Block new_piece(const Piece& piece);
    Block new_segment(std::int64_t size, int stream, bool small);
    Block grow(std::int64_t size, int stream, bool small);
    // `block` is where its segment ends.
    void set_end(Block block);
    Block take(Pool& pool, std::int64_t size);
    void split(Block block, std::int64_t size);
    void join(Block block, Block next);

    Segments segments_;
    std::map<std::pair<int, bool>, Block> ends_;  // of expandable segments
    std::vector<Piece> pieces_;
    std::vector<Block> unused_;  // places in pieces_
    std::vector<Pool> pools_;    // by stream, large and small
    std::int64_t allocated_ = 0, peak_ = 0, reserved_ = 0;
};

}  // namespace shardscope
