#include "core/report/figures.h"

#include <cmath>

#include <fmt/format.h>

namespace shardscope {
namespace {

constexpr double kLeastGiB = 0.1;  // below it, GiB with two decimals shows too little

}  // namespace

MemoryUnit::MemoryUnit(Bytes largest) : mebi_(gib(largest) < kLeastGiB) {}

std::string MemoryUnit::format(Bytes bytes) const {
    return fmt::format("{:.2f}", static_cast<double>(bytes.value) / (mebi_ ? kMiB : kGiB));
}

TimeUnit::TimeUnit(Seconds largest) : milli_(!(largest.value >= 1.0)) {
    const double value = largest.value * (milli_ ? 1e3 : 1.0);
    decimals_ = value >= 100 ? 1 : value >= 10 ? 2 : 3;
}

std::string TimeUnit::format(Seconds time) const {
    if (!std::isfinite(time.value)) return kUnknown;
    return fmt::format("{:.{}f}", time.value * (milli_ ? 1e3 : 1.0), decimals_);
}

std::string format_count(std::int64_t value) {
    std::string digits = fmt::format("{}", value);
    const std::size_t sign = value < 0 ? 1 : 0;
    for (std::size_t at = digits.size(); at > sign + 3;) digits.insert(at -= 3, ",");
    return digits;
}

std::string format_count(double value) {
    constexpr double kLargest = 9e18;  // beyond it there is no int64
    if (!std::isfinite(value) || std::abs(value) > kLargest) return kUnknown;
    return format_count(static_cast<std::int64_t>(std::llround(value)));
}

std::string format_amount(double value) {
    const double size = std::abs(value);
    // A value that rounds to a hundred is one.
    if (!std::isfinite(value) || size >= 99.95 || size == 0) return format_count(value);
    const int decimals = 2 - static_cast<int>(std::floor(std::log10(size)));
    const std::string text = fmt::format("{:.{}f}", value, decimals);
    constexpr int kMostDecimals = 6;
    return decimals <= kMostDecimals ? text : fmt::format("{:.2e}", value);
}

std::string format_percent(double fraction) {
    return std::isfinite(fraction) ? fmt::format("{:.1f}", 100.0 * fraction) : kUnknown;
}

std::string format_difference(std::int64_t value) {
    return (value > 0 ? "+" : "") + format_count(value);
}

}  // namespace shardscope
