// Offsets for blocks that live at known times, so that few bytes are lost between them.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace shardscope {

// A block to place. Its lifetime is up to kMaxSpans spans [first, last] of positions.
struct PackItem {
    static constexpr int kMaxSpans = 4;
    struct Span {
        std::int32_t first = 0, last = 0;
        bool operator==(const Span&) const = default;
    };
    std::int64_t size = 0;  // already rounded up to the alignment
    std::array<Span, kMaxSpans> spans{};
    int span_count = 0;
    bool stacked = false;  // released roughly in reverse order of creation (saved activations)
    bool operator==(const PackItem&) const = default;

    std::span<const Span> lifetime() const {
        return {spans.data(), static_cast<std::size_t>(span_count)};
    }
    std::span<Span> lifetime() { return {spans.data(), static_cast<std::size_t>(span_count)}; }
};

struct Packing {
    std::vector<std::int64_t> offset;  // per item
    std::int64_t extent = 0;           // largest offset + size
};

// Items that overlap in time do not overlap in space. Spans are of positions in [0, positions]. `enough` is
// an extent that needs no improving and that no packing can undercut (the largest live sum, or 0): stacked
// items are laid out as a stack and the others fitted above it, which is exact for most training steps and
// near-linear; where it misses `enough` by over 1 % on a small problem, plain first-fit in several orders is
// tried as well and the smallest extent wins.
Packing pack(const std::vector<PackItem>& items, std::int32_t positions, std::int64_t enough);

// Packs the roles of one program: stages in the middle of a pipeline often have the same to pack, which is
// then done once.
class Packer {
public:
    // pack(). The result lives as long as the packer.
    const Packing& pack(std::vector<PackItem> items, std::int32_t positions, std::int64_t enough);

private:
    struct Known {
        std::vector<PackItem> items;
        std::int32_t positions = 0;
        std::int64_t enough = 0;
        Packing packing;
    };
    std::deque<Known> known_;
};

}  // namespace shardscope
