#include "gui/models/search_map.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include <fmt/format.h>

#include "core/report/figures.h"

namespace shardscope::gui {
namespace {

// What comes first among the best.
auto rank_of(const SearchPoint& p) {
    return std::tuple(-p.tokens_per_s_per_gpu, p.peak, p.candidate);
}

bool ranks_before(const SearchPoint& a, const SearchPoint& b) { return rank_of(a) < rank_of(b); }

// Square of the distance in pixels.
double distance(const SearchMap::Place& place, double gib, double throughput) {
    const double x = (gib - place.gib) / place.gib_per_pixel;
    const double y = (throughput - place.throughput) / place.throughput_per_pixel;
    return x * x + y * y;
}

}  // namespace

void SearchMap::reset(std::shared_ptr<const CandidateList> candidates, Bytes capacity,
                      bool tokens) {
    candidates_ = std::move(candidates);
    capacity_ = capacity;
    tokens_ = tokens;
    points_ = {};
    positions_ = {};
    if (candidates_) {
        // So that growing never copies all of them: a pause that is seen.
        constexpr std::uint64_t kMost = 4'000'000;
        const auto expected = static_cast<std::size_t>(std::min(candidates_->size(), kMost));
        points_.reserve(expected);
        positions_.reserve(expected);
    }
    frontier_.clear();
    fitting_ = 0;
    largest_gib_ = largest_throughput_ = 0;
    ++generation_;
}

void SearchMap::add(std::span<const SearchPoint> points) {
    points_.insert(points_.end(), points.begin(), points.end());
    for (const SearchPoint& point : points) {
        const double size = gib(point.peak);
        positions_.push_back(
            {static_cast<float>(size), static_cast<float>(point.tokens_per_s_per_gpu)});
        largest_gib_ = std::max(largest_gib_, size);
        largest_throughput_ = std::max(largest_throughput_, point.tokens_per_s_per_gpu);
        if (!point.fits) continue;
        ++fitting_;
        add_to_frontier(point);
    }
}

void SearchMap::add_to_frontier(const SearchPoint& point) {
    // The last one with at most the memory has the highest throughput of those.
    auto after = frontier_.upper_bound(point.peak);
    if (after != frontier_.begin() && ranks_before(std::prev(after)->second, point)) return;
    // All from here on that are not better need at least the memory.
    auto first = frontier_.lower_bound(point.peak);
    while (first != frontier_.end() && ranks_before(point, first->second))
        first = frontier_.erase(first);
    frontier_.emplace(point.peak, point);
}

std::vector<SearchPoint> SearchMap::frontier() const {
    std::vector<SearchPoint> list;
    list.reserve(frontier_.size());
    for (const auto& [peak, point] : frontier_) list.push_back(point);
    return list;
}

std::optional<SearchPoint> SearchMap::best() const {
    if (frontier_.empty()) return std::nullopt;
    return std::prev(frontier_.end())->second;
}

std::vector<SearchPoint> SearchMap::top(std::size_t count) const {
    std::vector<SearchPoint> list;
    list.reserve(fitting_);
    std::copy_if(points_.begin(), points_.end(), std::back_inserter(list),
                 [](const SearchPoint& p) { return p.fits; });
    count = std::min(count, list.size());
    std::partial_sort(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(count), list.end(),
                      ranks_before);
    list.resize(count);
    return list;
}

std::optional<SearchPoint> SearchMap::nearest(const Place& place, double pixels) const {
    const double reach = pixels * pixels;
    double least = reach;
    std::optional<SearchPoint> found;
    for (const auto& [peak, point] : frontier_) {
        const double d = distance(place, gib(peak), point.tokens_per_s_per_gpu);
        if (d > least || (found && d == least)) continue;
        least = d;
        found = point;
    }
    if (found) return found;
    std::size_t index = points_.size();
    for (std::size_t i = 0; i < positions_.size(); ++i) {
        const double d = distance(place, positions_[i].gib, positions_[i].throughput);
        if (d > least) continue;
        // Of points in one place the lowest number, in whatever order they came.
        if (d == least && index < points_.size() && points_[index].candidate < points_[i].candidate)
            continue;
        least = d;
        index = i;
    }
    if (index == points_.size()) return std::nullopt;
    return points_[index];
}

Strategy SearchMap::strategy(const SearchPoint& point) const {
    return candidates_->strategy(point.candidate);
}

QString SearchMap::description(const SearchPoint& point) const {
    std::string text = strategy(point).name + "\n";
    const Bytes left = capacity_ - point.peak;
    text += fmt::format("Peak memory\t{:.2f} GiB\t{} bytes\n", gib(point.peak),
                        format_count(point.peak.value));
    text += fmt::format("{}\t{:.2f} GiB\n", point.fits ? "Free" : "Does not fit: too large by",
                        std::abs(gib(left)));
    text += fmt::format("Throughput\t{} {}\n", format_count(point.tokens_per_s_per_gpu),
                        throughput_unit());
    text += fmt::format("Step time\t{:.4g} s", point.step_time.value);
    if (point.mfu > 0) text += fmt::format("\nMFU\t{} %", format_percent(double{point.mfu}));
    return QString::fromStdString(text);
}

}  // namespace shardscope::gui
