// Activations and their derivatives over arrays, to be inlined into cloned loops (simd.h).
#pragma once

#include "backends/cpu/kernels/gelu_erf.h"
#include "backends/cpu/kernels/simd.h"
#include "core/model/model.h"

namespace shardscope::cpu {

// GELU's tanh form, x/2 · (1 + tanh u) with u = √(2/π)·(x + 0.044715 x³), written as x·sigmoid(2u):
// the same function, one exponential, and exact to the last bits for large negative x.
template <class T>
SHARDSCOPE_INLINE T gelu(T x) {
    constexpr T kTwice = T(1.5957691216057308);  // 2·√(2/π)
    return x * sigmoid(kTwice * (x + T(0.044715) * x * x * x)).value;
}
template <class T>
SHARDSCOPE_INLINE T gelu_derivative(T x) {
    constexpr T kTwice = T(1.5957691216057308);
    const T square = x * x;
    const Sigmoid<T> s = sigmoid(kTwice * (x + T(0.044715) * square * x));
    return s.value * (T(1) + x * s.complement * kTwice * (T(1) + T(3 * 0.044715) * square));
}

// y = act(x); y may be x.
template <class X, class Y>
SHARDSCOPE_INLINE void activate(Activation activation, const X* x, Y* y, std::int64_t n) {
    using R = Real<X>;
    switch (activation) {
        case Activation::none:
            if (static_cast<const void*>(x) == y) return;
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) y[i] = x[i];
            return;
        case Activation::relu:
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) y[i] = R(x[i]) > R(0) ? R(x[i]) : R(0);
            return;
        case Activation::gelu:
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) y[i] = gelu(R(x[i]));
            return;
        case Activation::gelu_erf:
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) y[i] = gelu_erf(R(x[i]));
            return;
    }
}

// dx = dy · act'(x); dx may be dy or x. For relu x may be the activation's output as well.
template <class Dy, class X, class Dx>
SHARDSCOPE_INLINE void activate_grad(Activation activation, const Dy* dy, const X* x, Dx* dx,
                                     std::int64_t n) {
    using R = Real<X>;
    switch (activation) {
        case Activation::none:
            if (static_cast<const void*>(dy) == dx) return;
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) dx[i] = dy[i];
            return;
        case Activation::relu:
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) dx[i] = R(x[i]) > R(0) ? R(dy[i]) : R(0);
            return;
        case Activation::gelu:
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) dx[i] = R(dy[i]) * gelu_derivative(R(x[i]));
            return;
        case Activation::gelu_erf:
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) dx[i] = R(dy[i]) * gelu_erf_derivative(R(x[i]));
            return;
    }
}

}  // namespace shardscope::cpu
