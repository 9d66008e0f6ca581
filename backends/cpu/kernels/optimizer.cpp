// Optimizer steps as PyTorch defines them (torch.optim.AdamW, Adam, SGD with dampening 0).
#include <algorithm>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu {
namespace {

// Gradient, weight and state; R = Real of the stored weight, which the arithmetic is in.
template <class G, class W, class R>
struct Tensors {
    const G* gradient;
    W* weight;  // updated: the master copy if there is one, else the parameter
    R *state1, *state2;
    R clip;  // factor on the gradient
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

template <class G, class W, class R>
SHARDSCOPE_CLONES void adam(Share share, const Tensors<G, W, R>& t, const AdamFactors<R>& f) {
    const G* gradient = t.gradient;
    W* weight = t.weight;
    R *state1 = t.state1, *state2 = t.state2;
    const R clip = t.clip;
    const AdamFactors<R> by = f;
    SHARDSCOPE_INDEPENDENT
    for (std::int64_t i = share.first; i < share.last; ++i) {
        const R w = weight[i];
        const R g = gradient[i] * clip + by.l2 * w;
        const R m = state1[i] + (g - state1[i]) * by.mean;
        const R v = state2[i] * by.beta2 + g * g * by.square;
        state1[i] = m;
        state2[i] = v;
        weight[i] = w * by.keep - by.step * (m / (std::sqrt(v) / by.root + by.epsilon));
    }
}

template <class G, class W, class R>
SHARDSCOPE_CLONES void sgd(Share share, const Tensors<G, W, R>& t, R lr, R decay, R momentum) {
    const G* gradient = t.gradient;
    W* weight = t.weight;
    R* buffer = t.state1;
    const R clip = t.clip;
    if (!buffer) {
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = share.first; i < share.last; ++i)
            weight[i] = weight[i] - lr * (gradient[i] * clip + decay * weight[i]);
        return;
    }
    // The first step passes momentum 0: PyTorch's buffer starts as the gradient.
    SHARDSCOPE_INDEPENDENT
    for (std::int64_t i = share.first; i < share.last; ++i) {
        const R g = gradient[i] * clip + decay * weight[i];
        buffer[i] = buffer[i] * momentum + g;
        weight[i] = weight[i] - lr * buffer[i];
    }
}

// The parameter that kernels read, from the master copy.
template <class R, class T>
SHARDSCOPE_CLONES void store(Share share, const R* master, T* parameter) {
    for (std::int64_t i = share.first; i < share.last; ++i) parameter[i] = master[i];
}

double clip_factor(const OptimizerStep& k, const double* norm) {
    return k.clip > 0 ? std::min(1.0, k.clip / (std::sqrt(*norm) + 1e-6)) : 1.0;
}

template <class G, class W>
void update(const OptimizerStep& k, Share share, const Addresses& at, W* weight,
            std::int64_t step) {
    using R = Real<W>;
    const R clip = static_cast<R>(clip_factor(k, as<const double>(at[1])));
    const Tensors<G, W, R> tensors{as<const G>(at[0]), weight, as<R>(at[4]), as<R>(at[5]), clip};
    if (k.spec.kind == OptimizerKind::sgd) {
        const double momentum = step == 1 ? 0.0 : k.spec.momentum;
        sgd(share, tensors, static_cast<R>(k.spec.lr), static_cast<R>(k.spec.weight_decay),
            static_cast<R>(momentum));
    } else {
        adam(share, tensors, adam_factors<R>(k.spec, step));
    }
}

}  // namespace

template <class T, class G>
void run(const OptimizerStep& k, const Addresses& at, std::int64_t step, Team& team) {
    T* parameter = as<T>(at[2]);
    auto* master = as<Real<T>>(at[3]);
    divide_elements(team, k.elements, [&](const Share& share) {
        if (!k.master) return update<G>(k, share, at, parameter, step);
        update<G>(k, share, at, master, step);
        store(share, master, parameter);
    });
}

template void run<float, float>(const OptimizerStep&, const Addresses&, std::int64_t, Team&);
template void run<double, double>(const OptimizerStep&, const Addresses&, std::int64_t, Team&);
template void run<Bf16, float>(const OptimizerStep&, const Addresses&, std::int64_t, Team&);
template void run<Bf16, Bf16>(const OptimizerStep&, const Addresses&, std::int64_t, Team&);

}  // namespace shardscope::cpu
