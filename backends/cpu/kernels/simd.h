// Loops that the compiler vectorises, for the instruction set found at run time, with the same bits
// on every one: sums have a fixed number of partial sums, and -ffp-contract=off keeps a·b + c apart.
//
// A hot loop is a function template marked SHARDSCOPE_CLONES; what it calls is SHARDSCOPE_INLINE,
// because a function that stays outside is compiled for the oldest instruction set only.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "backends/cpu/kernels/real.h"

// GCC resolves clones while the program is loaded, before the sanitizers' run time is ready.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define SHARDSCOPE_CLONES \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SHARDSCOPE_CLONES
#endif
#define SHARDSCOPE_INLINE [[gnu::always_inline]] inline

// Iterations are independent: outputs may be the very same array as an input of the loop, but must
// not overlap it shifted.
#if defined(__GNUC__) && !defined(__clang__)
#define SHARDSCOPE_INDEPENDENT _Pragma("GCC ivdep")
#else
#define SHARDSCOPE_INDEPENDENT
#endif

namespace shardscope::cpu {

// Partial sums (and maxima) of a reduction: enough for two registers of the widest instruction set.
constexpr int kLanes = 32;

// eˣ within 1.2e-7 relative for x in [−87, 88], 0 below and e⁸⁸ above: x = n·ln 2 + r with
// |r| ≤ ln 2 / 2, and a polynomial for eʳ (the coefficients are those of Cephes' expf). Never a
// denormal number, which would cost a hundred cycles each.
SHARDSCOPE_INLINE float exponential(float x) {
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
        std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(kRounder);
    return vanishes ? 0.0f : p * std::bit_cast<float>((exponent + 127) << 23);
}
SHARDSCOPE_INLINE double exponential(double x) { return std::exp(x); }

// s = 1 / (1 + e⁻ˣ), and 1 − s without the cancellation of that subtraction. Floats end at e⁻⁴⁰,
// far below their precision: smaller ones would make denormal products.
template <class T>
struct Sigmoid {
    T value, complement;
};
template <class T>
SHARDSCOPE_INLINE Sigmoid<T> sigmoid(T x) {
    constexpr T kLeast = sizeof(T) == sizeof(float) ? T(-40) : T(-700);
    const T e = exponential(-(x < kLeast ? kLeast : x));
    const T s = T(1) / (T(1) + e);
    return {s, e * s};
}

// Σ term(i), i = 0 … n − 1, in Sum's precision. Element i is added to partial sum i mod kLanes;
// partial sums are combined as a binary tree.
template <class Sum, class Term>
SHARDSCOPE_INLINE Sum lane_sum(std::int64_t n, Term term) {
    Sum lanes[kLanes] = {};
    std::int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
        for (int j = 0; j < kLanes; ++j) lanes[j] += term(i + j);
    if (i < n)
        for (int j = 0; j < kLanes; ++j)
            if (i + j < n) lanes[j] += term(i + j);
    for (int width = kLanes / 2; width > 0; width /= 2)
        for (int j = 0; j < width; ++j) lanes[j] += lanes[j + width];
    return lanes[0];
}

// The largest of x[0 … n − 1], n ≥ 1.
template <class T>
SHARDSCOPE_INLINE Real<T> lane_max(const T* x, std::int64_t n) {
    using R = Real<T>;
    R lanes[kLanes];
    for (int j = 0; j < kLanes; ++j) lanes[j] = x[0];
    std::int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
        for (int j = 0; j < kLanes; ++j) lanes[j] = R(x[i + j]) > lanes[j] ? R(x[i + j]) : lanes[j];
    R largest = x[0];
    for (; i < n; ++i) largest = R(x[i]) > largest ? R(x[i]) : largest;
    for (int j = 0; j < kLanes; ++j) largest = lanes[j] > largest ? lanes[j] : largest;
    return largest;
}

}  // namespace shardscope::cpu
