// PyTorch's CUDA caching allocator, replayed without a GPU: which segments it would have taken from the
// device after a sequence of allocations.
//
// The rules are those of c10/cuda/CUDACachingAllocator.cpp with default settings: sizes round up to 512
// bytes; up to 1 MiB come from segments of 2 MiB, less than 10 MiB from segments of 20 MiB, more from
// segments of their own size, rounded up to 2 MiB; the smallest free block of the stream that is large
// enough is taken, and split where the rest is of use; freed blocks join their free neighbours in the
// segment. What would go beyond the device's memory makes it give back every segment that is free as a whole
// (release_cached_blocks); where that is not enough PyTorch runs out of memory, and this allocator goes on, so
// that its peak tells how much was missing.
//
// With expandable_segments:True each stream has one segment for small blocks and one for large ones, which
// grow by pages of 2 and 20 MiB, as far as what is free at their end is too short. Blocks are split wherever 512
// bytes are left. They give back the pages that are free as a whole, and take pages again when the place is used.
#pragma once

#include <cstdint>
#include <limits>
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
    static constexpr Bytes kUnlimited{std::numeric_limits<std::int64_t>::max() / 2};

    // `limit`: what the device has for segments.
    explicit CachingAllocator(Segments segments = Segments::fixed, Bytes limit = kUnlimited)
        : segments_(segments), limit_(limit.value) {}

    // `stream` tells apart streams of a device: each has blocks of its own.
    Block allocate(Bytes size, int stream);
    void free(Block block);

    Bytes allocated() const { return Bytes(allocated_); }  // in live blocks, rounded
    Bytes peak_allocated() const { return Bytes(peak_); }
    Bytes reserved() const { return Bytes(reserved_); }  // in segments
    Bytes peak_reserved() const { return Bytes(peak_reserved_); }
    // How often memory was given back for more to be taken: each time the device is waited for, which no
    // simulated time has in it.
    std::int64_t retries() const { return retries_; }

private:
    struct Piece {
        std::int64_t size = 0;
        Block before = kNone, after = kNone;  // neighbours in the segment
        int stream = 0;
        bool small = false, free = false;
        std::int64_t unmapped = 0;  // bytes of a free block that have been given back
    };
    // Free blocks by size; equals, of which PyTorch takes the lowest address, by number. They are few, so
    // that moving those behind costs less than a tree's nodes.
    using Pool = std::vector<std::pair<std::int64_t, Block>>;

    Pool& pool_of(int stream, bool small);
    void put(Block block);       // into its pool
    void take_out(Block block);  // of its pool
    Block new_piece(const Piece& piece);
    void reserve(std::int64_t size);
    std::int64_t give_back();  // returns how much
    std::int64_t unmap(Piece& piece);
    void map(Block block);
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
    std::int64_t limit_ = 0;
    std::int64_t allocated_ = 0, peak_ = 0, reserved_ = 0, peak_reserved_ = 0, retries_ = 0;
};

}  // namespace shardscope
