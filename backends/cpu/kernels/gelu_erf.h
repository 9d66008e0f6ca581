// GELU as it is defined, x·Φ(x) with Φ the normal distribution function, and its derivative
// Φ(x) + x·φ(x).
#pragma once

#include <cmath>
#include <numbers>

#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu {

// Φ(x) and φ(x), which share an exponential.
template <class T>
struct Normal {
    T distribution, density;
};

// Within 2e-7. With z = |x|/√2, 1 − erf z = t·p(t)·e^(−z²), t = 1/(1 + 0.3275911 z), within 1.5e-7
// (Abramowitz and Stegun 1964, formula 7.1.26).
SHARDSCOPE_INLINE Normal<float> normal(float x) {
    const float magnitude = x < 0 ? -x : x;
    const float e = exponential(-0.5f * x * x);
    const float t = 1.0f / (1.0f + 0.23164189f * magnitude);  // 0.3275911/√2
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const float tail = 0.5f * p * t * e;
    return {x < 0 ? tail : 1.0f - tail, 0.39894228f * e};
}
SHARDSCOPE_INLINE Normal<double> normal(double x) {
    constexpr double kDensity = std::numbers::inv_sqrtpi / std::numbers::sqrt2;
    return {0.5 * std::erfc(-x / std::numbers::sqrt2), kDensity * std::exp(-0.5 * x * x)};
}

template <class T>
SHARDSCOPE_INLINE T gelu_erf(T x) {
    return x * normal(x).distribution;
}
template <class T>
SHARDSCOPE_INLINE T gelu_erf_derivative(T x) {
    const Normal<T> n = normal(x);
    return n.distribution + x * n.density;
}

}  // namespace shardscope::cpu
