// Marks bytes of an arena as not to be touched, where the build can check it (AddressSanitizer); in
// other builds nothing happens.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace shardscope {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kPoisonsArena = true;
inline void poison(const std::byte* first, std::int64_t bytes) {
    __asan_poison_memory_region(first, static_cast<std::size_t>(bytes));
}
inline void unpoison(const std::byte* first, std::int64_t bytes) {
    __asan_unpoison_memory_region(first, static_cast<std::size_t>(bytes));
}
#else
constexpr bool kPoisonsArena = false;
inline void poison(const std::byte*, std::int64_t) {}
inline void unpoison(const std::byte*, std::int64_t) {}
#endif

}  // namespace shardscope
