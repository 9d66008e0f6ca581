// Physical quantities as types, so that no bare double stands for seconds or bytes in an interface.
//
// Bytes are whole (64-bit); everything else is a double in SI base units: seconds, floating-point
// operations (one multiply-add counts as two), bytes per second, operations per second, hertz, watts,
// joules.
#pragma once

#include <compare>
#include <cstdint>

namespace shardscope {

// A quantity with the unit `Tag`, stored as `Rep`. Adds and scales like a number; quantities of
// different units do not mix except through the ratios defined below.
template <class Tag, class Rep>
struct Quantity {
    Rep value{};

    constexpr Quantity() = default;
    constexpr explicit Quantity(Rep v) : value(v) {}

    constexpr auto operator<=>(const Quantity&) const = default;
    constexpr Quantity& operator+=(Quantity o) {
        value += o.value;
        return *this;
    }
    constexpr Quantity& operator-=(Quantity o) {
        value -= o.value;
        return *this;
    }
    friend constexpr Quantity operator+(Quantity a, Quantity b) {
        return Quantity(a.value + b.value);
    }
    friend constexpr Quantity operator-(Quantity a, Quantity b) {
        return Quantity(a.value - b.value);
    }
    friend constexpr Quantity operator*(Quantity a, Rep s) { return Quantity(a.value * s); }
    friend constexpr Quantity operator*(Rep s, Quantity a) { return Quantity(a.value * s); }
    friend constexpr Quantity operator/(Quantity a, Rep s) { return Quantity(a.value / s); }
    friend constexpr double operator/(Quantity a, Quantity b) {
        return static_cast<double>(a.value) / static_cast<double>(b.value);
    }
};

using Bytes = Quantity<struct BytesTag, std::int64_t>;
using Seconds = Quantity<struct SecondsTag, double>;
using Flops = Quantity<struct FlopsTag, double>;
using BytesPerSecond = Quantity<struct BytesPerSecondTag, double>;
using FlopsPerSecond = Quantity<struct FlopsPerSecondTag, double>;
using Hertz = Quantity<struct HertzTag, double>;
using Watts = Quantity<struct WattsTag, double>;
using Joules = Quantity<struct JoulesTag, double>;

constexpr Seconds operator/(Bytes b, BytesPerSecond r) {
    return Seconds(static_cast<double>(b.value) / r.value);
}
constexpr Joules operator*(Watts p, Seconds t) { return Joules(p.value * t.value); }
constexpr Seconds operator/(Flops f, FlopsPerSecond r) { return Seconds(f.value / r.value); }

constexpr std::int64_t kMiB = 1024 * 1024;
constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;  // memory is printed in GiB
constexpr double kGB = 1e9;                        // bandwidth is printed in GB/s

constexpr double gib(Bytes b) { return static_cast<double>(b.value) / kGiB; }

}  // namespace shardscope
