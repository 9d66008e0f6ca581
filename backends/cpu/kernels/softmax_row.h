// The exponentials of a row of logits or scores, in its place: first their sum, then each of them
// times a factor. Rows that would round them keep the logits until the second pass, which makes the
// exponentials again.
#pragma once

#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu {

// Returns Σ e^(x − largest).
template <class T>
SHARDSCOPE_INLINE Real<T> sum_exponentials(T* row, std::int64_t n, Real<T> largest) {
    if constexpr (kStoresExactly<T>) {
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < n; ++i) row[i] = exponential(row[i] - largest);
        return lane_sum<T>(n, [row](std::int64_t i) { return row[i]; });
    } else {
        return lane_sum<Real<T>>(n, [=](std::int64_t i) { return exponential(row[i] - largest); });
    }
}

// x := factor · e^(x − largest) of a row that sum_exponentials() has seen.
template <class T>
SHARDSCOPE_INLINE void scale_exponentials(T* row, std::int64_t n, Real<T> largest, Real<T> factor) {
    SHARDSCOPE_INDEPENDENT
    for (std::int64_t i = 0; i < n; ++i) {
        if constexpr (kStoresExactly<T>)
            row[i] *= factor;
        else
            row[i] = exponential(row[i] - largest) * factor;
    }
}

}  // namespace shardscope::cpu
