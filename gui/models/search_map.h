// Everything a search has found so far, as peak memory against throughput: the points, the frontier of the
// best, and the nearest to a place. Grows by increments.
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
    // Forgets all; points that follow are of this list, on devices of that capacity. `tokens`: what
    // throughput counts; else samples.
    void reset(std::shared_ptr<const CandidateList> candidates, Bytes capacity, bool tokens = true);
    void add(std::span<const SearchPoint> points);

    bool empty() const { return points_.empty(); }
    std::span<const SearchPoint> points() const { return points_; }
    std::size_t fitting() const { return fitting_; }
    Bytes capacity() const { return capacity_; }
    // "tokens/s/GPU" or "samples/s/GPU".
    const char* throughput_unit() const { return tokens_ ? "tokens/s/GPU" : "samples/s/GPU"; }
    // Rises with reset(): views that add only what is new start again.
    std::uint64_t generation() const { return generation_; }

    // The points that fit and are not beaten: no other one that fits has at most the memory and at least the
    // throughput; of equal ones the lowest number stays. From the smallest peak, and the lowest
    // throughput, on.
    std::vector<SearchPoint> frontier() const;
    // Highest throughput of those that fit; then the smallest peak, then the lowest number.
    std::optional<SearchPoint> best() const;
    std::vector<SearchPoint> top(std::size_t count) const;  // in that order

    // A place in the chart, and how much a pixel is there.
    struct Place {
        double gib = 0, throughput = 0;
        double gib_per_pixel = 1, throughput_per_pixel = 1;
    };
    // The nearest point within `pixels`; any of the frontier is preferred to all others. Takes about a
    // millisecond for a million points.
    std::optional<SearchPoint> nearest(const Place& place, double pixels) const;

    // Exactly what the point stands for; its name says all that distinguishes it.
    Strategy strategy(const SearchPoint& point) const;
    // In words and exact figures: lines of a label, a tab and a figure.
    QString description(const SearchPoint& point) const;

    // Of all points: for axes. 0 when empty.
    double largest_gib() const { return largest_gib_; }
    double largest_throughput() const { return largest_throughput_; }

    // Where points are, in their order; compact, for drawing.
    struct Position {
        float gib, throughput;
    };
    std::span<const Position> positions() const { return positions_; }

private:
    void add_to_frontier(const SearchPoint& point);

    std::shared_ptr<const CandidateList> candidates_;
    Bytes capacity_;
    bool tokens_ = true;
    std::vector<SearchPoint> points_;
    std::vector<Position> positions_;
    std::map<Bytes, SearchPoint> frontier_;  // by peak; throughput rises with it
    std::size_t fitting_ = 0;
    double largest_gib_ = 0, largest_throughput_ = 0;
    std::uint64_t generation_ = 0;
};

}  // namespace shardscope::gui
