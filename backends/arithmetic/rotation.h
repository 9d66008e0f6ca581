// Rotary positions: the rotation of a pair, and angles of any position in 32-bit arithmetic.
#pragma once

#include <cmath>
#include <numbers>

#include "backends/arithmetic/exponential.h"

namespace shardscope {

template <class T>
struct Pair {
    T first, second;
};

// (a, b) turned by an angle whose cosine and sine are c and s.
template <class T>
SHARDSCOPE_ARITHMETIC Pair<T> rotated(T a, T b, T c, T s) {
    return {a * c - b * s, b * c + a * s};
}

// An angle per position as a fraction of a full turn, in units of 2⁻⁶⁴: multiplying it with a position drops
// whole turns by itself, so that position 10⁶ is as exact as position 1, where floats would be off by
// 10⁶ · 2⁻²⁴ radians.
using Turns = std::uint64_t;

// On the host. `frequency`: radians per position, not negative, below 2⁹.
inline Turns turns_per_position(double frequency) {
    const double turns = frequency / (2 * std::numbers::pi);
    const double fraction = turns - std::floor(turns);
    return static_cast<Turns>(fraction * 0x1p63) << 1;
}

// Cosine (first) and sine of the angle of a position, within 1.5e-7. The angle in units of 2⁻³² turns is a
// quarter of a turn plus at most an eighth either way, where short polynomials do (the coefficients
// are those of Cephes' sinf and cosf).
SHARDSCOPE_ARITHMETIC Pair<float> cosine_and_sine(Turns per_position, std::int64_t position) {
    const auto turn = static_cast<std::uint32_t>(
        (per_position * static_cast<Turns>(position) + 0x80000000u) >> 32);
    const std::uint32_t quarter = (turn + 0x20000000u) >> 30;
    const auto rest = static_cast<std::int32_t>(turn - (quarter << 30));
    const float x = static_cast<float>(rest) * 1.4629180792671596e-9f;  // 2π · 2⁻³²
    const float square = x * x;
    float s = -1.9515295891e-4f;
    s = s * square + 8.3321608736e-3f;
    s = s * square - 1.6666654611e-1f;
    s = s * square * x + x;
    float c = 2.443315711809948e-5f;
    c = c * square - 1.388731625493765e-3f;
    c = c * square + 4.166664568298827e-2f;
    c = c * square * square - 0.5f * square + 1.0f;
    const bool odd = (quarter & 1u) != 0;
    const float cosine = odd ? s : c, sine = odd ? c : s;
    const std::uint32_t q = quarter & 3u;
    return {q == 1 || q == 2 ? -cosine : cosine, q >= 2 ? -sine : sine};
}

}  // namespace shardscope
