// PyTorch's CUDA caching allocator, replayed without a GPU: which segments it would have taken from the
// device after a sequence of allocations.
//
// The rules are those of c10/cuda/CUDACachingAllocator.cpp with default settings: sizes round up to 512
// bytes; up to 1 MiB come from segments of 2 MiB, less than 10 MiB from segments of 20 MiB, more from
// segments of their own size, rounded up to 2 MiB; the smallest free block of the stream that is large
// enough is taken, and split where the rest is of use; freed blocks join their free neighbours in the
// segment. Segments are never given back: no step here runs out of memory.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "core/units.h"

namespace shardscope {

// Not thread-safe.
class CachingAllocator {
public:
    using Block = std::uint32_t;

    // `stream` tells apart streams of a device: each has blocks of its own.
    Block allocate(Bytes size, int stream);
    void free(Block block);

    Bytes allocated() const { return Bytes(allocated_); }  // in live blocks, rounded
    Bytes peak_allocated() const { return Bytes(peak_); }
    Bytes reserved() const { return Bytes(reserved_); }  // in segments; never falls

private:
    static constexpr Block kNone = ~Block{0};
    struct Piece {
        std::int64_t size = 0;
        Block before = kNone, after = kNone;  // neighbours in the segment
        int stream = 0;
        bool small = false, free = false;
    };
    // By size; equals, of which PyTorch takes the lowest address, by number.
    using Pool = std::set<std::pair<std::int64_t, Block>>;

    Pool& pool_of(const Piece& piece) { return pools_[{piece.stream, piece.small}]; }
    Block new_piece(const Piece& piece);
    Block take(Pool& pool, std::int64_t size);
    void split(Block block, std::int64_t size);
    void join(Block block, Block next);

    std::vector<Piece> pieces_;
    std::vector<Block> unused_;  // places in pieces_
    std::map<std::pair<int, bool>, Pool> pools_;
    std::int64_t allocated_ = 0, peak_ = 0, reserved_ = 0;
};

}  // namespace shardscope
