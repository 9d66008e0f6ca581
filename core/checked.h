// Size arithmetic that refuses to overflow: sizes come from user input (10^18 layers).
#pragma once

#include <cstdint>

#include "core/error.h"

namespace shardscope {

[[noreturn]] inline void throw_size_overflow(const char* what) {
    throw Error("size-overflow", std::string(what) + " exceeds 2^63 − 1", "use smaller numbers");
}

// a · b for non-negative a and b; throws Error "size-overflow" naming `what`.
inline std::int64_t checked_mul(std::int64_t a, std::int64_t b, const char* what) {
    std::int64_t r = 0;
    if (__builtin_mul_overflow(a, b, &r)) throw_size_overflow(what);
    return r;
}

inline std::int64_t checked_add(std::int64_t a, std::int64_t b, const char* what) {
    std::int64_t r = 0;
    if (__builtin_add_overflow(a, b, &r)) throw_size_overflow(what);
    return r;
}

// The smallest multiple of `step` that is ≥ `n`.
inline std::int64_t round_up(std::int64_t n, std::int64_t step) {
    return checked_mul(checked_add(n, step - 1, "a size") / step, step, "a size");
}

}  // namespace shardscope
