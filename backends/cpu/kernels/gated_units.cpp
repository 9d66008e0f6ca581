// Gated units of MLPs, act(g) ⊙ u of the two outputs of one linear layer: Llama's SwiGLU and Gemma's GeGLU.
#include "backends/cpu/kernels/activation_functions.h"
#include "backends/cpu/kernels/kernels.h"

namespace shardscope::cpu {
namespace {

template <class Gate, class T>
SHARDSCOPE_CLONES void forward(std::int64_t ffn, Share share, const T* gate_up, T* y) {
    for (std::int64_t r = share.first; r < share.last; ++r) {
        const T* gate = gate_up + 2 * r * ffn;
        const T* up = gate + ffn;
        T* out = y + r * ffn;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < ffn; ++i) out[i] = Gate::value(Real<T>(gate[i])) * up[i];
    }
}

template <class Gate, class T>
SHARDSCOPE_CLONES void backward(std::int64_t ffn, Share share, const T* dy, const T* gate_up,
                                T* dgate_up) {
    using R = Real<T>;
    for (std::int64_t r = share.first; r < share.last; ++r) {
        const T* gate = gate_up + 2 * r * ffn;
        const T* up = gate + ffn;
        const T* d = dy + r * ffn;
        T* dgate = dgate_up + 2 * r * ffn;
        T* dup = dgate + ffn;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < ffn; ++i) {
            const R g = gate[i], gradient = d[i];
            const ValueAndSlope<R> act = Gate::both(g);
            dgate[i] = gradient * up[i] * act.slope;
            dup[i] = gradient * act.value;
        }
    }
}

}  // namespace

template <class T>
void run(const SwiGlu& k, const Addresses& at, Team& team) {
    divide_rows(team, k.rows, 2 * k.ffn, [&](const Share& share) {
        forward<Silu, T>(k.ffn, share, as<const T>(at[0]), as<T>(at[1]));
    });
}
template <class T>
void run(const SwiGluGrad& k, const Addresses& at, Team& team) {
    divide_rows(team, k.rows, 2 * k.ffn, [&](const Share& share) {
        backward<Silu, T>(k.ffn, share, as<const T>(at[0]), as<const T>(at[1]), as<T>(at[2]));
    });
}
template <class T>
void run(const GeGlu& k, const Addresses& at, Team& team) {
    divide_rows(team, k.rows, 2 * k.ffn, [&](const Share& share) {
        const bool exact = k.activation == Activation::gelu_erf;
        (exact ? forward<GeluErf, T> : forward<GeluTanh, T>)(k.ffn, share, as<const T>(at[0]),
                                                             as<T>(at[1]));
    });
}
template <class T>
void run(const GeGluGrad& k, const Addresses& at, Team& team) {
    divide_rows(team, k.rows, 2 * k.ffn, [&](const Share& share) {
        const bool exact = k.activation == Activation::gelu_erf;
        (exact ? backward<GeluErf, T> : backward<GeluTanh, T>)(k.ffn, share, as<const T>(at[0]),
                                                               as<const T>(at[1]), as<T>(at[2]));
    });
}

SHARDSCOPE_INSTANTIATE(SwiGlu);
SHARDSCOPE_INSTANTIATE(SwiGluGrad);
SHARDSCOPE_INSTANTIATE(GeGlu);
SHARDSCOPE_INSTANTIATE(GeGluGrad);

}  // namespace shardscope::cpu
