#include "core/program/pack.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

namespace shardscope {
namespace {

using PackSpan = PackItem::Span;
using Order = std::vector<std::size_t>;  // items

constexpr std::size_t kSmallProblem = 400;  // items; first-fit in several orders is quadratic

std::size_t index(std::int32_t position) { return static_cast<std::size_t>(position); }

Order indices(const std::vector<PackItem>& items, bool stacked) {
    Order list;
    for (std::size_t i = 0; i < items.size(); ++i)
        if (items[i].stacked == stacked) list.push_back(i);
    return list;
}

// Largest `key` first, equal ones as they were.
template <class Key>
Order sorted(Order list, Key&& key) {
    std::stable_sort(list.begin(), list.end(),
                     [&](std::size_t a, std::size_t b) { return key(a) > key(b); });
    return list;
}

// Which of the items that are to be fitted overlap in time.
class Contemporaries {
public:
    Contemporaries(const std::vector<PackItem>& items, const Order& fitted) : items_(items) {
        std::vector<Life> lives;
        for (std::size_t i : fitted)
            for (const PackSpan& s : items[i].lifetime())
                lives.push_back({s, static_cast<std::uint32_t>(i)});
        std::stable_sort(lives.begin(), lives.end(),
                         [](const Life& a, const Life& b) { return a.span.first < b.span.first; });
        list_by_item(meetings(lives));
    }

    std::span<const std::uint32_t> of(std::size_t item) const {
        return {lists_.data() + begin_[item], begin_[item + 1] - begin_[item]};
    }

private:
    struct Life {
        PackSpan span;
        std::uint32_t item = 0;
    };
    using Pairs = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

    // Pairs of items, each once, by a walk through time.
    Pairs meetings(const std::vector<Life>& lives) const {
        Pairs pairs;
        std::vector<Life> alive;
        for (const Life& life : lives) {
            std::erase_if(alive, [&](const Life& o) { return o.span.last < life.span.first; });
            for (const Life& other : alive)
                if (!met_before(life.item, other.item, life.span.first))
                    pairs.emplace_back(life.item, other.item);
            alive.push_back(life);
        }
        return pairs;
    }

    bool met_before(std::size_t a, std::size_t b, std::int32_t position) const {
        for (const PackSpan& x : items_[a].lifetime())
            for (const PackSpan& y : items_[b].lifetime())
                if (const auto meeting = std::max(x.first, y.first);
                    meeting < position && meeting <= std::min(x.last, y.last))
                    return true;
        return false;
    }

    void list_by_item(const Pairs& pairs) {
        begin_.assign(items_.size() + 1, 0);
        for (const auto& [a, b] : pairs) {
            ++begin_[a];
            ++begin_[b];
        }
        std::inclusive_scan(begin_.begin(), begin_.end(), begin_.begin());
        lists_.resize(2 * pairs.size());
        for (const auto& [a, b] : pairs) {
            lists_[--begin_[a]] = b;
            lists_[--begin_[b]] = a;
        }
    }

    const std::vector<PackItem>& items_;
    std::vector<std::size_t> begin_;  // by item, and one past the end, of lists_
    std::vector<std::uint32_t> lists_;
};

// Places items one after the other at the lowest free offset.
class FirstFit {
public:
    FirstFit(const std::vector<PackItem>& items, std::int32_t positions)
        : items_(items), floor_(index(positions) + 1, 0), meets_(items.size(), items.size()) {
        packing_.offset.assign(items.size(), kNowhere);
    }

    // Lays out `list` as a stack from offset 0; everything placed later lies above what it overlaps.
    void stack(const Order& list) {
        if (list.empty()) return;
        for (std::size_t i : list) {
            packing_.offset[i] = packing_.extent;
            packing_.extent += items_[i].size;
        }
        // From the top down, so that the first item to reach a position is the highest there.
        std::vector<std::size_t> next(floor_.size() +
                                      1);  // position from here on without a floor yet
        std::iota(next.begin(), next.end(), std::size_t{0});
        const auto open = [&](std::size_t p) {
            while (next[p] != p) p = next[p] = next[next[p]];
            return p;
        };
        for (auto i = list.rbegin(); i != list.rend(); ++i)
            for (const PackSpan& s : items_[*i].lifetime())
                for (auto p = open(index(s.first)); p <= index(s.last); p = open(p)) {
                    floor_[p] = packing_.offset[*i] + items_[*i].size;
                    next[p] = p + 1;
                }
    }

    // `near`: those items that overlap it, placed or to be placed without a stack.
    void place(std::size_t i, std::span<const std::uint32_t> near) {
        std::int64_t floor = 0;
        for (const PackSpan& s : items_[i].lifetime())
            for (auto p = index(s.first); p <= index(s.last); ++p)
                floor = std::max(floor, floor_[p]);
        const bool few = near.size() * kFew < by_offset_.size();
        const std::int64_t offset = few ? gap_among_few(i, floor, near) : gap(i, floor, near);
        packing_.offset[i] = offset;
        packing_.extent = std::max(packing_.extent, offset + items_[i].size);
        by_offset_.insert(
            std::upper_bound(by_offset_.begin(), by_offset_.end(), Range{offset, 0},
                             [](const Range& a, const Range& b) { return a.begin < b.begin; }),
            {offset, static_cast<std::uint32_t>(i)});
    }

    std::int64_t extent() const { return packing_.extent; }
    Packing take() { return std::move(packing_); }

private:
    static constexpr std::int64_t kNowhere = -1;
    static constexpr std::size_t kFew = 16;  // so many times more are worth sorting to avoid

    struct Range {
        std::int64_t begin = 0;
        std::uint32_t item = 0;
    };

    // The lowest offset ≥ floor at which item `i` misses all of `near` that are placed.
    std::int64_t gap(std::size_t i, std::int64_t floor, std::span<const std::uint32_t> near) {
        for (const std::uint32_t j : near) meets_[j] = i;
        return first_gap(by_offset_, floor, i);
    }

    std::int64_t gap_among_few(std::size_t i, std::int64_t floor,
                               std::span<const std::uint32_t> near) {
        few_.clear();
        for (const std::uint32_t j : near) {
            if (packing_.offset[j] == kNowhere) continue;
            meets_[j] = i;
            few_.push_back({packing_.offset[j], j});
        }
        std::sort(few_.begin(), few_.end(),
                  [](const Range& a, const Range& b) { return a.begin < b.begin; });
        return first_gap(few_, floor, i);
    }

    // `ranges` ascend; of those only what item `i` meets is in its way.
    std::int64_t first_gap(const std::vector<Range>& ranges, std::int64_t floor,
                           std::size_t i) const {
        std::int64_t offset = floor;
        for (const Range& range : ranges) {
            if (meets_[range.item] != i) continue;
            if (range.begin - offset >= items_[i].size) break;
            offset = std::max(offset, range.begin + items_[range.item].size);
        }
        return offset;
    }

    const std::vector<PackItem>& items_;
    Packing packing_;
    std::vector<std::int64_t> floor_;  // per position: top of the live stack
    std::vector<Range> by_offset_;     // what place() has placed
    std::vector<std::size_t> meets_;   // per item: the last one that was placed and overlaps it
    std::vector<Range> few_;
};

// Empty when the packing would not be smaller than `limit`.
std::optional<Packing> pack_in_order(const std::vector<PackItem>& items, std::int32_t positions,
                                     const Order& stack, const Order& fitted,
                                     const Contemporaries& contemporaries, std::int64_t limit) {
    FirstFit fit(items, positions);
    fit.stack(stack);
    for (std::size_t i : fitted) {
        if (fit.extent() >= limit) return std::nullopt;
        fit.place(i, contemporaries.of(i));
    }
    if (fit.extent() >= limit) return std::nullopt;
    return fit.take();
}

std::int64_t lifespan(const PackItem& item) {
    std::int64_t sum = 0;
    for (const PackSpan& s : item.lifetime()) sum += s.last - s.first + 1;
    return sum;
}

// First-fit without a stack: by size, by lifespan, by both.
std::vector<Order> other_orders(const std::vector<PackItem>& items, bool had_stack) {
    Order all(items.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    std::vector<std::int64_t> lifespans;
    lifespans.reserve(items.size());
    for (const PackItem& item : items) lifespans.push_back(lifespan(item));
    std::vector<Order> orders;
    if (had_stack) orders.push_back(sorted(all, [&](std::size_t i) { return items[i].size; }));
    orders.push_back(sorted(all, [&](std::size_t i) { return lifespans[i]; }));
    orders.push_back(sorted(all, [&](std::size_t i) {
        return static_cast<double>(items[i].size) * static_cast<double>(lifespans[i]);
    }));
    return orders;
}

}  // namespace

Packing pack(const std::vector<PackItem>& items, std::int32_t positions, std::int64_t enough) {
    const Order stacked =
        sorted(indices(items, true), [&](std::size_t i) { return -items[i].spans[0].first; });
    const Order rest = sorted(indices(items, false), [&](std::size_t i) { return items[i].size; });
    constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();
    Packing best =
        *pack_in_order(items, positions, stacked, rest, Contemporaries(items, rest), kNoLimit);
    if (best.extent <= enough + enough / 100 || items.size() > kSmallProblem) return best;
    const std::vector<Order> orders = other_orders(items, !stacked.empty());
    const Contemporaries contemporaries(items, orders.front());
    for (const Order& order : orders)
        if (auto smaller = pack_in_order(items, positions, {}, order, contemporaries, best.extent))
            best = std::move(*smaller);
    return best;
}

const Packing& Packer::pack(std::vector<PackItem> items, std::int32_t positions,
                            std::int64_t enough) {
    for (const Known& known : known_)
        if (known.positions == positions && known.enough == enough && known.items == items)
            return known.packing;
    Packing packing = shardscope::pack(items, positions, enough);
    return known_.emplace_back(Known{std::move(items), positions, enough, std::move(packing)})
        .packing;
}

}  // namespace shardscope
