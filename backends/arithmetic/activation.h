// Activations of one element: value() and the derivative, slope(), of the argument x; both() shares
// what they have in common where that is an exponential.
#pragma once

#include <numbers>

#include "backends/arithmetic/exponential.h"

namespace shardscope {

template <class T>
struct ValueAndSlope {
    T value, slope;
};

// For Relu's slope x may be the activation's output as well.
template <class Math>
struct Relu {
    template <class T>
    SHARDSCOPE_ARITHMETIC static T value(T x) {
        return x > T(0) ? x : T(0);
    }
    // A selection and no product, so that what is not finite does not pass.
    template <class T>
    SHARDSCOPE_ARITHMETIC static T gradient(T dy, T x) {
        return x > T(0) ? dy : T(0);
    }
};

// GELU's tanh form, x/2 · (1 + tanh u) with u = √(2/π)·(x + 0.044715 x³), written as x·sigmoid(2u):
// the same function, one exponential, and exact to the last bits for large negative x.
template <class Math>
struct GeluTanh {
    template <class T>
    SHARDSCOPE_ARITHMETIC static T value(T x) {
        constexpr T kTwice = T(1.5957691216057308);  // 2·√(2/π)
        return x * sigmoid<Math>(kTwice * (x + T(0.044715) * x * x * x)).value;
    }
    template <class T>
    SHARDSCOPE_ARITHMETIC static T slope(T x) {
        constexpr T kTwice = T(1.5957691216057308);
        const T square = x * x;
        const Sigmoid<T> s = sigmoid<Math>(kTwice * (x + T(0.044715) * square * x));
        return s.value * (T(1) + x * s.complement * kTwice * (T(1) + T(3 * 0.044715) * square));
    }
    template <class T>
    SHARDSCOPE_ARITHMETIC static ValueAndSlope<T> both(T x) {
        return {value(x), slope(x)};
    }
    template <class T>
    SHARDSCOPE_ARITHMETIC static T gradient(T dy, T x) {
        return dy * slope(x);
    }
};

// Φ(x) and φ(x), the normal distribution function and its density, which share an exponential.
template <class T>
struct Normal {
    T distribution, density;
};
// Within 2e-7. With z = |x|/√2, 1 − erf z = t·p(t)·e^(−z²), t = 1/(1 + 0.3275911 z), within 1.5e-7
// (Abramowitz and Stegun 1964, formula 7.1.26).
template <class Math>
SHARDSCOPE_ARITHMETIC Normal<float> normal(float x) {
    const float magnitude = x < 0 ? -x : x;
    const float e = Math::exponential(-0.5f * x * x);
    const float t = Math::reciprocal(1.0f + 0.23164189f * magnitude);  // 0.3275911/√2
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const float tail = 0.5f * p * t * e;
    return {x < 0 ? tail : 1.0f - tail, 0.39894228f * e};
}
template <class Math>
SHARDSCOPE_ARITHMETIC Normal<double> normal(double x) {
    constexpr double kDensity = std::numbers::inv_sqrtpi / std::numbers::sqrt2;
    return {0.5 * std::erfc(-x / std::numbers::sqrt2), kDensity * std::exp(-0.5 * x * x)};
}

// GELU as it is defined, x·Φ(x).
template <class Math>
struct GeluErf {
    template <class T>
    SHARDSCOPE_ARITHMETIC static T value(T x) {
        return x * normal<Math>(x).distribution;
    }
    template <class T>
    SHARDSCOPE_ARITHMETIC static T slope(T x) {
        const Normal<T> n = normal<Math>(x);
        return n.distribution + x * n.density;
    }
    template <class T>
    SHARDSCOPE_ARITHMETIC static ValueAndSlope<T> both(T x) {
        return {value(x), slope(x)};
    }
    template <class T>
    SHARDSCOPE_ARITHMETIC static T gradient(T dy, T x) {
        return dy * slope(x);
    }
};

// silu(g) = g·s with s = sigmoid(g), silu'(g) = s·(1 + g·(1 − s)).
template <class Math>
struct Silu {
    template <class T>
    SHARDSCOPE_ARITHMETIC static T value(T x) {
        return x * sigmoid<Math>(x).value;
    }
    template <class T>
    SHARDSCOPE_ARITHMETIC static ValueAndSlope<T> both(T x) {
        const Sigmoid<T> s = sigmoid<Math>(x);
        const T silu = x * s.value;
        return {silu, s.value + silu * s.complement};
    }
};

}  // namespace shardscope
