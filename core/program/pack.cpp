#include "core/program/pack.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace shardscope {
namespace {

constexpr std::size_t kSmallProblem = 400;  // items; first-fit in several orders is quadratic
constexpr std::int32_t kBucket = 16;        // positions per time bucket

std::vector<std::size_t> indices(const std::vector<PackItem>& items, bool stacked) {
    std::vector<std::size_t> list;
    for (std::size_t i = 0; i < items.size(); ++i)
        if (items[i].stacked == stacked) list.push_back(i);
    return list;
}

void sort_by_size(std::vector<std::size_t>& list, const std::vector<PackItem>& items) {
    std::stable_sort(list.begin(), list.end(),
                     [&](std::size_t a, std::size_t b) { return items[a].size > items[b].size; });
}

// The lowest offset ≥ floor at which `size` bytes miss all `blocked` ranges (sorted in place).
std::int64_t first_gap(std::vector<std::pair<std::int64_t, std::int64_t>>& blocked,
                       std::int64_t floor, std::int64_t size) {
    std::sort(blocked.begin(), blocked.end());
    std::int64_t offset = floor;
    for (const auto& [begin, end] : blocked) {
        if (begin - offset >= size) break;
        offset = std::max(offset, end);
    }
    return offset;
}

// Places items one after the other at the lowest free offset. Placed items are found through
// buckets of positions, so that short-lived items only meet their contemporaries.
class FirstFit {
public:
    FirstFit(const std::vector<PackItem>& items, std::int32_t positions)
        : items_(items),
          floor_(static_cast<std::size_t>(positions) + 1, 0),
          buckets_(static_cast<std::size_t>(positions / kBucket) + 1),
          seen_by_(items.size(), items.size()) {
        packing_.offset.assign(items.size(), 0);
    }

    // Lays out `list` as a stack from offset 0 and raises the floor for everything placed later.
    void stack(const std::vector<std::size_t>& list) {
        std::int64_t top = 0;
        for (std::size_t i : list) {
            packing_.offset[i] = top;
            top += items_[i].size;
            for_each_span(i, [&](const PackItem::Span& s) {
                for (auto p = s.first; p <= s.last; ++p) floor_[static_cast<std::size_t>(p)] = top;
            });
        }
        packing_.extent = std::max(packing_.extent, top);
    }

    void place(std::size_t i) {
        blocked_.clear();
        std::int64_t floor = 0;
        for_each_span(i, [&](const PackItem::Span& s) {
            for (auto p = s.first; p <= s.last; ++p)
                floor = std::max(floor, floor_[static_cast<std::size_t>(p)]);
            for (auto b = s.first / kBucket; b <= s.last / kBucket; ++b)
                for (std::size_t j : buckets_[static_cast<std::size_t>(b)]) {
                    if (seen_by_[j] == i) continue;
                    seen_by_[j] = i;
                    if (items_[j].overlaps(items_[i]))
                        blocked_.emplace_back(packing_.offset[j],
                                              packing_.offset[j] + items_[j].size);
                }
        });
        packing_.offset[i] = first_gap(blocked_, floor, items_[i].size);
        packing_.extent = std::max(packing_.extent, packing_.offset[i] + items_[i].size);
        for_each_span(i, [&](const PackItem::Span& s) {
            for (auto b = s.first / kBucket; b <= s.last / kBucket; ++b)
                buckets_[static_cast<std::size_t>(b)].push_back(i);
        });
    }

    Packing take() { return std::move(packing_); }

private:
    template <class Visit>
    void for_each_span(std::size_t i, Visit&& visit) const {
        for (int s = 0; s < items_[i].span_count; ++s)
            visit(items_[i].spans[static_cast<std::size_t>(s)]);
    }

    const std::vector<PackItem>& items_;
    Packing packing_;
    std::vector<std::int64_t> floor_;                // per position: top of the live stack
    std::vector<std::vector<std::size_t>> buckets_;  // placed items per time bucket
    std::vector<std::size_t> seen_by_;               // per item: the item that met it last
    std::vector<std::pair<std::int64_t, std::int64_t>> blocked_;
};

Packing pack_in_order(const std::vector<PackItem>& items, std::int32_t positions,
                      const std::vector<std::size_t>& stack, const std::vector<std::size_t>& rest) {
    FirstFit fit(items, positions);
    fit.stack(stack);
    for (std::size_t i : rest) fit.place(i);
    return fit.take();
}

std::int64_t lifespan(const PackItem& item) {
    std::int64_t sum = 0;
    for (int s = 0; s < item.span_count; ++s) {
        const auto& span = item.spans[static_cast<std::size_t>(s)];
        sum += span.last - span.first + 1;
    }
    return sum;
}

}  // namespace

bool PackItem::overlaps(const PackItem& other) const {
    for (int a = 0; a < span_count; ++a)
        for (int b = 0; b < other.span_count; ++b) {
            const Span& x = spans[static_cast<std::size_t>(a)];
            const Span& y = other.spans[static_cast<std::size_t>(b)];
            if (x.first <= y.last && y.first <= x.last) return true;
        }
    return false;
}

Packing pack(const std::vector<PackItem>& items, std::int32_t positions, std::int64_t enough) {
    std::vector<std::size_t> stacked = indices(items, true), rest = indices(items, false);
    std::stable_sort(stacked.begin(), stacked.end(), [&](std::size_t a, std::size_t b) {
        return items[a].spans[0].first < items[b].spans[0].first;
    });
    sort_by_size(rest, items);
    Packing best = pack_in_order(items, positions, stacked, rest);
    if (best.extent <= enough + enough / 100 || items.size() > kSmallProblem) return best;

    std::vector<std::size_t> all(items.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    std::vector<std::vector<std::size_t>> orders(3, all);
    sort_by_size(orders[0], items);
    std::stable_sort(orders[1].begin(), orders[1].end(), [&](std::size_t a, std::size_t b) {
        return lifespan(items[a]) > lifespan(items[b]);
    });
    std::stable_sort(orders[2].begin(), orders[2].end(), [&](std::size_t a, std::size_t b) {
        return static_cast<double>(items[a].size) * static_cast<double>(lifespan(items[a])) >
               static_cast<double>(items[b].size) * static_cast<double>(lifespan(items[b]));
    });
    for (const auto& order : orders) {
        Packing candidate = pack_in_order(items, positions, {}, order);
        if (candidate.extent < best.extent) best = std::move(candidate);
    }
    return best;
}

}  // namespace shardscope
