// The gated unit of Gemma's MLP: GELU, in one form or the other, times another linear layer's output.
#include "backends/cpu/kernels/activation_functions.h"
#include "backends/cpu/kernels/kernels.h"

namespace shardscope::cpu {
namespace {

struct Tanh {
    template <class R>
    SHARDSCOPE_INLINE static R value(R x) {
        return gelu(x);
    }
    template <class R>
    SHARDSCOPE_INLINE static R derivative(R x) {
        return gelu_derivative(x);
    }
};
struct Erf {
    template <class R>
    SHARDSCOPE_INLINE static R value(R x) {
        return gelu_erf(x);
    }
    template <class R>
    SHARDSCOPE_INLINE static R derivative(R x) {
        return gelu_erf_derivative(x);
    }
};

template <class Gelu, class T>
SHARDSCOPE_CLONES void forward(const GeGlu& k, Share share, const T* gate_up, T* y) {
    for (std::int64_t r = share.first; r < share.last; ++r) {
        const T* gate = gate_up + 2 * r * k.ffn;
        const T* up = gate + k.ffn;
        T* out = y + r * k.ffn;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < k.ffn; ++i) out[i] = Gelu::value(Real<T>(gate[i])) * up[i];
    }
}

template <class Gelu, class T>
SHARDSCOPE_CLONES void backward(const GeGluGrad& k, Share share, const T* dy, const T* gate_up,
                                T* dgate_up) {
    using R = Real<T>;
    for (std::int64_t r = share.first; r < share.last; ++r) {
        const T* gate = gate_up + 2 * r * k.ffn;
        const T* up = gate + k.ffn;
        const T* d = dy + r * k.ffn;
        T* dgate = dgate_up + 2 * r * k.ffn;
        T* dup = dgate + k.ffn;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < k.ffn; ++i) {
            const R g = gate[i], gradient = d[i];
            dgate[i] = gradient * up[i] * Gelu::derivative(g);
            dup[i] = gradient * Gelu::value(g);
        }
    }
}

}  // namespace

template <class T>
void run(const GeGlu& k, const Addresses& at, Team& team) {
    divide_rows(team, k.rows, 2 * k.ffn, [&](const Share& share) {
        const bool exact = k.activation == Activation::gelu_erf;
        (exact ? forward<Erf, T> : forward<Tanh, T>)(k, share, as<const T>(at[0]), as<T>(at[1]));
    });
}
template <class T>
void run(const GeGluGrad& k, const Addresses& at, Team& team) {
    divide_rows(team, k.rows, 2 * k.ffn, [&](const Share& share) {
        const bool exact = k.activation == Activation::gelu_erf;
        (exact ? backward<Erf, T> : backward<Tanh, T>)(k, share, as<const T>(at[0]),
                                                       as<const T>(at[1]), as<T>(at[2]));
    });
}

SHARDSCOPE_INSTANTIATE(GeGlu);
SHARDSCOPE_INSTANTIATE(GeGluGrad);

}  // namespace shardscope::cpu
