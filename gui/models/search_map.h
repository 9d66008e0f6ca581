// Everything a search has found so far, as peak memory against throughput: points, the frontier of the best,
// the nearest to a place, and a count per pixel for the chart. Grows by increments.
#pragma once

#include <QString>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "simulator/search.h"

namespace shardscope::gui {

class SearchMap {
public:
    // Forgets all; points that follow are of this list, on devices of that capacity.
    void reset(std::shared_ptr<const CandidateList> candidates, Bytes capacity);
    void add(std::span<const SearchPoint> points);

    bool empty() const { return points_.empty(); }
    std::span<const SearchPoint> points() const { return points_; }
    std::size_t fitting() const { return fitting_; }
    Bytes capacity() const { return capacity_; }
    // Rises with reset(): views that add only what is new start again.
    std::uint64_t generation() const { return generation_; }

    // The points that fit and that no other fitting point beats in both memory and throughput, from the
    // smallest peak (and lowest throughput) on; of equal points the one with the lowest number.
    std::vector<SearchPoint> frontier() const;
    // Highest throughput among those that fit; then the smallest peak, then the lowest number.
    std::optional<SearchPoint> best() const;
    std::vector<SearchPoint> top(std::size_t count) const;

    // The point nearest to (gib, tokens/s/GPU) where distances count in the given units per pixel; empty when
    // none is within `pixels`. Frontier points win over others as near.
    std::optional<SearchPoint> nearest(double gib, double tokens_per_s, double gib_per_pixel,
                                       double tokens_per_pixel, double pixels) const;

    // Of a point. The name says the layout and all that differs from the default.
    Strategy strategy(const SearchPoint& point) const;
    // Largest peak in GiB and throughput of all points: for axes. 0 when empty.
    double largest_gib() const { return largest_gib_; }
    double largest_throughput() const { return largest_throughput_; }

    // Positions for drawing, in the order of points(): half the memory of points_.
    struct Position {
        float gib, tokens_per_s;
    };
    std::span<const Position> positions() const { return positions_; }

private:
    std::shared_ptr<const CandidateList> candidates_;
    Bytes capacity_;
    std::vector<SearchPoint> points_;
    std::vector<Position> positions_;
    std::map<std::int64_t, SearchPoint> frontier_;  // by peak; throughput rises with it
    std::size_t fitting_ = 0;
    double largest_gib_ = 0, largest_throughput_ = 0;
    std::uint64_t generation_ = 0;
};

}  // namespace shardscope::gui
