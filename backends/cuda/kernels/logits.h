// A row of logits, walked in whole vectors wherever it begins.
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/device.h"

namespace shardscope::cuda {

// Rows of an odd number of classes begin anywhere within 16 bytes. Chunk c holds the elements from
// c·N − offset on, so that every chunk is aligned; the first and the last may be partial.
template <class T>
struct LogitsRow {
    static constexpr int N = kPerWords<T>;
    T* row;
    int length, offset;

    SHARDSCOPE_DEVICE LogitsRow(T* row_, std::int64_t length_)
        : row(row_),
          length(static_cast<int>(length_)),
          offset(static_cast<int>(reinterpret_cast<std::uintptr_t>(row_) % sizeof(Words) /
                                  sizeof(T))) {}

    SHARDSCOPE_DEVICE int chunks() const { return (length + offset + N - 1) / N; }
    SHARDSCOPE_DEVICE int first(int chunk) const { return chunk * N - offset; }
    SHARDSCOPE_DEVICE bool whole(int first) const { return first >= 0 && first + N <= length; }

    // Elements from `first` on; `fill` where the row has none.
    SHARDSCOPE_DEVICE void read(const T* from, int first, float fill, float (&to)[N]) const {
        if (whole(first)) return load(from + first, to);
#pragma unroll
        for (int i = 0; i < N; ++i)
            to[i] =
                first + i >= 0 && first + i < length ? static_cast<float>(from[first + i]) : fill;
    }
    SHARDSCOPE_DEVICE void write(T* to, int first, const float (&from)[N]) const {
        if (whole(first)) return store(to + first, from);
#pragma unroll
        for (int i = 0; i < N; ++i)
            if (first + i >= 0 && first + i < length) to[first + i] = static_cast<T>(from[i]);
    }
    // Where element 0 is in shared memory that holds the row with the same offset (row_bytes).
    SHARDSCOPE_DEVICE T* in_shared() const { return dynamic_shared<T>() + offset; }
};

// Σ e^(x − largest) over elements seen so far, largest being the largest of them.
struct RunningSum {
    float largest = -INFINITY, sum = 0;

    template <int N>
    SHARDSCOPE_DEVICE void add(const float (&x)[N]) {
        float most = largest;
#pragma unroll
        for (int i = 0; i < N; ++i) most = x[i] > most ? x[i] : most;
        if (most == -INFINITY) return;  // nothing but padding yet
        float more = 0;
#pragma unroll
        for (int i = 0; i < N; ++i) more += DeviceMath::exponential(x[i] - most);
        sum = sum * DeviceMath::exponential(largest - most) + more;
        largest = most;
    }
    // Of all threads of the block, the same in each.
    SHARDSCOPE_DEVICE RunningSum of_block() const {
        RunningSum all;
        all.largest = block_max(largest);
        const float own =
            largest == -INFINITY ? 0.0f : sum * DeviceMath::exponential(largest - all.largest);
        all.sum = block_sum(own);
        return all;
    }
};

}  // namespace shardscope::cuda
