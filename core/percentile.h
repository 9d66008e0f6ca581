// Percentiles of a sample.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

namespace shardscope {

// The value that `part` (0 … 1) of an ascending, non-empty sample stays below: linear between the two
// nearest ranks (Hyndman and Fan 1996, definition 7).
inline double percentile(std::span<const double> ascending, double part) {
    const double at = part * static_cast<double>(ascending.size() - 1);
    const auto below = static_cast<std::size_t>(std::floor(at));
    const std::size_t above = std::min(below + 1, ascending.size() - 1);
    return std::lerp(ascending[below], ascending[above], at - std::floor(at));
}

}  // namespace shardscope
