// LayerNorm and RMSNorm: a row by a warp or by a block, kept in registers between its passes.
#include "backends/cuda/kernels/column_reduction.h"
#include "backends/cuda/kernels/kernels.h"

namespace shardscope::cuda {
namespace {

// The threads that share a row (row_geometry).
struct RowGroup {
    int thread, threads;
    std::int64_t row, rows_step;
};
SHARDSCOPE_DEVICE RowGroup row_group() {
    return {static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x),
            std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y,
            std::int64_t{gridDim.x} * blockDim.y};
}
SHARDSCOPE_DEVICE float group_sum(float value) {
    return blockDim.x == kWarp ? warp_sum(value) : block_sum(value);
}

struct NormShape {
    std::int64_t rows;
    int hidden;
    bool centred;  // layer_norm: the mean is taken off
    float epsilon;
};

template <class T, int N>
__global__ void __launch_bounds__(kMostRowThreads)
    norm(NormShape shape, const T* x, const T* w, const T* b, T* y, float* stats) {
    const int vectors = shape.hidden / N;
    const auto inverse_count = 1.0f / static_cast<float>(shape.hidden);
    const RowGroup group = row_group();
    for (std::int64_t row = group.row; row < shape.rows; row += group.rows_step) {
        const T* in = x + row * shape.hidden;
        T* out = y + row * shape.hidden;
        float kept[kKeptVectors + 1][N];
        float sum = 0;
        for_vectors<kKeptVectors>(group.thread, group.threads, vectors, [&](int v, int slot) {
            load(in + v * N, kept[slot]);
#pragma unroll
            for (int i = 0; i < N; ++i) sum += kept[slot][i];
        });
        const float mean = shape.centred ? group_sum(sum) * inverse_count : 0.0f;
        float squares = 0;
        for_vectors<kKeptVectors>(group.thread, group.threads, vectors, [&](int v, int slot) {
            if (slot == kKeptVectors) load(in + v * N, kept[slot]);
#pragma unroll
            for (int i = 0; i < N; ++i) {
                const float d = kept[slot][i] - mean;
                squares += d * d;
            }
        });
        const float inverse = 1.0f / sqrtf(group_sum(squares) * inverse_count + shape.epsilon);
        if (group.thread == 0) {
            if (shape.centred) stats[2 * row] = mean;
            stats[shape.centred ? 2 * row + 1 : row] = inverse;
        }
        for_vectors<kKeptVectors>(group.thread, group.threads, vectors, [&](int v, int slot) {
            if (slot == kKeptVectors) load(in + v * N, kept[slot]);
            float weight[N], bias[N] = {};
            load(w + v * N, weight);
            if (b) load(b + v * N, bias);
#pragma unroll
            for (int i = 0; i < N; ++i)
                kept[slot][i] = (kept[slot][i] - mean) * inverse * weight[i] + bias[i];
            store(out + v * N, kept[slot]);
        });
    }
}

SHARDSCOPE_DEVICE void load_stats(const float* stats, bool centred, std::int64_t row, float& mean,
                                  float& inverse) {
    mean = centred ? stats[2 * row] : 0.0f;
    inverse = stats[centred ? 2 * row + 1 : row];
}

// With n = (x − mean)/σ and g = dy·w: dx = (g − avg(g) − n·avg(g·n))/σ; rms_norm has no avg(g). dx may be dy
// or dresidual.
template <class T, int N>
__global__ void __launch_bounds__(kMostRowThreads)
    norm_input_gradient(NormShape shape, const T* dy, const T* x, const float* stats, const T* w,
                        const T* dresidual, T* dx) {
    const int vectors = shape.hidden / N;
    const auto inverse_count = 1.0f / static_cast<float>(shape.hidden);
    const RowGroup group = row_group();
    for (std::int64_t row = group.row; row < shape.rows; row += group.rows_step) {
        const std::int64_t at = row * shape.hidden;
        float mean, inverse;
        load_stats(stats, shape.centred, row, mean, inverse);
        float g[kKeptVectors + 1][N], n[kKeptVectors + 1][N];
        const auto fetch = [&](int v, int slot) {
            float weight[N];
            load(dy + at + v * N, g[slot]);
            load(x + at + v * N, n[slot]);
            load(w + v * N, weight);
#pragma unroll
            for (int i = 0; i < N; ++i) {
                g[slot][i] *= weight[i];
                n[slot][i] = (n[slot][i] - mean) * inverse;
            }
        };
        float sum = 0, along = 0;
        for_vectors<kKeptVectors>(group.thread, group.threads, vectors, [&](int v, int slot) {
            fetch(v, slot);
#pragma unroll
            for (int i = 0; i < N; ++i) {
                sum += g[slot][i];
                along += g[slot][i] * n[slot][i];
            }
        });
        const float average = shape.centred ? group_sum(sum) * inverse_count : 0.0f;
        along = group_sum(along) * inverse_count;
        for_vectors<kKeptVectors>(group.thread, group.threads, vectors, [&](int v, int slot) {
            if (slot == kKeptVectors) fetch(v, slot);
            float add[N] = {};
            if (dresidual) load(dresidual + at + v * N, add);
#pragma unroll
            for (int i = 0; i < N; ++i)
                add[i] += (g[slot][i] - average - n[slot][i] * along) * inverse;
            store(dx + at + v * N, add);
        });
    }
}

// dw: Σ_rows dy·n, db: Σ_rows dy.
template <class T, int kWidth>
struct WeightTerms {
    static constexpr int kSums = 2, N = kWidth;
    const T *dy, *x;
    const float* stats;
    std::int64_t hidden;
    bool centred;
    SHARDSCOPE_DEVICE void add(std::int64_t row, int column, float (&sums)[2][N]) const {
        float mean, inverse;
        load_stats(stats, centred, row, mean, inverse);
        float d[N], v[N];
        load(dy + row * hidden + column, d);
        load(x + row * hidden + column, v);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            sums[0][i] += d[i] * ((v[i] - mean) * inverse);
            sums[1][i] += d[i];
        }
    }
};

template <class Kernel>
NormShape shape_of(const Kernel& k, double epsilon) {
    return {k.rows, static_cast<int>(k.hidden), k.kind == NormKind::layer_norm,
            static_cast<float>(epsilon)};
}

}  // namespace

template <class T>
void run(const Norm& k, const Addresses& at, const LaunchContext& context) {
    if (k.rows <= 0) return;
    const T *x = as<const T>(at[0]), *w = as<const T>(at[1]), *b = as<const T>(at[2]);
    T* y = as<T>(at[3]);
    with_vectors<T>(
        k.hidden,
        [&]<int N>() {
            launch("norm", norm<T, N>, row_geometry(k.rows, k.hidden / N), context,
                   shape_of(k, k.epsilon), x, w, b, y, as<float>(at[4]));
        },
        x, w, b, y);
}

template <class T>
void run(const NormInputGrad& k, const Addresses& at, const LaunchContext& context) {
    if (k.rows <= 0) return;
    const T *dy = as<const T>(at[0]), *x = as<const T>(at[1]), *w = as<const T>(at[3]);
    const T* dresidual = as<const T>(at[4]);
    T* dx = as<T>(at[5]);
    with_vectors<T>(
        k.hidden,
        [&]<int N>() {
            launch("norm_input_grad", norm_input_gradient<T, N>, row_geometry(k.rows, k.hidden / N),
                   context, shape_of(k, 0), dy, x, as<const float>(at[2]), w, dresidual, dx);
        },
        dy, x, w, dresidual, dx);
}

template <class T, class G>
void run(const NormWeightGrad& k, const Addresses& at, const LaunchContext& context) {
    const T *dy = as<const T>(at[0]), *x = as<const T>(at[1]);
    with_vectors<T>(
        k.hidden,
        [&]<int N>() {
            const WeightTerms<T, N> terms{dy, x, as<const float>(at[2]), k.hidden,
                                          k.kind == NormKind::layer_norm};
            reduce_columns("norm_weight_grad", k.rows, k.hidden, terms, k.accumulate, as<G>(at[3]),
                           as<G>(at[4]), context);
        },
        dy, x);
}

SHARDSCOPE_INSTANTIATE(Norm);
SHARDSCOPE_INSTANTIATE(NormInputGrad);
SHARDSCOPE_INSTANTIATE_GRADIENT(NormWeightGrad);

}  // namespace shardscope::cuda
