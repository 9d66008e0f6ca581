// Optimizer steps over flat ranges.
#include "backends/arithmetic/optimizer.h"

#include <cmath>

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

template <class G, class W, class R>
SHARDSCOPE_CLONES void adam_step(Share share, const Tensors<G, W, R>& t, const AdamFactors<R>& f) {
    const G* gradient = t.gradient;
    W* weight = t.weight;
    R *state1 = t.state1, *state2 = t.state2;
    const R clip = t.clip;
    const AdamFactors<R> by = f;
    SHARDSCOPE_INDEPENDENT
    for (std::int64_t i = share.first; i < share.last; ++i) {
        const Adam<R> now = adam<R>(by, clip, gradient[i], {weight[i], state1[i], state2[i]});
        state1[i] = now.mean;
        state2[i] = now.square;
        weight[i] = now.weight;
    }
}

template <class G, class W, class R>
SHARDSCOPE_CLONES void sgd_step(Share share, const Tensors<G, W, R>& t, const SgdFactors<R>& f) {
    const G* gradient = t.gradient;
    W* weight = t.weight;
    R* buffer = t.state1;
    const R clip = t.clip;
    const SgdFactors<R> by = f;
    if (!buffer) {
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = share.first; i < share.last; ++i)
            weight[i] = sgd<R>(by, clip, gradient[i], weight[i]);
        return;
    }
    SHARDSCOPE_INDEPENDENT
    for (std::int64_t i = share.first; i < share.last; ++i) {
        R velocity = buffer[i];
        weight[i] = sgd<R>(by, clip, gradient[i], weight[i], velocity);
        buffer[i] = velocity;
    }
}

template <class G, class W, class R>
SHARDSCOPE_CLONES void lion_step(Share share, const Tensors<G, W, R>& t, const LionFactors<R>& f) {
    const G* gradient = t.gradient;
    W* weight = t.weight;
    R* mean = t.state1;
    const R clip = t.clip;
    const LionFactors<R> by = f;
    SHARDSCOPE_INDEPENDENT
    for (std::int64_t i = share.first; i < share.last; ++i) {
        const Lion<R> now = lion<R>(by, clip, gradient[i], {weight[i], mean[i]});
        mean[i] = now.mean;
        weight[i] = now.weight;
    }
}

// The parameter that kernels read, from the master copy.
template <class R, class T>
SHARDSCOPE_CLONES void store(Share share, const R* master, T* parameter) {
    for (std::int64_t i = share.first; i < share.last; ++i) parameter[i] = master[i];
}

template <class G, class W>
void update(const OptimizerStep& k, Share share, const Addresses& at, W* weight,
            std::int64_t step) {
    using R = Real<W>;
    const R clip =
        k.clip > 0 ? static_cast<R>(clip_factor(k.clip, *as<const double>(at[1]))) : R(1);
    const Tensors<G, W, R> tensors{as<const G>(at[0]), weight, as<R>(at[4]), as<R>(at[5]), clip};
    if (k.spec.kind == OptimizerKind::sgd)
        return sgd_step(share, tensors, sgd_factors<R>(k.spec, step));
    if (k.spec.kind == OptimizerKind::lion)
        return lion_step(share, tensors, lion_factors<R>(k.spec));
    const double t = static_cast<double>(step);
    adam_step(share, tensors,
              adam_factors<R>(k.spec, std::pow(k.spec.beta1, t), std::pow(k.spec.beta2, t)));
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
