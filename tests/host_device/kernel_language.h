// CUDA's additions to C++ in device code, for a host: qualifiers, a thread's position, barriers, exchanges
// within a warp, atomics and intrinsics. Only what our kernels use.
//
// __shared__ arrays are statics of the host's thread that runs the block; unlike dynamic shared memory they
// keep what the last block left in them.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <source_location>
#include <type_traits>

#include "tests/host_device/vector_types.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static thread_local

inline constinit thread_local uint3 threadIdx{0, 0, 0};
inline constinit thread_local uint3 blockIdx{0, 0, 0};
inline constinit thread_local dim3 blockDim{1, 1, 1};
inline constinit thread_local dim3 gridDim{1, 1, 1};
inline constexpr int warpSize = 32;

namespace host_device {

// What the threads of a warp that named each other have brought; valid until the thread's next exchange.
struct Exchanged {
    const std::uint64_t* values;  // by lane
    std::uint32_t present;        // lanes that brought one
};

int sync_threads(int predicate, const std::source_location& where);
Exchanged warp_exchange(unsigned mask, std::uint64_t value, const std::source_location& where);
int lane_index();
// The block's dynamic shared memory, aligned to 16 bytes.
std::byte* dynamic_shared_bytes();
[[noreturn]] void fail_kernel(const char* what);

// What lane `source` of the exchange brought.
template <class T>
T value_of(const Exchanged& exchanged, int source) {
    if ((exchanged.present >> source & 1u) == 0) {
        fail_kernel("a shuffle reads a lane that did not take part in it");
    }
    T value;
    std::memcpy(&value, &exchanged.values[source], sizeof value);
    return value;
}

template <class T>
Exchanged bring(unsigned mask, T value, const std::source_location& where) {
    static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8);
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    return warp_exchange(mask, bits, where);
}

}  // namespace host_device

#define HOST_DEVICE_WHERE std::source_location where = std::source_location::current()

inline void __syncthreads(HOST_DEVICE_WHERE) { host_device::sync_threads(0, where); }
inline int __syncthreads_or(int predicate, HOST_DEVICE_WHERE) {
    return host_device::sync_threads(predicate, where);
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, HOST_DEVICE_WHERE) {
    host_device::warp_exchange(mask, 0, where);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, HOST_DEVICE_WHERE) {
    const auto all = host_device::bring(mask, value, where);
    const int first = host_device::lane_index() & ~(width - 1);
    return host_device::value_of<T>(all, first + (lane & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, HOST_DEVICE_WHERE) {
    const auto all = host_device::bring(mask, value, where);
    const int own = host_device::lane_index(), from = own ^ lanes;
    // A lane of a later group is out of reach; one of an earlier group is not.
    return from < (own & ~(width - 1)) + width ? host_device::value_of<T>(all, from) : value;
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, HOST_DEVICE_WHERE) {
    const auto all = host_device::bring(mask, value, where);
    const int own = host_device::lane_index(), from = own + static_cast<int>(delta);
    return from < (own & ~(width - 1)) + width ? host_device::value_of<T>(all, from) : value;
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, HOST_DEVICE_WHERE) {
    const auto all = host_device::bring(mask, value, where);
    const int own = host_device::lane_index(), from = own - static_cast<int>(delta);
    return from >= (own & ~(width - 1)) ? host_device::value_of<T>(all, from) : value;
}
inline unsigned __ballot_sync(unsigned mask, int predicate, HOST_DEVICE_WHERE) {
    const auto all = host_device::bring(mask, predicate, where);
    unsigned votes = 0;
    for (unsigned lane = 0; lane < 32; ++lane) {
        if ((all.present >> lane & 1u) != 0 && static_cast<int>(all.values[lane]) != 0) {
            votes |= 1u << lane;
        }
    }
    return votes;
}
inline int __any_sync(unsigned mask, int predicate, HOST_DEVICE_WHERE) {
    return __ballot_sync(mask, predicate, where) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate, HOST_DEVICE_WHERE) {
    return __ballot_sync(mask, predicate == 0 ? 1 : 0, where) == 0 ? 1 : 0;
}
#undef HOST_DEVICE_WHERE

// Integers only: additions of floating-point numbers in any order would not repeat.
template <class T>
requires std::is_integral_v<T> T atomicAdd(T* address, std::type_identity_t<T> value) {
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
template <class T>
requires std::is_integral_v<T> T atomicMax(T* address, std::type_identity_t<T> value) {
    T old = __atomic_load_n(address, __ATOMIC_RELAXED);
    while (old < value && !__atomic_compare_exchange_n(address, &old, value, false,
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}
template <class T>
requires std::is_integral_v<T> T atomicExch(T* address, std::type_identity_t<T> value) {
    return __atomic_exchange_n(address, value, __ATOMIC_RELAXED);
}
template <class T>
requires std::is_integral_v<T> T atomicCAS(T* address, std::type_identity_t<T> expected,
                                           std::type_identity_t<T> value) {
    __atomic_compare_exchange_n(address, &expected, value, false, __ATOMIC_RELAXED,
                                __ATOMIC_RELAXED);
    return expected;
}
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() {}
inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

template <class T>
T __ldg(const T* address) {
    return *address;
}
template <class T>
T __ldcs(const T* address) {
    return *address;
}
template <class T>
T __ldcg(const T* address) {
    return *address;
}
template <class T>
void __stcs(T* address, T value) {
    *address = value;
}

inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }

inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>(std::uint64_t{a} * b >> 32);
}
