#include "core/program/caching_allocator.h"

#include <algorithm>
#include <utility>

#include "core/checked.h"

namespace shardscope {
namespace {

constexpr std::int64_t kMinBlock = 512;    // kMinBlockSize
constexpr std::int64_t kSmallSize = kMiB;  // largest of the small pool
constexpr std::int64_t kSmallSegment = 2 * kMiB;
constexpr std::int64_t kMinLarge = 10 * kMiB;  // below it segments are of kLargeSegment
constexpr std::int64_t kLargeSegment = 20 * kMiB;
constexpr std::int64_t kRoundLarge = 2 * kMiB;

// What a block takes.
std::int64_t rounded(std::int64_t size) { return std::max(kMinBlock, round_up(size, kMinBlock)); }

std::int64_t segment_for(std::int64_t size) {
    if (size <= kSmallSize) return kSmallSegment;
    return size < kMinLarge ? kLargeSegment : round_up(size, kRoundLarge);
}

}  // namespace

CachingAllocator::Block CachingAllocator::new_piece(const Piece& piece) {
    if (unused_.empty()) {
        pieces_.push_back(piece);
        return static_cast<Block>(pieces_.size() - 1);
    }
    const Block block = unused_.back();
    unused_.pop_back();
    pieces_[block] = piece;
    return block;
}

CachingAllocator::Pool& CachingAllocator::pool_of(int stream, bool small) {
    const std::size_t pool = 2 * static_cast<std::size_t>(stream) + (small ? 1 : 0);
    if (pool >= pools_.size()) pools_.resize(pool + 1);
    return pools_[pool];
}

void CachingAllocator::put(Block block) {
    const Piece& piece = pieces_[block];
    Pool& pool = pool_of(piece.stream, piece.small);
    const std::pair entry(piece.size, block);
    pool.insert(std::lower_bound(pool.begin(), pool.end(), entry), entry);
}

void CachingAllocator::take_out(Block block) {
    const Piece& piece = pieces_[block];
    Pool& pool = pool_of(piece.stream, piece.small);
    pool.erase(std::lower_bound(pool.begin(), pool.end(), std::pair(piece.size, block)));
}

CachingAllocator::Block CachingAllocator::take(Pool& pool, std::int64_t size) {
    const auto found = std::lower_bound(pool.begin(), pool.end(), std::pair(size, Block{0}));
    if (found == pool.end()) return kNone;
    const Block block = found->second;
    pool.erase(found);
    return block;
}

// Leaves the rest behind `size` bytes as a free block of its own, unless it is too small to be of use.
void CachingAllocator::split(Block block, std::int64_t size) {
    const Piece whole = pieces_[block];
    const std::int64_t rest = whole.size - size;
    const bool finely = whole.small || segments_ == Segments::expandable;  // should_split
    if (finely ? rest < kMinBlock : rest <= kSmallSize) return;
    const std::int64_t unmapped = std::min(whole.unmapped, rest);
    const Block next =
        new_piece({rest, block, whole.after, whole.stream, whole.small, true, unmapped});
    pieces_[block].unmapped -= unmapped;
    if (whole.after != kNone) pieces_[whole.after].before = next;
    pieces_[block].size = size;
    pieces_[block].after = next;
    set_end(next);
    put(next);
}

// Takes `size` bytes more from the device, if need be after giving back what is free.
void CachingAllocator::reserve(std::int64_t size) {
    if (size > 0 && reserved_ + size > limit_ && give_back() > 0) ++retries_;
    reserved_ += size;
    peak_reserved_ = std::max(peak_reserved_, reserved_);
}

std::int64_t CachingAllocator::give_back() {
    const std::int64_t before = reserved_;
    for (Pool& pool : pools_)
        std::erase_if(pool, [this](const auto& entry) {
            Piece& piece = pieces_[entry.second];
            if (segments_ == Segments::expandable) {
                reserved_ -= unmap(piece);
                return false;
            }
            const bool whole = piece.before == kNone && piece.after == kNone;
            if (whole) {
                reserved_ -= piece.size;
                unused_.push_back(entry.second);
            }
            return whole;
        });
    return before - reserved_;
}

// A segment begins and ends where a page does; a block between others has a whole page less at worst.
std::int64_t CachingAllocator::unmap(Piece& piece) {
    const std::int64_t page = piece.small ? kSmallSegment : kLargeSegment;
    const bool between = piece.before != kNone && piece.after != kNone;
    const std::int64_t pages = piece.size / page - (between ? 1 : 0);
    const std::int64_t more = std::max<std::int64_t>(0, pages * page - piece.unmapped);
    piece.unmapped += more;
    return more;
}

// Takes again what a block that is to be used has given back.
void CachingAllocator::map(Block block) { reserve(std::exchange(pieces_[block].unmapped, 0)); }

CachingAllocator::Block CachingAllocator::new_segment(std::int64_t size, int stream, bool small) {
    const std::int64_t segment = segment_for(size);
    reserve(segment);
    return new_piece({segment, kNone, kNone, stream, small, false});
}

CachingAllocator::Block CachingAllocator::grow(std::int64_t size, int stream, bool small) {
    const auto [at, fresh] = ends_.try_emplace({stream, small}, kNone);
    const Block end = at->second;
    const bool free_end = end != kNone && pieces_[end].free;
    const std::int64_t more =
        round_up(size - (free_end ? pieces_[end].size : 0), small ? kSmallSegment : kLargeSegment);
    if (free_end) take_out(end);
    reserve(more);
    if (free_end) {
        pieces_[end].size += more;
        return end;
    }
    const Block block = new_piece({more, end, kNone, stream, small, false});
    if (end != kNone) pieces_[end].after = block;
    set_end(block);
    return block;
}

void CachingAllocator::set_end(Block block) {
    const Piece& piece = pieces_[block];
    if (segments_ == Segments::expandable && piece.after == kNone)
        ends_[{piece.stream, piece.small}] = block;
}

CachingAllocator::Block CachingAllocator::allocate(Bytes bytes, int stream) {
    const std::int64_t size = rounded(bytes.value);
    const bool small = size <= kSmallSize;
    Block block = take(pool_of(stream, small), size);
    if (block == kNone)
        block = segments_ == Segments::fixed ? new_segment(size, stream, small)
                                             : grow(size, stream, small);
    split(block, size);
    map(block);
    Piece& piece = pieces_[block];
    piece.free = false;
    allocated_ += piece.size;
    peak_ = std::max(peak_, allocated_);
    return block;
}

// `next` follows `block`; both become one.
void CachingAllocator::join(Block block, Block next) {
    Piece& first = pieces_[block];
    const Piece& second = pieces_[next];
    first.size += second.size;
    first.unmapped += second.unmapped;
    first.after = second.after;
    if (first.after != kNone) pieces_[first.after].before = block;
    set_end(block);
    unused_.push_back(next);
}

void CachingAllocator::free(Block block) {
    allocated_ -= pieces_[block].size;
    const auto merges = [&](Block other) {
        if (other == kNone || !pieces_[other].free) return false;
        take_out(other);
        return true;
    };
    if (const Block after = pieces_[block].after; merges(after)) join(block, after);
    if (const Block before = pieces_[block].before; merges(before)) {
        join(before, block);
        block = before;
    }
    pieces_[block].free = true;
    put(block);
}

}  // namespace shardscope
