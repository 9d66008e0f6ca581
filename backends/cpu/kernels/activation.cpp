// Activations that stand alone, and the gated unit of Llama's MLP.
#include "backends/cpu/kernels/activation_functions.h"
#include "backends/cpu/kernels/kernels.h"

namespace shardscope::cpu {
namespace {

template <class T>
SHARDSCOPE_CLONES void forward(const Activate& k, Share share, const T* x, T* y) {
    activate(k.activation, x + share.first, y + share.first, share.count());
}

template <class T>
SHARDSCOPE_CLONES void backward(const ActivateGrad& k, Share share, const T* dy, const T* x,
                                T* dx) {
    const std::int64_t at = share.first;
    activate_grad(k.activation, dy + at, x + at, dx + at, share.count());
}

template <class T>
SHARDSCOPE_CLONES void forward(const SwiGlu& k, Share share, const T* gate_up, T* y) {
    for (std::int64_t r = share.first; r < share.last; ++r) {
        const T* gate = gate_up + 2 * r * k.ffn;
        const T* up = gate + k.ffn;
        T* out = y + r * k.ffn;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < k.ffn; ++i) {
            const Real<T> g = gate[i];
            out[i] = g * sigmoid(g).value * up[i];
        }
    }
}

// silu(g) = g·s, silu'(g) = s·(1 + g·(1 − s)).
template <class T>
SHARDSCOPE_CLONES void backward(const SwiGluGrad& k, Share share, const T* dy, const T* gate_up,
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
            const Sigmoid<R> s = sigmoid(g);
            const R silu = g * s.value;
            dgate[i] = gradient * up[i] * (s.value + silu * s.complement);
            dup[i] = gradient * silu;
        }
    }
}

}  // namespace

template <class T>
void run(const Activate& k, const Addresses& at, Team& team) {
    divide_elements(team, k.elements, [&](const Share& share) {
        forward(k, share, as<const T>(at[0]), as<T>(at[1]));
    });
}
template <class T>
void run(const ActivateGrad& k, const Addresses& at, Team& team) {
    divide_elements(team, k.elements, [&](const Share& share) {
        backward(k, share, as<const T>(at[0]), as<const T>(at[1]), as<T>(at[2]));
    });
}
template <class T>
void run(const SwiGlu& k, const Addresses& at, Team& team) {
    divide_rows(team, k.rows, 2 * k.ffn,
                [&](const Share& share) { forward(k, share, as<const T>(at[0]), as<T>(at[1])); });
}
template <class T>
void run(const SwiGluGrad& k, const Addresses& at, Team& team) {
    divide_rows(team, k.rows, 2 * k.ffn, [&](const Share& share) {
        backward(k, share, as<const T>(at[0]), as<const T>(at[1]), as<T>(at[2]));
    });
}

SHARDSCOPE_INSTANTIATE(Activate);
SHARDSCOPE_INSTANTIATE(ActivateGrad);
SHARDSCOPE_INSTANTIATE(SwiGlu);
SHARDSCOPE_INSTANTIATE(SwiGluGrad);

}  // namespace shardscope::cpu
