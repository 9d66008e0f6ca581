// Softmax and cross-entropy over a vocabulary that is split over a tensor-parallel group.
#include <algorithm>

#include "backends/cuda/kernels/kernels.h"
#include "backends/cuda/kernels/logits.h"
#include "backends/cuda/kernels/scalar_sum.h"

namespace shardscope::cuda {
namespace {

// The rank's part: its columns, how many of them are no padding, and the first one's class.
struct Part {
    std::int64_t rows, columns, valid, first;

    // A target's column, −1 where another rank holds it.
    SHARDSCOPE_DEVICE int column_of(std::int32_t target) const {
        const std::int64_t column = target - first;
        return column >= 0 && column < columns ? static_cast<int>(column) : -1;
    }
};

template <class T>
__global__ void __launch_bounds__(kMostLogitsThreads, 2)
    vocabulary_max(Part part, const T* logits, float* largest) {
    constexpr int N = kPerWords<T>;
    for (std::int64_t r = blockIdx.x; r < part.rows; r += gridDim.x) {
        const LogitsRow<const T> row(logits + r * part.columns, part.valid);
        float most = -INFINITY;
        for (int chunk = static_cast<int>(threadIdx.x); chunk < row.chunks();
             chunk += static_cast<int>(blockDim.x)) {
            float x[N];
            row.read(row.row, row.first(chunk), -INFINITY, x);
#pragma unroll
            for (int i = 0; i < N; ++i) most = x[i] > most ? x[i] : most;
        }
        most = block_max(most);
        if (threadIdx.x == 0) largest[r] = most;
    }
}

template <class T>
__global__ void __launch_bounds__(kMostLogitsThreads, 2)
    vocabulary_sum(Part part, T* logits, const float* largest, const std::int32_t* targets,
                   float* sums) {
    constexpr int N = kPerWords<T>;
    for (std::int64_t r = blockIdx.x; r < part.rows; r += gridDim.x) {
        const LogitsRow<T> row(logits + r * part.columns, part.columns);
        // Finite even where the rank's own maximum was −∞: another rank holds the vocabulary.
        const float most = largest[r];
        const int target = part.column_of(targets[r]);
        // Before its place is overwritten, which is after this barrier.
        const float target_logit = target < 0 ? 0.0f : static_cast<float>(row.row[target]) - most;
        __syncthreads();
        float sum = 0;
        for (int chunk = static_cast<int>(threadIdx.x); chunk < row.chunks();
             chunk += static_cast<int>(blockDim.x)) {
            const int first = row.first(chunk);
            float x[N];
            row.read(row.row, first, 0, x);
#pragma unroll
            for (int i = 0; i < N; ++i) {
                const bool counts = first + i >= 0 && first + i < part.valid;
                x[i] = counts ? DeviceMath::exponential(x[i] - most) : 0.0f;
                sum += x[i];
            }
            row.write(row.row, first, x);
        }
        sum = block_sum(sum);
        if (threadIdx.x != 0) continue;
        sums[2 * r] = sum;
        sums[2 * r + 1] = target_logit;
    }
}

// losses[block]: Σ −log p(target) of the block's rows.
template <class T>
__global__ void __launch_bounds__(kMostLogitsThreads, 2)
    vocabulary_loss(Part part, float scale, T* logits, const float* sums,
                    const std::int32_t* targets, double* losses) {
    constexpr int N = kPerWords<T>;
    double loss = 0;
    for (std::int64_t r = blockIdx.x; r < part.rows; r += gridDim.x) {
        const LogitsRow<T> row(logits + r * part.columns, part.columns);
        const float sum = sums[2 * r], factor = scale / sum;
        const int target = part.column_of(targets[r]);
        if (threadIdx.x == 0)
            loss += static_cast<double>(logf(sum)) - static_cast<double>(sums[2 * r + 1]);
        for (int chunk = static_cast<int>(threadIdx.x); chunk < row.chunks();
             chunk += static_cast<int>(blockDim.x)) {
            const int first = row.first(chunk);
            float x[N];
            row.read(row.row, first, 0, x);
#pragma unroll
            for (int i = 0; i < N; ++i)
                x[i] = x[i] * factor - (target >= 0 && first + i == target ? scale : 0.0f);
            row.write(row.row, first, x);
        }
    }
    if (threadIdx.x == 0) losses[blockIdx.x] = loss;
}

template <class Kernel>
Part part_of(const Kernel& k, const LaunchContext& context) {
    const std::int64_t first = context.tensor_index * k.columns;
    return {k.rows, k.columns, std::clamp<std::int64_t>(k.vocab - first, 0, k.columns), first};
}

// Rows pass through registers only.
template <class T, class Kernel>
Geometry geometry_of(const Kernel& k, const LaunchContext& context) {
    DeviceShape device = context.device;
    device.shared_per_block = 0;
    return logits_geometry(k.rows, k.columns, sizeof(T), device);
}

}  // namespace

template <class T>
void run(const VocabularyMax& k, const Addresses& at, const LaunchContext& context) {
    launch("vocabulary_max", vocabulary_max<T>, geometry_of<T>(k, context), context,
           part_of(k, context), as<const T>(at[0]), as<float>(at[1]));
}

template <class T>
void run(const VocabularySum& k, const Addresses& at, const LaunchContext& context) {
    launch("vocabulary_sum", vocabulary_sum<T>, geometry_of<T>(k, context), context,
           part_of(k, context), as<T>(at[0]), as<const float>(at[1]), as<const std::int32_t>(at[2]),
           as<float>(at[3]));
}

template <class T>
void run(const VocabularyLoss& k, const Addresses& at, const LaunchContext& context) {
    const Geometry g = geometry_of<T>(k, context);
    auto* losses = as<double>(context.scratch);
    launch("vocabulary_loss", vocabulary_loss<T>, g, context, part_of(k, context),
           static_cast<float>(k.scale), as<T>(at[0]), as<const float>(at[1]),
           as<const std::int32_t>(at[2]), losses);
    if (context.tensor_index == 0)
        finish_sum("vocabulary_loss", losses, static_cast<int>(g.grid.x), k.scale, true,
                   as<double>(at[3]), context);
}

SHARDSCOPE_INSTANTIATE(VocabularyMax);
SHARDSCOPE_INSTANTIATE(VocabularySum);
SHARDSCOPE_INSTANTIATE(VocabularyLoss);

}  // namespace shardscope::cuda
