// Exponentials, and what kernels are built on them.
//
// This folder is the arithmetic of one element of a kernel, written once for CPUs and GPUs: tests on the CPU
// execute what GPUs compute. Functions have no branches that would keep a loop from being vectorised, and are
// always inlined, because a loop is compiled for several instruction sets (cpu/kernels/simd.h). `Math` says
// how a device makes an exponential and a reciprocal.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/host_device.h"

#define SHARDSCOPE_ARITHMETIC [[gnu::always_inline]] SHARDSCOPE_HD inline

namespace shardscope {

// Arithmetic of C++ alone: the same bits on every device and instruction set, as long as a·b + c is not
// fused.
struct PortableMath {
    // eˣ within 1.2e-7 relative for x in [−87, 88], 0 below and e⁸⁸ above: x = n·ln 2 + r with
    // |r| ≤ ln 2 / 2, and a polynomial for eʳ (the coefficients are those of Cephes' expf). Never a
    // denormal number, which would cost a hundred cycles each.
    SHARDSCOPE_ARITHMETIC static float exponential(float x) {
        constexpr float kRounder = 12582912.0f;  // 1.5 · 2²³: adding it rounds to an integer
        constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
        const bool vanishes = x < -87.0f;
        x = vanishes ? -87.0f : x;
        x = x > 88.0f ? 88.0f : x;
        const float shifted = x * 1.44269504f + kRounder;
        const float n = shifted - kRounder;
        const float r = (x - n * kLn2High) - n * kLn2Low;
        float p = 1.9875691500e-4f;
        p = p * r + 1.3981999507e-3f;
        p = p * r + 8.3334519073e-3f;
        p = p * r + 4.1665795894e-2f;
        p = p * r + 1.6666665459e-1f;
        p = p * r + 5.0000001201e-1f;
        p = p * (r * r) + r + 1.0f;
        const std::int32_t exponent =
            __builtin_bit_cast(std::int32_t, shifted) - __builtin_bit_cast(std::int32_t, kRounder);
        return vanishes ? 0.0f : p * __builtin_bit_cast(float, (exponent + 127) << 23);
    }
    SHARDSCOPE_ARITHMETIC static double exponential(double x) { return std::exp(x); }

    template <class T>
    SHARDSCOPE_ARITHMETIC static T reciprocal(T x) {
        return T(1) / x;
    }
};

// s = 1 / (1 + e⁻ˣ), and 1 − s without the cancellation of that subtraction. Floats end at e⁻⁴⁰,
// far below their precision: smaller ones would make denormal products.
template <class T>
struct Sigmoid {
    T value, complement;
};
template <class Math, class T>
SHARDSCOPE_ARITHMETIC Sigmoid<T> sigmoid(T x) {
    constexpr T kLeast = sizeof(T) == sizeof(float) ? T(-40) : T(-700);
    const T e = Math::exponential(-(x < kLeast ? kLeast : x));
    const T s = Math::reciprocal(T(1) + e);
    return {s, e * s};
}

}  // namespace shardscope
