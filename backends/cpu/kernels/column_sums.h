// Sums down the rows of a matrix: gradients of biases and of norm weights.
#pragma once

#include <algorithm>

#include "backends/cpu/kernels/simd.h"
#include "backends/cpu/kernels/team.h"

namespace shardscope::cpu {

// sums[c] += Σ_r term(r, c). Columns go by chunks whose partial sums stay in registers; rows by blocks,
// summed on their own first, which keeps rounding errors small.
template <class R, class Term>
SHARDSCOPE_INLINE void add_column_sums(std::int64_t rows, std::int64_t columns, R* sums,
                                       Term term) {
    constexpr std::int64_t kColumns = 64, kRows = 32;
    for (std::int64_t first = 0; first < rows; first += kRows) {
        const std::int64_t end = rows - first < kRows ? rows : first + kRows;
        std::int64_t c = 0;
        for (; c + kColumns <= columns; c += kColumns) {
            R partial[kColumns] = {};
            for (std::int64_t r = first; r < end; ++r)
                for (std::int64_t j = 0; j < kColumns; ++j) partial[j] += term(r, c + j);
            for (std::int64_t j = 0; j < kColumns; ++j) sums[c + j] += partial[j];
        }
        for (; c < columns; ++c) {
            R partial = 0;
            for (std::int64_t r = first; r < end; ++r) partial += term(r, c);
            sums[c] += partial;
        }
    }
}

// Columns that a thread sums at a time.
inline constexpr std::int64_t kColumnShare = 64;

// sums[c] (+)= Σ_r term(r, c) for the columns of a share, computed in Real<T> and stored once.
template <class T, class Term>
SHARDSCOPE_INLINE void column_sums(std::int64_t rows, Share share, bool accumulate, T* sums,
                                   Term term) {
    const std::int64_t columns = share.count();
    sums += share.first;
    if (!accumulate) std::fill_n(sums, columns, T(0));
    if constexpr (kStoresExactly<T>) {
        add_column_sums(rows, columns, sums,
                        [&](std::int64_t r, std::int64_t c) { return term(r, share.first + c); });
    } else {
        constexpr std::int64_t kWidth = 1024;  // columns whose totals are kept at a time
        Real<T> totals[kWidth];
        for (std::int64_t first = 0; first < columns; first += kWidth) {
            const std::int64_t width = columns - first < kWidth ? columns - first : kWidth;
            for (std::int64_t c = 0; c < width; ++c) totals[c] = sums[first + c];
            add_column_sums(rows, width, totals, [&](std::int64_t r, std::int64_t c) {
                return term(r, share.first + first + c);
            });
            for (std::int64_t c = 0; c < width; ++c) sums[first + c] = totals[c];
        }
    }
}

}  // namespace shardscope::cpu
