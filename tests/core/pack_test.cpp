// The packer against the plainest way to do the same: every item at the lowest offset at which it misses all
// items placed before that live when it lives.
#include "core/program/pack.h"

#include <algorithm>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

namespace shardscope {
namespace {

constexpr std::int32_t kPositions = 100;

bool overlap(const PackItem& a, const PackItem& b) {
    for (const auto& x : a.lifetime())
        for (const auto& y : b.lifetime())
            if (x.first <= y.last && y.first <= x.last) return true;
    return false;
}

std::int64_t lifespan(const PackItem& item) {
    std::int64_t sum = 0;
    for (const auto& s : item.lifetime()) sum += s.last - s.first + 1;
    return sum;
}

std::vector<PackItem> random_items(std::mt19937& random, bool with_stack) {
    const auto below = [&](int n) { return static_cast<std::int32_t>(random() % unsigned(n)); };
    std::vector<PackItem> items(static_cast<std::size_t>(1 + below(80)));
    for (PackItem& item : items) {
        item.size = 64 * (1 + below(9));
        item.stacked = with_stack && below(3) == 0;
        std::int32_t position = 0;
        const int spans = 1 + below(PackItem::kMaxSpans);
        while (item.span_count < spans) {
            const std::int32_t first = position + below(12), last = first + below(6);
            item.spans[static_cast<std::size_t>(item.span_count++)] = {first, last};
            position = last + 1;
        }
    }
    return items;
}

Packing plain_first_fit(const std::vector<PackItem>& items, const std::vector<std::size_t>& order) {
    Packing packing;
    packing.offset.resize(items.size());
    std::vector<std::size_t> placed;
    for (const std::size_t i : order) {
        std::int64_t offset = 0;
        const auto in_the_way = [&](std::size_t j) {
            return overlap(items[i], items[j]) && packing.offset[j] < offset + items[i].size &&
                   offset < packing.offset[j] + items[j].size;
        };
        for (auto j = placed.begin(); j != placed.end();
             j = std::find_if(placed.begin(), placed.end(), in_the_way))
            if (in_the_way(*j)) offset = packing.offset[*j] + items[*j].size;
        placed.push_back(i);
        packing.offset[i] = offset;
        packing.extent = std::max(packing.extent, offset + items[i].size);
    }
    return packing;
}

TEST(Pack, ItemsThatOverlapInTimeLieApart) {
    const unsigned seed = std::random_device()();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    for (int round = 0; round < 200; ++round) {
        const auto items = random_items(random, round % 2 == 0);
        const Packing packing = pack(items, kPositions, 0);
        for (std::size_t a = 0; a < items.size(); ++a) {
            EXPECT_LE(packing.offset[a] + items[a].size, packing.extent);
            for (std::size_t b = 0; b < a; ++b)
                EXPECT_TRUE(!overlap(items[a], items[b]) ||
                            packing.offset[a] + items[a].size <= packing.offset[b] ||
                            packing.offset[b] + items[b].size <= packing.offset[a]);
        }
    }
}

// Without a stack the result is the best of three orders, each placed plainly.
TEST(Pack, IsTheBestOfThreeFirstFits) {
    const unsigned seed = std::random_device()();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    for (int round = 0; round < 200; ++round) {
        const auto items = random_items(random, false);
        std::vector<std::size_t> all(items.size());
        std::iota(all.begin(), all.end(), std::size_t{0});
        Packing best;
        for (int order = 0; order < 3; ++order) {
            auto list = all;
            const auto key = [&](std::size_t i) {
                return (order == 1 ? 1 : items[i].size) * (order == 0 ? 1 : lifespan(items[i]));
            };
            std::stable_sort(list.begin(), list.end(),
                             [&](std::size_t a, std::size_t b) { return key(a) > key(b); });
            Packing packing = plain_first_fit(items, list);
            if (order == 0 || packing.extent < best.extent) best = std::move(packing);
        }
        const Packing packing = pack(items, kPositions, 0);
        EXPECT_EQ(packing.extent, best.extent);
        EXPECT_EQ(packing.offset, best.offset);
    }
}

TEST(Pack, KnowsAProblemAgain) {
    std::mt19937 random(1);
    const auto items = random_items(random, true), others = random_items(random, true);
    Packer packer;
    const Packing& first = packer.pack(items, kPositions, 0);
    const Packing& second = packer.pack(others, kPositions, 0);
    EXPECT_EQ(second.offset, pack(others, kPositions, 0).offset);
    EXPECT_EQ(&packer.pack(items, kPositions, 0), &first);
}

}  // namespace
}  // namespace shardscope
