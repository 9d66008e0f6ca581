// Softmax and cross-entropy, replacing the logits by their gradient.
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu {
namespace {

// Returns Σ −log p(target), added row after row in double precision.
template <class T>
SHARDSCOPE_CLONES double softmax_rows(const SoftmaxCrossEntropy& k, T* logits,
                                      const std::int32_t* targets) {
    double loss = 0;
    for (std::int64_t r = 0; r < k.rows; ++r) {
        T* row = logits + r * k.classes;
        const T largest = lane_max(row, k.classes);
        const T target = row[targets[r]] - largest;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < k.classes; ++i) row[i] = exponential(row[i] - largest);
        const T sum = lane_sum<T>(k.classes, [row](std::int64_t i) { return row[i]; });
        loss += std::log(static_cast<double>(sum)) - static_cast<double>(target);
        const T factor = static_cast<T>(k.scale / static_cast<double>(sum));
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < k.classes; ++i) row[i] *= factor;
        row[targets[r]] -= static_cast<T>(k.scale);
    }
    return loss;
}

}  // namespace

template <class T>
void run(const SoftmaxCrossEntropy& k, const Addresses& at) {
    const double sum = softmax_rows(k, as<T>(at[0]), as<const std::int32_t>(at[1]));
    double* loss = as<double>(at[2]);
    *loss = (k.accumulate_loss ? *loss : 0.0) + k.scale * sum;
}

SHARDSCOPE_INSTANTIATE(SoftmaxCrossEntropy);

}  // namespace shardscope::cpu
