// Activations that stand alone.
#include "backends/arithmetic/activation.h"
#include "backends/cuda/kernels/flat.h"
#include "backends/cuda/kernels/kernels.h"

namespace shardscope::cuda {
namespace {

// `none`, for completeness of the switch below.
struct Identity {
    SHARDSCOPE_DEVICE static float value(float x) { return x; }
    SHARDSCOPE_DEVICE static float gradient(float dy, float) { return dy; }
};

// y may be x.
template <class T, class Function>
struct Forward {
    static constexpr int N = kPerWords<T>;
    const T* x;
    T* y;
    bool aligned;
    SHARDSCOPE_DEVICE void operator()(std::int64_t at, int count) const {
        float v[N];
        load(x + at, count, aligned, v);
#pragma unroll
        for (int i = 0; i < N; ++i) v[i] = Function::value(v[i]);
        store(y + at, count, aligned, v);
    }
};

// dx may be dy or x.
template <class T, class Function>
struct Backward {
    static constexpr int N = kPerWords<T>;
    const T *dy, *x;
    T* dx;
    bool aligned;
    SHARDSCOPE_DEVICE void operator()(std::int64_t at, int count) const {
        float d[N], v[N];
        load(dy + at, count, aligned, d);
        load(x + at, count, aligned, v);
#pragma unroll
        for (int i = 0; i < N; ++i) d[i] = Function::gradient(d[i], v[i]);
        store(dx + at, count, aligned, d);
    }
};

template <class Work>
void with_function(Activation activation, const Work& work) {
    switch (activation) {
        case Activation::none:
            return work.template operator()<Identity>();
        case Activation::relu:
            return work.template operator()<Relu<DeviceMath>>();
        case Activation::gelu:
            return work.template operator()<GeluTanh<DeviceMath>>();
        case Activation::gelu_erf:
            return work.template operator()<GeluErf<DeviceMath>>();
    }
}

}  // namespace

template <class T>
void run(const Activate& k, const Addresses& at, const LaunchContext& context) {
    const T* x = as<const T>(at[0]);
    T* y = as<T>(at[1]);
    with_function(k.activation, [&]<class Function>() {
        run_flat<kPerWords<T>>("activate", k.elements, context,
                               Forward<T, Function>{x, y, is_aligned(x, y)});
    });
}

template <class T>
void run(const ActivateGrad& k, const Addresses& at, const LaunchContext& context) {
    const T *dy = as<const T>(at[0]), *x = as<const T>(at[1]);
    T* dx = as<T>(at[2]);
    with_function(k.activation, [&]<class Function>() {
        run_flat<kPerWords<T>>("activate_grad", k.elements, context,
                               Backward<T, Function>{dy, x, dx, is_aligned(dy, x, dx)});
    });
}

SHARDSCOPE_INSTANTIATE(Activate);
SHARDSCOPE_INSTANTIATE(ActivateGrad);

}  // namespace shardscope::cuda
