// Activations and their derivatives over arrays, to be inlined into cloned loops (simd.h).
#pragma once

#include "backends/arithmetic/activation.h"
#include "backends/cpu/kernels/simd.h"
#include "core/model/model.h"

namespace shardscope::cpu {

using GeluTanh = shardscope::GeluTanh<PortableMath>;
using GeluErf = shardscope::GeluErf<PortableMath>;
using Silu = shardscope::Silu<PortableMath>;
using Relu = shardscope::Relu<PortableMath>;

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
            for (std::int64_t i = 0; i < n; ++i) y[i] = Relu::value(R(x[i]));
            return;
        case Activation::gelu:
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) y[i] = GeluTanh::value(R(x[i]));
            return;
        case Activation::gelu_erf:
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) y[i] = GeluErf::value(R(x[i]));
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
            for (std::int64_t i = 0; i < n; ++i) dx[i] = Relu::gradient(R(dy[i]), R(x[i]));
            return;
        case Activation::gelu:
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) dx[i] = GeluTanh::gradient(R(dy[i]), R(x[i]));
            return;
        case Activation::gelu_erf:
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < n; ++i) dx[i] = GeluErf::gradient(R(dy[i]), R(x[i]));
            return;
    }
}

}  // namespace shardscope::cpu
