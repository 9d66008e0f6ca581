// Rotary positions. A block turns the query and key heads of one row; cosines and sines are made once for all
// of them, in 32-bit arithmetic that is exact at any position (arithmetic/rotation.h).
#include <algorithm>
#include <cmath>

#include "backends/arithmetic/rotation.h"
#include "backends/cuda/kernels/flat.h"
#include "backends/cuda/kernels/kernels.h"

namespace shardscope::cuda {
namespace {

constexpr int kMostPairs = 256;  // of a launch: their angles are its arguments

// The pairs [first, first + count) of every head: (i, i + half).
struct Turning {
    std::int64_t rows, seq, row_width;
    int heads, dim, half;
    int first, count;
    bool inverse;
    Turns turns[kMostPairs];  // per position
};

template <class T, int N>
__global__ void rope(Turning k, T* qkv) {
    __shared__ float cosines[kMostPairs], sines[kMostPairs];
    const int threads = static_cast<int>(blockDim.x * blockDim.y);
    const int vectors = k.count / N;
    for (std::int64_t row = blockIdx.x; row < k.rows; row += gridDim.x) {
        for (int pair = thread_index(); pair < k.count; pair += threads) {
            const Pair<float> angle = cosine_and_sine(k.turns[pair], row % k.seq);
            cosines[pair] = angle.first;
            sines[pair] = k.inverse ? -angle.second : angle.second;
        }
        __syncthreads();
        for (int head = static_cast<int>(threadIdx.y); head < k.heads;
             head += static_cast<int>(blockDim.y)) {
            T* low = qkv + row * k.row_width + std::int64_t{head} * k.dim + k.first;
            for (int v = static_cast<int>(threadIdx.x); v < vectors;
                 v += static_cast<int>(blockDim.x)) {
                float a[N], b[N];
                load(low + v * N, a);
                load(low + k.half + v * N, b);
#pragma unroll
                for (int i = 0; i < N; ++i) {
                    const Pair<float> turned =
                        rotated(a[i], b[i], cosines[v * N + i], sines[v * N + i]);
                    a[i] = turned.first;
                    b[i] = turned.second;
                }
                store(low + v * N, a);
                store(low + k.half + v * N, b);
            }
        }
        __syncthreads();  // before the next row's angles
    }
}

}  // namespace

template <class T>
void run(const Rope& k, const Addresses& at, const LaunchContext& context) {
    const auto half = static_cast<int>(k.turned() / 2);
    if (k.rows <= 0 || half == 0) return;
    T* qkv = as<T>(at[0]);
    Turning turning{.rows = k.rows,
                    .seq = k.seq,
                    .row_width = (k.heads + 2 * k.kv_heads) * k.head_dim,
                    .heads = static_cast<int>(k.heads + k.kv_heads),
                    .dim = static_cast<int>(k.head_dim),
                    .half = half,
                    .first = 0,
                    .count = 0,
                    .inverse = k.inverse,
                    .turns = {}};
    for (turning.first = 0; turning.first < half; turning.first += kMostPairs) {
        turning.count = std::min(kMostPairs, half - turning.first);
        for (int i = 0; i < turning.count; ++i) {
            const double exponent = -2.0 * (turning.first + i) / static_cast<double>(k.turned());
            turning.turns[i] =
                turns_per_position(scaled_frequency(k.scaling, std::pow(k.theta, exponent)));
        }
        // Both halves of a head, and all heads, have to begin at a vector.
        const bool whole = k.head_dim % kPerWords<T> == 0;
        with_vectors<T>(
            whole ? half : 1,
            [&]<int N>() {
                launch("rope", rope<T, N>, head_geometry(k.rows, turning.heads, turning.count / N),
                       context, turning, qkv);
            },
            qkv);
    }
}

SHARDSCOPE_INSTANTIATE(Rope);

}  // namespace shardscope::cuda
