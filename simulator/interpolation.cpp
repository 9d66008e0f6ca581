#include "simulator/interpolation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace shardscope {
namespace {

using Point = TimeCurve::Point;

// Merges points of equal work into their mean; `points` are ascending.
std::vector<Point> merged(const std::vector<Point>& points) {
    std::vector<Point> result;
    for (std::size_t i = 0; i < points.size();) {
        std::size_t end = i;
        double sum = 0;
        for (; end < points.size() && points[end].work == points[i].work; ++end)
            sum += points[end].seconds;
        result.push_back({points[i].work, sum / static_cast<double>(end - i)});
        i = end;
    }
    return result;
}

}  // namespace

TimeCurve::TimeCurve(std::vector<Point> points) {
    std::erase_if(points, [](const Point& p) { return !(p.work > 0 && p.seconds > 0); });
    std::sort(points.begin(), points.end(),
              [](const Point& a, const Point& b) { return a.work < b.work; });
    points_ = merged(points);
    double longest = 0;
    for (Point& p : points_) {
        longest = std::max(longest, p.seconds);
        p = {std::log(p.work), std::log(longest)};
    }
}

double TimeCurve::seconds(double work) const {
    if (points_.empty() || work <= 0) return 0;
    const double x = std::log(work);
    if (x <= points_.front().work)
        return std::exp(points_.front().seconds + x - points_.front().work);
    if (x >= points_.back().work) return std::exp(points_.back().seconds + x - points_.back().work);
    const auto above = std::upper_bound(points_.begin(), points_.end(), x,
                                        [](double v, const Point& p) { return v < p.work; });
    const Point &a = *(above - 1), &b = *above;
    const double t = (x - a.work) / (b.work - a.work);
    return std::exp(a.seconds + t * (b.seconds - a.seconds));
}

double TimeCurve::seconds_at_least_first(double work) const {
    if (points_.empty()) return 0;
    return std::max(seconds(work), std::exp(points_.front().seconds));
}

void MatmulRates::add(double m, double n, double k, double rate) {
    if (m > 0 && n > 0 && k > 0 && rate > 0)
        samples_.push_back({std::log(m), std::log(n), std::log(k), std::log(rate)});
}

double MatmulRates::rate(double m, double n, double k) const {
    struct Near {
        double distance = std::numeric_limits<double>::infinity(), log_rate = 0;
    };
    std::array<Near, kNearest> nearest{};  // ascending in distance
    const double x = std::log(m), y = std::log(n), z = std::log(k);
    for (const Sample& s : samples_) {
        const double dx = s.log_m - x, dy = s.log_n - y, dz = s.log_k - z;
        const Near near{dx * dx + dy * dy + dz * dz, s.log_rate};
        if (near.distance >= nearest.back().distance) continue;
        std::size_t at = kNearest - 1;
        for (; at > 0 && nearest[at - 1].distance > near.distance; --at)
            nearest[at] = nearest[at - 1];
        nearest[at] = near;
    }
    double weights = 0, sum = 0;
    for (const Near& near : nearest) {
        if (!std::isfinite(near.distance)) break;
        // A sample at the very shape outweighs all others.
        const double weight = 1 / (near.distance + 1e-9);
        weights += weight;
        sum += weight * near.log_rate;
    }
    return weights > 0 ? std::exp(sum / weights) : 0;
}

}  // namespace shardscope
