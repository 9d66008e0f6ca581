// The optimizer step: one kernel over a flat range, which is all tensors of a unit at once.
#include "backends/arithmetic/optimizer.h"
#include "backends/cuda/kernels/flat.h"
#include "backends/cuda/kernels/kernels.h"

namespace shardscope::cuda {
namespace {

// W stores the weight that is updated: the master copy, or the parameter where there is none.
template <class G, class W, class T>
struct Tensors {
    const G* gradient;
    const double* norm;  // Σ g² of all parameters; null: no clipping
    W* weight;
    T* copy;  // the parameter beside a master copy, else null
    float *state1, *state2;
    bool aligned;
};

struct StepFactors {
    AdamFactors<float> adam;
    SgdFactors<float> sgd;
    LionFactors<float> lion;
    float clip;
};

SHARDSCOPE_DEVICE StepFactors step_factors(const OptimizerSpec& spec, double clip,
                                           const double* norm, const StepWords* words) {
    const std::int64_t step = words->step + 1;
    return {adam_factors<float>(spec, power(spec.beta1, step), power(spec.beta2, step)),
            sgd_factors<float>(spec, step), lion_factors<float>(spec),
            norm ? static_cast<float>(clip_factor(clip, *norm)) : 1.0f};
}

template <int N, class G, class W, class T>
__global__ void optimizer_step(std::int64_t elements, OptimizerSpec spec, double clip,
                               Tensors<G, W, T> t, const StepWords* words) {
    __shared__ StepFactors shared;
    if (threadIdx.x == 0) shared = step_factors(spec, clip, t.norm, words);
    __syncthreads();
    const StepFactors by = shared;
    const bool is_sgd = spec.kind == OptimizerKind::sgd;
    const bool is_lion = spec.kind == OptimizerKind::lion;

    const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x * N;
    std::int64_t at = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * N;
    for (; at < elements; at += step) {
        const int count = elements - at < N ? static_cast<int>(elements - at) : N;
        float g[N], w[N], m[N] = {}, v[N] = {};
        load(t.gradient + at, count, t.aligned, g);
        load(t.weight + at, count, t.aligned, w);
        if (t.state1) load(t.state1 + at, count, t.aligned, m);
        if (t.state2) load(t.state2 + at, count, t.aligned, v);
        if (is_lion) {
#pragma unroll
            for (int i = 0; i < N; ++i) {
                const Lion<float> now = lion<float>(by.lion, by.clip, g[i], {w[i], m[i]});
                w[i] = now.weight;
                m[i] = now.mean;
            }
        } else if (!is_sgd) {
#pragma unroll
            for (int i = 0; i < N; ++i) {
                const Adam<float> now = adam<float>(by.adam, by.clip, g[i], {w[i], m[i], v[i]});
                w[i] = now.weight;
                m[i] = now.mean;
                v[i] = now.square;
            }
        } else if (t.state1) {
#pragma unroll
            for (int i = 0; i < N; ++i) w[i] = sgd(by.sgd, by.clip, g[i], w[i], m[i]);
        } else {
#pragma unroll
            for (int i = 0; i < N; ++i) w[i] = sgd(by.sgd, by.clip, g[i], w[i]);
        }
        store(t.weight + at, count, t.aligned, w);
        if (t.copy) store(t.copy + at, count, t.aligned, w);
        if (t.state1) store(t.state1 + at, count, t.aligned, m);
        if (t.state2) store(t.state2 + at, count, t.aligned, v);
    }
}

template <class G, class W, class T>
void start(const OptimizerStep& k, const Addresses& at, W* weight, T* copy,
           const LaunchContext& context) {
    // 16 bytes of the narrowest.
    constexpr int N = 16 / static_cast<int>(sizeof(T) < sizeof(G) ? sizeof(T) : sizeof(G));
    const int states = k.spec.states();
    Tensors<G, W, T> t{as<const G>(at[0]),
                       k.clip > 0 ? as<const double>(at[1]) : nullptr,
                       weight,
                       copy,
                       states > 0 ? as<float>(at[4]) : nullptr,
                       states > 1 ? as<float>(at[5]) : nullptr,
                       false};
    t.aligned = is_aligned(t.gradient, weight) && is_aligned(copy, t.state1, t.state2);
    launch("optimizer_step", optimizer_step<N, G, W, T>,
           optimizer_geometry(k.elements, N, context.device), context, k.elements, k.spec, k.clip,
           t, context.words);
}

}  // namespace

template <class T, class G>
void run(const OptimizerStep& k, const Addresses& at, const LaunchContext& context) {
    if (k.elements <= 0) return;
    T* parameter = as<T>(at[2]);
    if (k.master)
        start<G>(k, at, as<float>(at[3]), parameter, context);
    else
        start<G>(k, at, parameter, static_cast<T*>(nullptr), context);
}

SHARDSCOPE_INSTANTIATE_GRADIENT(OptimizerStep);

}  // namespace shardscope::cuda
