// Loops that the compiler vectorises, for the instruction set found at run time, with the same bits
// on every one: sums have a fixed number of partial sums, and -ffp-contract=off keeps a·b + c apart.
//
// A hot loop is a function template marked SHARDSCOPE_CLONES; what it calls is SHARDSCOPE_INLINE,
// because a function that stays outside is compiled for the oldest instruction set only.
#pragma once

#include <cmath>
#include <cstdint>

#include "backends/arithmetic/exponential.h"
#include "backends/cpu/kernels/real.h"

// GCC resolves clones while the program is loaded, before the sanitizers' run time is ready.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define SHARDSCOPE_CLONES \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SHARDSCOPE_CLONES
#endif
#define SHARDSCOPE_INLINE [[gnu::always_inline]] inline

// Iterations are independent: outputs may be the very same array as an input of the loop, but must
// not overlap it shifted.
#if defined(__GNUC__) && !defined(__clang__)
#define SHARDSCOPE_INDEPENDENT _Pragma("GCC ivdep")
#else
#define SHARDSCOPE_INDEPENDENT
#endif

namespace shardscope::cpu {

// Partial sums (and maxima) of a reduction: enough for two registers of the widest instruction set.
constexpr int kLanes = 32;

// eˣ with the same bits on every instruction set.
template <class T>
SHARDSCOPE_INLINE T exponential(T x) {
    return PortableMath::exponential(x);
}

// Σ term(i), i = 0 … n − 1, in Sum's precision. Element i is added to partial sum i mod kLanes;
// partial sums are combined as a binary tree.
template <class Sum, class Term>
SHARDSCOPE_INLINE Sum lane_sum(std::int64_t n, Term term) {
    Sum lanes[kLanes] = {};
    std::int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
        for (int j = 0; j < kLanes; ++j) lanes[j] += term(i + j);
    if (i < n)
        for (int j = 0; j < kLanes; ++j)
            if (i + j < n) lanes[j] += term(i + j);
    for (int width = kLanes / 2; width > 0; width /= 2)
        for (int j = 0; j < width; ++j) lanes[j] += lanes[j + width];
    return lanes[0];
}

// The largest of x[0 … n − 1], n ≥ 1.
template <class T>
SHARDSCOPE_INLINE Real<T> lane_max(const T* x, std::int64_t n) {
    using R = Real<T>;
    R lanes[kLanes];
    for (int j = 0; j < kLanes; ++j) lanes[j] = x[0];
    std::int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
        for (int j = 0; j < kLanes; ++j) lanes[j] = R(x[i + j]) > lanes[j] ? R(x[i + j]) : lanes[j];
    R largest = x[0];
    for (; i < n; ++i) largest = R(x[i]) > largest ? R(x[i]) : largest;
    for (int j = 0; j < kLanes; ++j) largest = lanes[j] > largest ? lanes[j] : largest;
    return largest;
}

}  // namespace shardscope::cpu
