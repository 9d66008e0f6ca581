// RMSNorm of query and key heads: block.x lanes of a warp per head, block.y heads of a row at a time.
#include "backends/cuda/kernels/column_reduction.h"
#include "backends/cuda/kernels/kernels.h"

namespace shardscope::cuda {
namespace {

struct Heads {
    std::int64_t rows;
    int query, key, dim;  // heads that are normalised, elements of a head
    float epsilon;

    SHARDSCOPE_HD int normed() const { return query + key; }
    SHARDSCOPE_HD std::int64_t normed_width() const { return std::int64_t{query + key} * dim; }
    SHARDSCOPE_HD std::int64_t qkv_width() const { return std::int64_t{query + 2 * key} * dim; }
};

// All lanes of a warp take every turn, so that they can exchange; those without a head are not `active`.
template <class Visit>
SHARDSCOPE_DEVICE void for_heads(int heads, const Visit& visit) {
    for (int first = 0; first < heads; first += static_cast<int>(blockDim.y)) {
        const int head = first + static_cast<int>(threadIdx.y);
        visit(head, head < heads);
    }
}

SHARDSCOPE_DEVICE float head_sum(float value) {
    return lanes_reduce(value, static_cast<int>(blockDim.x), Plus());
}

template <class T, int N>
__global__ void head_norm(Heads k, T* qkv, const T* query, const T* key, T* before, float* stats) {
    const int lane = static_cast<int>(threadIdx.x), lanes = static_cast<int>(blockDim.x);
    const float inverse_count = 1.0f / static_cast<float>(k.dim);
    for (std::int64_t row = blockIdx.x; row < k.rows; row += gridDim.x)
        for_heads(k.normed(), [&](int head, bool active) {
            const int vectors = active ? k.dim / N : 0;
            T* io = qkv + row * k.qkv_width() + std::int64_t{head} * k.dim;
            T* copy = before + row * k.normed_width() + std::int64_t{head} * k.dim;
            const T* w = head < k.query ? query : key;
            float kept[kKeptVectors + 1][N];
            float squares = 0;
            for_vectors<kKeptVectors>(lane, lanes, vectors, [&](int v, int slot) {
                load(io + v * N, kept[slot]);
                store(copy + v * N, kept[slot]);
#pragma unroll
                for (int i = 0; i < N; ++i) squares += kept[slot][i] * kept[slot][i];
            });
            const float inverse = 1.0f / sqrtf(head_sum(squares) * inverse_count + k.epsilon);
            if (active && lane == 0) stats[row * k.normed() + head] = inverse;
            for_vectors<kKeptVectors>(lane, lanes, vectors, [&](int v, int slot) {
                if (slot == kKeptVectors) load(io + v * N, kept[slot]);
                float weight[N];
                load(w + v * N, weight);
#pragma unroll
                for (int i = 0; i < N; ++i) kept[slot][i] = kept[slot][i] * inverse * weight[i];
                store(io + v * N, kept[slot]);
            });
        });
}

// As norm_input_gradient without a mean; gradients of v heads pass.
template <class T, int N>
__global__ void head_norm_input_gradient(Heads k, const T* dy, const T* before, const float* stats,
                                         const T* query, const T* key, T* dx) {
    const int lane = static_cast<int>(threadIdx.x), lanes = static_cast<int>(blockDim.x);
    const float inverse_count = 1.0f / static_cast<float>(k.dim);
    for (std::int64_t row = blockIdx.x; row < k.rows; row += gridDim.x) {
        const std::int64_t at_row = row * k.qkv_width();
        for_heads(k.normed(), [&](int head, bool active) {
            const int vectors = active ? k.dim / N : 0;
            const std::int64_t at = at_row + std::int64_t{head} * k.dim;
            const T* in = before + row * k.normed_width() + std::int64_t{head} * k.dim;
            const T* w = head < k.query ? query : key;
            const float inverse = active ? stats[row * k.normed() + head] : 0.0f;
            float g[kKeptVectors + 1][N], n[kKeptVectors + 1][N];
            const auto fetch = [&](int v, int slot) {
                float weight[N];
                load(dy + at + v * N, g[slot]);
                load(in + v * N, n[slot]);
                load(w + v * N, weight);
#pragma unroll
                for (int i = 0; i < N; ++i) {
                    g[slot][i] *= weight[i];
                    n[slot][i] *= inverse;
                }
            };
            float along = 0;
            for_vectors<kKeptVectors>(lane, lanes, vectors, [&](int v, int slot) {
                fetch(v, slot);
#pragma unroll
                for (int i = 0; i < N; ++i) along += g[slot][i] * n[slot][i];
            });
            along = head_sum(along) * inverse_count;
            for_vectors<kKeptVectors>(lane, lanes, vectors, [&](int v, int slot) {
                if (slot == kKeptVectors) fetch(v, slot);
#pragma unroll
                for (int i = 0; i < N; ++i)
                    g[slot][i] = (g[slot][i] - n[slot][i] * along) * inverse;
                store(dx + at + v * N, g[slot]);
            });
        });
        const int vectors = k.key * k.dim / N;
        const std::int64_t at = at_row + k.normed_width();
        for (int v = thread_index(); v < vectors; v += lanes * static_cast<int>(blockDim.y)) {
            float value[N];
            load(dy + at + v * N, value);
            store(dx + at + v * N, value);
        }
    }
}

// Σ dy·n over rows and over `heads` heads from `first` on.
template <class T, int kWidth>
struct WeightTerms {
    static constexpr int kSums = 1, N = kWidth;
    const T *dy, *before;
    const float* stats;
    Heads k;
    int first, heads;
    SHARDSCOPE_DEVICE void add(std::int64_t row, int column, float (&sums)[1][N]) const {
#pragma unroll 1
        for (int head = first; head < first + heads; ++head) {
            const std::int64_t at = std::int64_t{head} * k.dim + column;
            const float inverse = stats[row * k.normed() + head];
            float d[N], v[N];
            load(dy + row * k.qkv_width() + at, d);
            load(before + row * k.normed_width() + at, v);
#pragma unroll
            for (int i = 0; i < N; ++i) sums[0][i] += d[i] * (v[i] * inverse);
        }
    }
};

template <class Kernel>
Heads heads_of(const Kernel& k, double epsilon) {
    return {k.rows, static_cast<int>(k.heads), static_cast<int>(k.kv_heads),
            static_cast<int>(k.head_dim), static_cast<float>(epsilon)};
}

}  // namespace

template <class T>
void run(const HeadNorm& k, const Addresses& at, const LaunchContext& context) {
    if (k.rows <= 0) return;
    T *qkv = as<T>(at[0]), *before = as<T>(at[3]);
    const T *query = as<const T>(at[1]), *key = as<const T>(at[2]);
    with_vectors<T>(
        k.head_dim,
        [&]<int N>() {
            launch("head_norm", head_norm<T, N>,
                   head_geometry(k.rows, k.heads + k.kv_heads, k.head_dim / N), context,
                   heads_of(k, k.epsilon), qkv, query, key, before, as<float>(at[4]));
        },
        qkv, query, key, before);
}

template <class T>
void run(const HeadNormInputGrad& k, const Addresses& at, const LaunchContext& context) {
    if (k.rows <= 0) return;
    const T *dy = as<const T>(at[0]), *before = as<const T>(at[1]);
    const T *query = as<const T>(at[3]), *key = as<const T>(at[4]);
    T* dx = as<T>(at[5]);
    with_vectors<T>(
        k.head_dim,
        [&]<int N>() {
            launch("head_norm_input_grad", head_norm_input_gradient<T, N>,
                   head_geometry(k.rows, k.heads + k.kv_heads, k.head_dim / N), context,
                   heads_of(k, 0), dy, before, as<const float>(at[2]), query, key, dx);
        },
        dy, before, query, key, dx);
}

template <class T, class G>
void run(const HeadNormWeightGrad& k, const Addresses& at, const LaunchContext& context) {
    const T *dy = as<const T>(at[0]), *before = as<const T>(at[1]);
    const Heads heads = heads_of(k, 0);
    with_vectors<T>(
        k.head_dim,
        [&]<int N>() {
            const auto sum = [&](int first, int count, G* to) {
                const WeightTerms<T, N> terms{dy,    before, as<const float>(at[2]),
                                              heads, first,  count};
                reduce_columns("head_norm_weight_grad", k.rows, k.head_dim, terms, k.accumulate, to,
                               static_cast<G*>(nullptr), context);
            };
            sum(0, heads.query, as<G>(at[3]));
            sum(heads.query, heads.key, as<G>(at[4]));
        },
        dy, before);
}

SHARDSCOPE_INSTANTIATE(HeadNorm);
SHARDSCOPE_INSTANTIATE(HeadNormInputGrad);
SHARDSCOPE_INSTANTIATE_GRADIENT(HeadNormWeightGrad);

}  // namespace shardscope::cuda
