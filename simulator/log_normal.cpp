#include "simulator/log_normal.h"

#include <cmath>
#include <numbers>

#include "core/model/initialize.h"

namespace shardscope {

double log_normal(std::uint64_t seed, std::uint64_t high, std::uint64_t low, double deviation) {
    if (!(deviation > 0)) return 1;
    std::uint32_t words[4];
    Philox{stream_key(seed, "jitter")}(low, high, words);
    // In (0, 1] and [0, 1).
    const double radius = (static_cast<double>(words[0]) + 1) * 0x1p-32;
    const double angle = static_cast<double>(words[1]) * 0x1p-32;
    const double normal = std::sqrt(-2 * std::log(radius)) * std::cos(2 * std::numbers::pi * angle);
    // exp of a normal with variance s² and mean −s²/2 has mean 1 and variance e^(s²) − 1.
    const double variance = std::log1p(deviation * deviation);
    return std::exp(std::sqrt(variance) * normal - variance / 2);
}

}  // namespace shardscope
