// Softmax and cross-entropy, replacing the logits by their gradient.
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/softmax_row.h"

namespace shardscope::cpu {
namespace {

// Returns Σ −log p(target) of a share, added row after row in double precision.
template <class T>
SHARDSCOPE_CLONES double softmax_rows(const SoftmaxCrossEntropy& k, Share share, T* logits,
                                      const std::int32_t* targets) {
    using R = Real<T>;
    double loss = 0;
    for (std::int64_t r = share.first; r < share.last; ++r) {
        T* row = logits + r * k.classes;
        const R largest = lane_max(row, k.classes);
        const R target = row[targets[r]] - largest;
        const R sum = sum_exponentials(row, k.classes, largest);
        loss += std::log(static_cast<double>(sum)) - static_cast<double>(target);
        const R factor = static_cast<R>(k.scale / static_cast<double>(sum));
        const R at_target = exponential(target) * factor - static_cast<R>(k.scale);
        scale_exponentials(row, k.classes, largest, factor);
        row[targets[r]] = at_target;
    }
    return loss;
}

}  // namespace

template <class T>
void run(const SoftmaxCrossEntropy& k, const Addresses& at, Team& team) {
    const double sum = sum_of_shares(team, k.rows, kRowShare, [&](const Share& share) {
        return softmax_rows(k, share, as<T>(at[0]), as<const std::int32_t>(at[1]));
    });
    double* loss = as<double>(at[2]);
    *loss = (k.accumulate_loss ? *loss : 0.0) + k.scale * sum;
}

SHARDSCOPE_INSTANTIATE(SoftmaxCrossEntropy);

}  // namespace shardscope::cpu
