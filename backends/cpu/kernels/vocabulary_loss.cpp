// Softmax and cross-entropy over a vocabulary that is split over a tensor-parallel group: each rank
// sees its columns, and what the others found through the all-reduces between these kernels.
#include <algorithm>
#include <limits>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/softmax_row.h"

namespace shardscope::cpu {
namespace {

// Columns of the rank that are no padding, and a target's column, −1 where another rank holds it.
template <class Kernel>
std::int64_t valid_columns(const Kernel& k, int index) {
    return std::clamp<std::int64_t>(k.vocab - index * k.columns, 0, k.columns);
}
template <class Kernel>
std::int64_t column_of(const Kernel& k, std::int32_t target, int index) {
    const std::int64_t column = target - index * k.columns;
    return column >= 0 && column < k.columns ? column : -1;
}

template <class T>
SHARDSCOPE_CLONES void largest_of_rows(const VocabularyMax& k, Share share, const T* logits,
                                       Real<T>* largest, std::int64_t valid) {
    for (std::int64_t r = share.first; r < share.last; ++r)
        largest[r] = valid > 0 ? lane_max(logits + r * k.columns, valid)
                               : -std::numeric_limits<Real<T>>::infinity();
}

template <class T>
SHARDSCOPE_CLONES void sums_of_rows(const VocabularySum& k, Share share, T* logits,
                                    const Real<T>* largest, const std::int32_t* targets,
                                    Real<T>* sums, int index, std::int64_t valid) {
    using R = Real<T>;
    for (std::int64_t r = share.first; r < share.last; ++r) {
        T* row = logits + r * k.columns;
        // Finite even where the rank's own maximum was −∞: another rank holds the vocabulary.
        const R most = largest[r];
        const std::int64_t target = column_of(k, targets[r], index);
        sums[2 * r + 1] = target < 0 ? R(0) : row[target] - most;
        sums[2 * r] = sum_exponentials(row, valid, most);
        if constexpr (!kStoresExactly<T>) scale_exponentials(row, valid, most, R(1));
        std::fill(row + valid, row + k.columns, T(0));
    }
}

// Returns Σ −log p(target) of a share, added row after row in double precision.
template <class T>
SHARDSCOPE_CLONES double gradient_of_rows(const VocabularyLoss& k, Share share, T* logits,
                                          const Real<T>* sums, const std::int32_t* targets,
                                          int index) {
    using R = Real<T>;
    double loss = 0;
    for (std::int64_t r = share.first; r < share.last; ++r) {
        T* row = logits + r * k.columns;
        const auto sum = static_cast<double>(sums[2 * r]);
        loss += std::log(sum) - static_cast<double>(sums[2 * r + 1]);
        const R factor = static_cast<R>(k.scale / sum);
        const std::int64_t target = column_of(k, targets[r], index);
        const R at_target = target < 0 ? R(0) : row[target] * factor - static_cast<R>(k.scale);
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < k.columns; ++i) row[i] = row[i] * factor;
        if (target >= 0) row[target] = at_target;
    }
    return loss;
}

}  // namespace

template <class T>
void run(const VocabularyMax& k, const Addresses& at, int index, Team& team) {
    divide_rows(team, k.rows, k.columns, [&](const Share& share) {
        largest_of_rows(k, share, as<const T>(at[0]), as<Real<T>>(at[1]), valid_columns(k, index));
    });
}

template <class T>
void run(const VocabularySum& k, const Addresses& at, int index, Team& team) {
    divide_rows(team, k.rows, k.columns, [&](const Share& share) {
        sums_of_rows(k, share, as<T>(at[0]), as<const Real<T>>(at[1]),
                     as<const std::int32_t>(at[2]), as<Real<T>>(at[3]), index,
                     valid_columns(k, index));
    });
}

template <class T>
void run(const VocabularyLoss& k, const Addresses& at, int index, Team& team) {
    const double sum = sum_of_shares(team, k.rows, kRowShare, [&](const Share& share) {
        return gradient_of_rows(k, share, as<T>(at[0]), as<const Real<T>>(at[1]),
                                as<const std::int32_t>(at[2]), index);
    });
    if (index == 0) *as<double>(at[3]) += k.scale * sum;
}

SHARDSCOPE_INSTANTIATE_INDEXED(VocabularyMax);
SHARDSCOPE_INSTANTIATE_INDEXED(VocabularySum);
SHARDSCOPE_INSTANTIATE_INDEXED(VocabularyLoss);

}  // namespace shardscope::cpu
