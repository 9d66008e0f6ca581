#include "core/yaml_number.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace shardscope {
namespace {

constexpr double kKi = 1024.0;

constexpr UnitSuffix kByteSuffixes[] = {
    {"B", 1},
    {"kB", 1e3},
    {"KB", 1e3},
    {"MB", 1e6},
    {"GB", 1e9},
    {"TB", 1e12},
    {"KiB", kKi},
    {"MiB", kKi* kKi},
    {"GiB", kKi* kKi* kKi},
    {"TiB", kKi* kKi* kKi* kKi},
};
constexpr UnitSuffix kBandwidthSuffixes[] = {
    {"B/s", 1},    {"kB/s", 1e3},  {"KB/s", 1e3},       {"MB/s", 1e6},
    {"GB/s", 1e9}, {"TB/s", 1e12}, {"Mbit/s", 1e6 / 8}, {"Gbit/s", 1e9 / 8},
};
constexpr UnitSuffix kFlopsSuffixes[] = {
    {"FLOP/s", 1},
    {"GFLOP/s", 1e9},
    {"TFLOP/s", 1e12},
    {"PFLOP/s", 1e15},
};
constexpr UnitSuffix kClockSuffixes[] = {{"Hz", 1}, {"MHz", 1e6}, {"GHz", 1e9}};
constexpr UnitSuffix kPowerSuffixes[] = {{"W", 1}, {"kW", 1e3}};
constexpr UnitSuffix kTimeSuffixes[] = {{"s", 1},    {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9},
                                        {"min", 60}, {"h", 3600},  {"d", 86400}};

std::string_view without_plus(std::string_view text) {
    const bool plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
    return plus ? text.substr(1) : text;
}

bool starts_a_number(char c) { return (c >= '0' && c <= '9') || c == '.' || c == '-'; }

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text) {
    text = without_plus(text);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || end != text.data() + text.size()) return std::nullopt;
    if (error == std::errc::result_out_of_range) {
        return text[0] == '-' ? std::numeric_limits<std::int64_t>::min()
                              : std::numeric_limits<std::int64_t>::max();
    }
    return error == std::errc() ? std::optional(value) : std::nullopt;
}

std::optional<double> parse_number(std::string_view text) {
    text = without_plus(text);
    if (text.empty() || !starts_a_number(text[0])) return std::nullopt;  // "inf", "nan"
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

std::span<const UnitSuffix> suffixes_of(QuantityUnit unit) {
    switch (unit) {
        case QuantityUnit::none:
            break;
        case QuantityUnit::bytes:
            return kByteSuffixes;
        case QuantityUnit::bytes_per_second:
            return kBandwidthSuffixes;
        case QuantityUnit::flops_per_second:
            return kFlopsSuffixes;
        case QuantityUnit::seconds:
            return kTimeSuffixes;
        case QuantityUnit::hertz:
            return kClockSuffixes;
        case QuantityUnit::watts:
            return kPowerSuffixes;
    }
    return {};
}

std::optional<double> parse_quantity(std::string_view text, QuantityUnit unit) {
    double factor = 1;
    std::size_t longest = 0;
    for (const UnitSuffix& entry : suffixes_of(unit)) {
        if (!text.ends_with(entry.suffix) || entry.suffix.size() <= longest) continue;
        longest = entry.suffix.size();
        factor = entry.factor;
    }
    text.remove_suffix(longest);
    while (longest > 0 && text.ends_with(' ')) text.remove_suffix(1);
    const auto value = parse_number(text);
    if (!value) return std::nullopt;
    // Dividing by 1e6 rounds once where multiplying by 1e-6 rounds twice: 4.5us is 4.5e-6 exactly.
    const double result = factor < 1 ? *value / std::round(1 / factor) : *value * factor;
    return std::isfinite(result) ? std::optional(result) : std::nullopt;
}

}  // namespace shardscope
