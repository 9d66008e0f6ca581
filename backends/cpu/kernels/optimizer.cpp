// Optimizer steps as PyTorch defines them (torch.optim.AdamW, Adam, SGD with dampening 0).
#include <algorithm>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu {
namespace {

template <class T>
struct Tensors {
    const T* gradient;
    T* weight;  // updated: the master copy if there is one, else the parameter
    T *state1, *state2;
    std::int64_t elements;
    T clip;  // factor on the gradient
};

template <class T>
struct AdamFactors {
    T keep;          // AdamW: 1 − lr·decay, else 1
    T l2;            // Adam: decay added to the gradient, else 0
    T mean, square;  // 1 − β₁, 1 − β₂
    T beta2;
    T step;  // lr / (1 − β₁ᵗ)
    T root;  // √(1 − β₂ᵗ)
    T epsilon;
};

template <class T>
AdamFactors<T> adam_factors(const OptimizerSpec& spec, std::int64_t step) {
    const bool decoupled = spec.kind == OptimizerKind::adamw;
    const double t = static_cast<double>(step);
    AdamFactors<T> f;
    f.keep = static_cast<T>(decoupled ? 1 - spec.lr * spec.weight_decay : 1.0);
    f.l2 = static_cast<T>(decoupled ? 0.0 : spec.weight_decay);
    f.mean = static_cast<T>(1 - spec.beta1);
    f.square = static_cast<T>(1 - spec.beta2);
    f.beta2 = static_cast<T>(spec.beta2);
    f.step = static_cast<T>(spec.lr / (1 - std::pow(spec.beta1, t)));
    f.root = static_cast<T>(std::sqrt(1 - std::pow(spec.beta2, t)));
    f.epsilon = static_cast<T>(spec.epsilon);
    return f;
}

template <class T>
SHARDSCOPE_CLONES void adam(const Tensors<T>& t, const AdamFactors<T>& f) {
    const T* gradient = t.gradient;
    T *weight = t.weight, *state1 = t.state1, *state2 = t.state2;
    const T clip = t.clip;
    const AdamFactors<T> by = f;
    SHARDSCOPE_INDEPENDENT
    for (std::int64_t i = 0; i < t.elements; ++i) {
        const T w = weight[i];
        const T g = gradient[i] * clip + by.l2 * w;
        const T m = state1[i] + (g - state1[i]) * by.mean;
        const T v = state2[i] * by.beta2 + g * g * by.square;
        state1[i] = m;
        state2[i] = v;
        weight[i] = w * by.keep - by.step * (m / (std::sqrt(v) / by.root + by.epsilon));
    }
}

template <class T>
SHARDSCOPE_CLONES void sgd(const Tensors<T>& t, T lr, T decay, T momentum) {
    const T* gradient = t.gradient;
    T *weight = t.weight, *buffer = t.state1;
    const T clip = t.clip;
    if (!buffer) {
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < t.elements; ++i)
            weight[i] -= lr * (gradient[i] * clip + decay * weight[i]);
        return;
    }
    // The first step passes momentum 0: PyTorch's buffer starts as the gradient.
    SHARDSCOPE_INDEPENDENT
    for (std::int64_t i = 0; i < t.elements; ++i) {
        const T g = gradient[i] * clip + decay * weight[i];
        buffer[i] = buffer[i] * momentum + g;
        weight[i] -= lr * buffer[i];
    }
}

double clip_factor(const OptimizerStep& k, const double* norm) {
    return k.clip > 0 ? std::min(1.0, k.clip / (std::sqrt(*norm) + 1e-6)) : 1.0;
}

}  // namespace

template <class T>
void run(const OptimizerStep& k, const Addresses& at, std::int64_t step) {
    T *parameter = as<T>(at[2]), *master = as<T>(at[3]);
    const T clip = static_cast<T>(clip_factor(k, as<const double>(at[1])));
    const Tensors<T> tensors{as<const T>(at[0]), k.master ? master : parameter,
                             as<T>(at[4]),       as<T>(at[5]),
                             k.elements,         clip};
    if (k.spec.kind == OptimizerKind::sgd) {
        const double momentum = step == 1 ? 0.0 : k.spec.momentum;
        sgd(tensors, static_cast<T>(k.spec.lr), static_cast<T>(k.spec.weight_decay),
            static_cast<T>(momentum));
    } else {
        adam(tensors, adam_factors<T>(k.spec, step));
    }
    if (k.master) std::copy_n(master, k.elements, parameter);
}

template void run<float>(const OptimizerStep&, const Addresses&, std::int64_t);
template void run<double>(const OptimizerStep&, const Addresses&, std::int64_t);

}  // namespace shardscope::cpu
