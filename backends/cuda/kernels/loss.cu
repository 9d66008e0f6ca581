// Softmax and cross-entropy: a block per row, which is read once where it fits shared memory.
#include "backends/cuda/kernels/kernels.h"
#include "backends/cuda/kernels/logits.h"
#include "backends/cuda/kernels/scalar_sum.h"
#include "backends/cuda/kernels/shared_memory.h"

namespace shardscope::cuda {
namespace {

// losses[block]: Σ −log p(target) of the block's rows.
template <class T, bool kInShared>
__global__ void __launch_bounds__(kInShared ? kMostThreads : kMostLogitsThreads, 2)
    softmax_cross_entropy(std::int64_t rows, std::int64_t classes, float scale, T* logits,
                          const std::int32_t* targets, double* losses) {
    constexpr int N = kPerWords<T>;
    const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
    __shared__ double loss;  // the first thread's; a register is worth more
    if (thread == 0) loss = 0;
    for (std::int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        const LogitsRow<T> row(logits + r * classes, classes);
        T* kept = kInShared ? row.in_shared() : row.row;
        const int target = targets[r];
        // Before its place is overwritten, which is after the barriers of the reduction.
        const float target_logit = static_cast<float>(row.row[target]);
        RunningSum running;
        for (int chunk = thread; chunk < row.chunks(); chunk += threads) {
            float x[N];
            row.read(row.row, row.first(chunk), -INFINITY, x);
            running.add(x);
            if constexpr (kInShared) row.write(kept, row.first(chunk), x);
        }
        const RunningSum all = running.of_block();
        if (thread == 0)
            loss +=
                log(static_cast<double>(all.sum)) - static_cast<double>(target_logit - all.largest);
        const float factor = scale / all.sum;
        // A thread reads what it has written itself.
        for (int chunk = thread; chunk < row.chunks(); chunk += threads) {
            const int first = row.first(chunk);
            float x[N];
            row.read(kept, first, 0, x);
#pragma unroll
            for (int i = 0; i < N; ++i)
                x[i] = DeviceMath::exponential(x[i] - all.largest) * factor -
                       (first + i == target ? scale : 0.0f);
            row.write(row.row, first, x);
        }
    }
    if (thread == 0) losses[blockIdx.x] = loss;
}

}  // namespace

template <class T>
void run(const SoftmaxCrossEntropy& k, const Addresses& at, const LaunchContext& context) {
    const Geometry g = logits_geometry(k.rows, k.classes, sizeof(T), context.device);
    auto* losses = as<double>(context.scratch);
    const auto start = [&](auto* kernel) {
        allow_shared("softmax_cross_entropy", kernel, g);
        launch("softmax_cross_entropy", kernel, g, context, k.rows, k.classes,
               static_cast<float>(k.scale), as<T>(at[0]), as<const std::int32_t>(at[1]), losses);
    };
    start(g.shared_bytes > 0 ? softmax_cross_entropy<T, true> : softmax_cross_entropy<T, false>);
    finish_sum("softmax_cross_entropy", losses, static_cast<int>(g.grid.x), k.scale,
               k.accumulate_loss, as<double>(at[2]), context);
}

SHARDSCOPE_INSTANTIATE(SoftmaxCrossEntropy);

}  // namespace shardscope::cuda
