// Softmax and cross-entropy over a vocabulary that is split over a tensor-parallel group: each rank
// sees its columns, and what the others found through the all-reduces between these kernels.
#include <algorithm>
#include <limits>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/simd.h"

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
SHARDSCOPE_CLONES void largest_of_rows(const VocabularyMax& k, const T* logits, T* largest,
                                       std::int64_t valid) {
    for (std::int64_t r = 0; r < k.rows; ++r)
        largest[r] = valid > 0 ? lane_max(logits + r * k.columns, valid)
                               : -std::numeric_limits<T>::infinity();
}

template <class T>
SHARDSCOPE_CLONES void sums_of_rows(const VocabularySum& k, T* logits, const T* largest,
                                    const std::int32_t* targets, T* sums, int index,
                                    std::int64_t valid) {
    for (std::int64_t r = 0; r < k.rows; ++r) {
        T* row = logits + r * k.columns;
        // Finite even where the rank's own maximum was −∞: another rank holds the vocabulary.
        const T most = largest[r];
        const std::int64_t target = column_of(k, targets[r], index);
        sums[2 * r + 1] = target < 0 ? T(0) : row[target] - most;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < valid; ++i) row[i] = exponential(row[i] - most);
        std::fill(row + valid, row + k.columns, T(0));
        sums[2 * r] =
            valid > 0 ? lane_sum<T>(valid, [row](std::int64_t i) { return row[i]; }) : T(0);
    }
}

// Returns Σ −log p(target), added row after row in double precision.
template <class T>
SHARDSCOPE_CLONES double gradient_of_rows(const VocabularyLoss& k, T* logits, const T* sums,
                                          const std::int32_t* targets, int index) {
    double loss = 0;
    for (std::int64_t r = 0; r < k.rows; ++r) {
        T* row = logits + r * k.columns;
        const auto sum = static_cast<double>(sums[2 * r]);
        loss += std::log(sum) - static_cast<double>(sums[2 * r + 1]);
        const T factor = static_cast<T>(k.scale / sum);
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < k.columns; ++i) row[i] *= factor;
        const std::int64_t target = column_of(k, targets[r], index);
        if (target >= 0) row[target] -= static_cast<T>(k.scale);
    }
    return loss;
}

}  // namespace

template <class T>
void run(const VocabularyMax& k, const Addresses& at, int index) {
    largest_of_rows(k, as<const T>(at[0]), as<T>(at[1]), valid_columns(k, index));
}

template <class T>
void run(const VocabularySum& k, const Addresses& at, int index) {
    sums_of_rows(k, as<T>(at[0]), as<const T>(at[1]), as<const std::int32_t>(at[2]), as<T>(at[3]),
                 index, valid_columns(k, index));
}

template <class T>
void run(const VocabularyLoss& k, const Addresses& at, int index) {
    const double sum =
        gradient_of_rows(k, as<T>(at[0]), as<const T>(at[1]), as<const std::int32_t>(at[2]), index);
    if (index == 0) *as<double>(at[3]) += k.scale * sum;
}

SHARDSCOPE_INSTANTIATE_INDEXED(VocabularyMax);
SHARDSCOPE_INSTANTIATE_INDEXED(VocabularySum);
SHARDSCOPE_INSTANTIATE_INDEXED(VocabularyLoss);

}  // namespace shardscope::cpu
