// Gated units of MLPs, act(gate) ⊙ up of the two halves of a row.
#include "backends/arithmetic/activation.h"
#include "backends/cuda/kernels/flat.h"
#include "backends/cuda/kernels/kernels.h"

namespace shardscope::cuda {
namespace {

template <class T, class Gate, int N>
struct Forward {
    std::int64_t ffn;
    const T* gate_up;
    T* y;
    SHARDSCOPE_DEVICE void operator()(std::int64_t row, std::int64_t column) const {
        const T* from = gate_up + 2 * row * ffn + column;
        float gate[N], up[N];
        load(from, gate);
        load(from + ffn, up);
#pragma unroll
        for (int i = 0; i < N; ++i) gate[i] = Gate::value(gate[i]) * up[i];
        store(y + row * ffn + column, gate);
    }
};

template <class T, class Gate, int N>
struct Backward {
    std::int64_t ffn;
    const T *dy, *gate_up;
    T* dgate_up;
    SHARDSCOPE_DEVICE void operator()(std::int64_t row, std::int64_t column) const {
        const std::int64_t at = 2 * row * ffn + column;
        float d[N], gate[N], up[N];
        load(dy + row * ffn + column, d);
        load(gate_up + at, gate);
        load(gate_up + at + ffn, up);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const ValueAndSlope<float> act = Gate::both(gate[i]);
            gate[i] = d[i] * up[i] * act.slope;
            up[i] = d[i] * act.value;
        }
        store(dgate_up + at, gate);
        store(dgate_up + at + ffn, up);
    }
};

template <class T, class Gate>
void forward(const char* name, std::int64_t rows, std::int64_t ffn, const Addresses& at,
             const LaunchContext& context) {
    const T* gate_up = as<const T>(at[0]);
    T* y = as<T>(at[1]);
    with_vectors<T>(
        ffn,
        [&]<int N>() {
            run_matrix<N>(name, rows, ffn, context, Forward<T, Gate, N>{ffn, gate_up, y});
        },
        gate_up, y);
}

template <class T, class Gate>
void backward(const char* name, std::int64_t rows, std::int64_t ffn, const Addresses& at,
              const LaunchContext& context) {
    const T *dy = as<const T>(at[0]), *gate_up = as<const T>(at[1]);
    T* dgate_up = as<T>(at[2]);
    with_vectors<T>(
        ffn,
        [&]<int N>() {
            run_matrix<N>(name, rows, ffn, context,
                          Backward<T, Gate, N>{ffn, dy, gate_up, dgate_up});
        },
        dy, gate_up, dgate_up);
}

}  // namespace

template <class T>
void run(const SwiGlu& k, const Addresses& at, const LaunchContext& context) {
    forward<T, Silu<DeviceMath>>("swiglu", k.rows, k.ffn, at, context);
}
template <class T>
void run(const SwiGluGrad& k, const Addresses& at, const LaunchContext& context) {
    backward<T, Silu<DeviceMath>>("swiglu_grad", k.rows, k.ffn, at, context);
}
template <class T>
void run(const GeGlu& k, const Addresses& at, const LaunchContext& context) {
    const bool exact = k.activation == Activation::gelu_erf;
    (exact ? forward<T, GeluErf<DeviceMath>>
           : forward<T, GeluTanh<DeviceMath>>)("geglu", k.rows, k.ffn, at, context);
}
template <class T>
void run(const GeGluGrad& k, const Addresses& at, const LaunchContext& context) {
    const bool exact = k.activation == Activation::gelu_erf;
    (exact ? backward<T, GeluErf<DeviceMath>>
           : backward<T, GeluTanh<DeviceMath>>)("geglu_grad", k.rows, k.ffn, at, context);
}

SHARDSCOPE_INSTANTIATE(SwiGlu);
SHARDSCOPE_INSTANTIATE(SwiGluGrad);
SHARDSCOPE_INSTANTIATE(GeGlu);
SHARDSCOPE_INSTANTIATE(GeGluGrad);

}  // namespace shardscope::cuda
