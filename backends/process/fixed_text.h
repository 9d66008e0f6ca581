// Texts in the fixed arrays of what processes send each other.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>

namespace shardscope {

// Cut where it is too long. What `to` had behind it stays, so `to` has to be zero at first.
template <std::size_t N>
void copy_text(char (&to)[N], const std::string& from) {
    std::memcpy(to, from.data(), std::min(from.size(), N - 1));
}

// Up to the first zero, or all of it.
template <std::size_t N>
std::string text_of(const char (&from)[N]) {
    return {from, strnlen(from, N)};
}

}  // namespace shardscope
