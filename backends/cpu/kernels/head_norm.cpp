// RMSNorm of query and key heads, a head at a time; the formulas are norm.cpp's.
#include <algorithm>

#include "backends/cpu/kernels/column_sums.h"
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu {
namespace {

// Places in a row, in elements: of qkv, whose v heads are not normalised, and of what is.
template <class Kernel>
std::int64_t qkv_width(const Kernel& k) {
    return (k.heads + 2 * k.kv_heads) * k.head_dim;
}
template <class Kernel>
std::int64_t normed_width(const Kernel& k) {
    return (k.heads + k.kv_heads) * k.head_dim;
}

template <class T>
SHARDSCOPE_CLONES void forward(const HeadNorm& k, Share share, T* qkv, const T* query, const T* key,
                               T* before, Real<T>* stats) {
    using R = Real<T>;
    for (std::int64_t r = share.first; r < share.last; ++r) {
        std::copy_n(qkv + r * qkv_width(k), normed_width(k), before + r * normed_width(k));
        for (std::int64_t h = 0; h < k.heads + k.kv_heads; ++h) {
            const T* in = before + r * normed_width(k) + h * k.head_dim;
            T* out = qkv + r * qkv_width(k) + h * k.head_dim;
            const T* w = h < k.heads ? query : key;
            const R square = lane_sum<R>(k.head_dim, [in](std::int64_t i) {
                const R x = in[i];
                return x * x;
            });
            const R inverse = R(1) / std::sqrt(square / R(k.head_dim) + R(k.epsilon));
            stats[r * (k.heads + k.kv_heads) + h] = inverse;
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < k.head_dim; ++i) out[i] = in[i] * inverse * w[i];
        }
    }
}

template <class T>
SHARDSCOPE_CLONES void backward_input(const HeadNormInputGrad& k, Share share, const T* dy,
                                      const T* before, const Real<T>* stats, const T* query,
                                      const T* key, T* dx) {
    using R = Real<T>;
    for (std::int64_t r = share.first; r < share.last; ++r) {
        const T* d = dy + r * qkv_width(k);
        T* out = dx + r * qkv_width(k);
        for (std::int64_t h = 0; h < k.heads + k.kv_heads; ++h) {
            const T *in = before + r * normed_width(k) + h * k.head_dim, *g = d + h * k.head_dim;
            T* to = out + h * k.head_dim;
            const T* w = h < k.heads ? query : key;
            const R inverse = stats[r * (k.heads + k.kv_heads) + h];
            const R along =
                lane_sum<R>(k.head_dim,
                            [=](std::int64_t i) { return g[i] * w[i] * (in[i] * inverse); }) /
                R(k.head_dim);
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < k.head_dim; ++i)
                to[i] = (g[i] * w[i] - in[i] * inverse * along) * inverse;
        }
        std::copy_n(d + normed_width(k), k.kv_heads * k.head_dim, out + normed_width(k));
    }
}

// dw (+)= Σ dy·n over rows and over `count` heads from `first` on.
template <class T, class G>
SHARDSCOPE_CLONES void backward_weight(const HeadNormWeightGrad& k, Share share, std::int64_t first,
                                       std::int64_t count, const T* dy, const T* before,
                                       const Real<T>* stats, G* dw) {
    column_sums(k.rows * count, share, k.accumulate, dw,
                [=, dim = k.head_dim, heads = k.heads + k.kv_heads, qkv = qkv_width(k)](
                    std::int64_t i, std::int64_t c) {
                    const std::int64_t r = i / count, h = first + i % count;
                    return dy[r * qkv + h * dim + c] *
                           (before[(r * heads + h) * dim + c] * stats[r * heads + h]);
                });
}

}  // namespace

template <class T>
void run(const HeadNorm& k, const Addresses& at, Team& team) {
    divide_rows(team, k.rows, normed_width(k), [&](const Share& share) {
        forward(k, share, as<T>(at[0]), as<const T>(at[1]), as<const T>(at[2]), as<T>(at[3]),
                as<Real<T>>(at[4]));
    });
}
template <class T>
void run(const HeadNormInputGrad& k, const Addresses& at, Team& team) {
    divide_rows(team, k.rows, normed_width(k), [&](const Share& share) {
        backward_input(k, share, as<const T>(at[0]), as<const T>(at[1]), as<const Real<T>>(at[2]),
                       as<const T>(at[3]), as<const T>(at[4]), as<T>(at[5]));
    });
}
template <class T, class G>
void run(const HeadNormWeightGrad& k, const Addresses& at, Team& team) {
    const auto *dy = as<const T>(at[0]), *before = as<const T>(at[1]);
    const auto* stats = as<const Real<T>>(at[2]);
    team.divide(k.head_dim, kColumnShare, [&](const Share& share) {
        backward_weight(k, share, 0, k.heads, dy, before, stats, as<G>(at[3]));
        backward_weight(k, share, k.heads, k.kv_heads, dy, before, stats, as<G>(at[4]));
    });
}

SHARDSCOPE_INSTANTIATE(HeadNorm);
SHARDSCOPE_INSTANTIATE(HeadNormInputGrad);
SHARDSCOPE_INSTANTIATE_GRADIENT(HeadNormWeightGrad);

}  // namespace shardscope::cpu
