#include "cli/speed_check.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "cli/calibrate_kernels.h"
#include "cli/measure_clock.h"

namespace shardscope {
namespace {

constexpr std::size_t kShapes = 3;
constexpr Seconds kLongest{5e-3};  // of a multiply

Seconds calibrated_time(const MatmulSample& s) {
    return Seconds(2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) *
                   static_cast<double>(s.k) / s.rate.value);
}

// The longest of those that are short enough: they depend least on the clock and on caches.
std::vector<MatmulSample> shapes_to_time(std::vector<MatmulSample> samples) {
    std::ranges::sort(samples, {}, calibrated_time);
    const auto longer = std::ranges::upper_bound(samples, kLongest, {}, calibrated_time);
    const auto end = std::max(longer, samples.begin() + 1);
    const auto count = std::min<std::ptrdiff_t>(kShapes, end - samples.begin());
    return {end - count, end};
}

}  // namespace

std::optional<double> speed_now(const Calibration& calibration) {
    if (calibration.matmul.empty()) return std::nullopt;
    std::vector<double> parts;
    for (const MatmulSample& sample : shapes_to_time(calibration.matmul))
        parts.push_back(measure_again(sample).rate / sample.rate);
    return quantile(std::move(parts), 0.5);
}

std::optional<std::string> speed_note(const Calibration& calibration, double speed) {
    if (std::abs(speed - 1) <= kSpeedTolerance) return std::nullopt;
    const bool slower = speed < 1;
    return fmt::format(
        "this machine multiplies {:.0f} % {} now than when it was calibrated on {}, so predicted "
        "times are too {} by "
        "about as much; `shardscope calibrate` measures it anew",
        100 * std::abs(speed - 1), slower ? "slower" : "faster", calibration.date,
        slower ? "short" : "long");
}

}  // namespace shardscope
