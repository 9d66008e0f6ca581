// Optimizer steps of one element as PyTorch defines them (torch.optim.AdamW, Adam, SGD with dampening 0), and
// Lion's as its paper does.
#pragma once

#include "backends/arithmetic/exponential.h"
#include "core/scenario.h"

namespace shardscope {

// What the gradient is multiplied with so that its norm is at most `clip`: PyTorch's clip_grad_norm_.
// `squares` is Σ g² over all parameters.
SHARDSCOPE_ARITHMETIC double clip_factor(double clip, double squares) {
    const double factor = clip / (std::sqrt(squares) + 1e-6);
    return factor < 1.0 ? factor : 1.0;
}

// What is common to all elements of a step; T is what weights are computed in.
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

// `beta1_power` = β₁ᵗ, `beta2_power` = β₂ᵗ at step t, counted from 1.
template <class T>
SHARDSCOPE_ARITHMETIC AdamFactors<T> adam_factors(const OptimizerSpec& spec, double beta1_power,
                                                  double beta2_power) {
    const bool decoupled = spec.kind == OptimizerKind::adamw;
    AdamFactors<T> f;
    f.keep = static_cast<T>(decoupled ? 1 - spec.lr * spec.weight_decay : 1.0);
    f.l2 = static_cast<T>(decoupled ? 0.0 : spec.weight_decay);
    f.mean = static_cast<T>(1 - spec.beta1);
    f.square = static_cast<T>(1 - spec.beta2);
    f.beta2 = static_cast<T>(spec.beta2);
    f.step = static_cast<T>(spec.lr / (1 - beta1_power));
    f.root = static_cast<T>(std::sqrt(1 - beta2_power));
    f.epsilon = static_cast<T>(spec.epsilon);
    return f;
}

// xⁿ, n ≥ 0, by squaring, which is quick where pow() is not. Off by about n roundings of the result: less than
// 1e-13 for the β of optimizers, whose powers are small where n is large.
SHARDSCOPE_ARITHMETIC double power(double x, std::int64_t n) {
    double result = 1.0;
    for (; n > 0; n /= 2, x *= x)
        if (n % 2 == 1) result *= x;
    return result;
}

// A weight, and the running means of its gradient and of the gradient's square.
template <class T>
struct Adam {
    T weight, mean, square;
};
template <class T>
SHARDSCOPE_ARITHMETIC Adam<T> adam(const AdamFactors<T>& by, T clip, T gradient, Adam<T> before) {
    const T g = gradient * clip + by.l2 * before.weight;
    const T m = before.mean + (g - before.mean) * by.mean;
    const T v = before.square * by.beta2 + g * g * by.square;
    return {before.weight * by.keep - by.step * (m / (std::sqrt(v) / by.root + by.epsilon)), m, v};
}

// Chen et al. 2023 (arXiv:2302.06675), algorithm 2: the step has the sign of a mean in which the new gradient
// counts 1 − β₁, while the mean that is kept takes it up by 1 − β₂. No sign, no step but the decay.
template <class T>
struct LionFactors {
    T keep;  // 1 − lr·decay
    T lr;
    T direction, mean;  // 1 − β₁, 1 − β₂
};
template <class T>
SHARDSCOPE_ARITHMETIC LionFactors<T> lion_factors(const OptimizerSpec& spec) {
    return {static_cast<T>(1 - spec.lr * spec.weight_decay), static_cast<T>(spec.lr),
            static_cast<T>(1 - spec.beta1), static_cast<T>(1 - spec.beta2)};
}
template <class T>
struct Lion {
    T weight, mean;
};
template <class T>
SHARDSCOPE_ARITHMETIC Lion<T> lion(const LionFactors<T>& by, T clip, T gradient, Lion<T> before) {
    const T g = gradient * clip;
    const T c = before.mean + (g - before.mean) * by.direction;
    const T sign = static_cast<T>(c > T(0)) - static_cast<T>(c < T(0));
    return {before.weight * by.keep - by.lr * sign, before.mean + (g - before.mean) * by.mean};
}

template <class T>
struct SgdFactors {
    T lr, decay;
    T momentum;  // 0 in the first step: PyTorch's buffer starts as the gradient
};
template <class T>
SHARDSCOPE_ARITHMETIC SgdFactors<T> sgd_factors(const OptimizerSpec& spec, std::int64_t step) {
    return {static_cast<T>(spec.lr), static_cast<T>(spec.weight_decay),
            static_cast<T>(step == 1 ? 0.0 : spec.momentum)};
}

// The new weight, without and with a momentum buffer.
template <class T>
SHARDSCOPE_ARITHMETIC T sgd(const SgdFactors<T>& by, T clip, T gradient, T weight) {
    return weight - by.lr * (gradient * clip + by.decay * weight);
}
template <class T>
SHARDSCOPE_ARITHMETIC T sgd(const SgdFactors<T>& by, T clip, T gradient, T weight, T& buffer) {
    const T g = gradient * clip + by.decay * weight;
    buffer = buffer * by.momentum + g;
    return weight - by.lr * buffer;
}

}  // namespace shardscope
