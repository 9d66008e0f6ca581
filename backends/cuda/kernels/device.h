// What device code is written with: 16-byte loads and stores with arithmetic in fp32, reductions in a
// fixed order, and the few PTX instructions that C++ has no word for.
//
// Every wrapper has a host version beside it, so that the kernels run on the host device too. With launch.h
// this is the only file that knows which compiler reads it.
#pragma once

#include <cmath>
#include <cstdint>

#include <cuda_runtime.h>

#include "backends/cuda/kernels/geometry.h"
#include "core/bf16.h"

namespace shardscope::cuda {

#ifdef __CUDACC__
#define SHARDSCOPE_DEVICE __device__ __forceinline__
#else
#define SHARDSCOPE_DEVICE inline
#endif

inline constexpr unsigned kAllLanes = 0xFFFFFFFFu;

// The block's dynamic shared memory, aligned to 16 bytes; every call returns the same place.
template <class T>
SHARDSCOPE_DEVICE T* dynamic_shared() {
#ifdef __CUDACC__
    extern __shared__ __align__(16) unsigned char shardscope_dynamic_shared[];
    return reinterpret_cast<T*>(shardscope_dynamic_shared);
#else
    return reinterpret_cast<T*>(host_device::dynamic_shared_bytes());
#endif
}

// Of the calling thread within its block, x fastest as the hardware counts; and within its warp.
SHARDSCOPE_DEVICE int thread_index() {
    return static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
}
SHARDSCOPE_DEVICE int lane_index() { return thread_index() % kWarp; }

// ---- bf16 ----

// Two floats rounded as Bf16 rounds them (nearest, ties to even), the first in the lower half. A NaN stays
// one, but the hardware gives it another payload.
SHARDSCOPE_DEVICE std::uint32_t pack_bf16(float low, float high) {
#ifdef __CUDACC__
    std::uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
#else
    return std::uint32_t{Bf16(low).bits()} | std::uint32_t{Bf16(high).bits()} << 16;
#endif
}
SHARDSCOPE_DEVICE float low_bf16(std::uint32_t packed) {
    return __builtin_bit_cast(float, packed << 16);
}
SHARDSCOPE_DEVICE float high_bf16(std::uint32_t packed) {
    return __builtin_bit_cast(float, packed & 0xFFFF0000u);
}

// ---- memory ----

struct alignas(16) Words {
    std::uint32_t word[4];
};

// Elements of T in 16 bytes.
template <class T>
inline constexpr int kPerWords = 16 / static_cast<int>(sizeof(T));

// to = from[0 … N − 1]; `from` is aligned to 16 bytes, N a multiple of kPerWords<T>. Or N = 1, and any
// alignment does.
template <class T>
SHARDSCOPE_DEVICE void load(const T* from, float (&to)[1]) {
    to[0] = static_cast<float>(*from);
}
template <class T>
SHARDSCOPE_DEVICE void store(T* to, const float (&from)[1]) {
    *to = static_cast<T>(from[0]);
}
template <int N>
requires(N % kPerWords<float> == 0) SHARDSCOPE_DEVICE void load(const float* from, float (&to)[N]) {
#pragma unroll
    for (int i = 0; i < N; i += 4) {
        const Words w = *reinterpret_cast<const Words*>(from + i);
#pragma unroll
        for (int j = 0; j < 4; ++j) to[i + j] = __builtin_bit_cast(float, w.word[j]);
    }
}
template <int N>
requires(N % kPerWords<Bf16> == 0) SHARDSCOPE_DEVICE void load(const Bf16* from, float (&to)[N]) {
#pragma unroll
    for (int i = 0; i < N; i += 8) {
        const Words w = *reinterpret_cast<const Words*>(from + i);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            to[i + 2 * j] = low_bf16(w.word[j]);
            to[i + 2 * j + 1] = high_bf16(w.word[j]);
        }
    }
}
template <int N>
requires(N % kPerWords<float> == 0) SHARDSCOPE_DEVICE
    void store(float* to, const float (&from)[N]) {
#pragma unroll
    for (int i = 0; i < N; i += 4) {
        Words w;
#pragma unroll
        for (int j = 0; j < 4; ++j) w.word[j] = __builtin_bit_cast(std::uint32_t, from[i + j]);
        *reinterpret_cast<Words*>(to + i) = w;
    }
}
template <int N>
requires(N % kPerWords<Bf16> == 0) SHARDSCOPE_DEVICE void store(Bf16* to, const float (&from)[N]) {
#pragma unroll
    for (int i = 0; i < N; i += 8) {
        Words w;
#pragma unroll
        for (int j = 0; j < 4; ++j) w.word[j] = pack_bf16(from[i + 2 * j], from[i + 2 * j + 1]);
        *reinterpret_cast<Words*>(to + i) = w;
    }
}

// The first `count` ≤ N elements, of any alignment; the others become, or stay in memory, what they were
// filled with. `aligned` says whether whole vectors may be moved at once (is_aligned).
template <int N, class T>
SHARDSCOPE_DEVICE void load(const T* from, int count, bool aligned, float (&to)[N],
                            float fill = 0) {
    if (aligned && count == N) return load(from, to);
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = i < count ? static_cast<float>(from[i]) : fill;
}
template <int N, class T>
SHARDSCOPE_DEVICE void store(T* to, int count, bool aligned, const float (&from)[N]) {
    if (aligned && count == N) return store(to, from);
#pragma unroll
    for (int i = 0; i < N; ++i)
        if (i < count) to[i] = static_cast<T>(from[i]);
}

// Whether an address (or none) allows moves of 16 bytes; also on the host, before a launch.
inline bool is_aligned(const void* address) {
    return reinterpret_cast<std::uintptr_t>(address) % sizeof(Words) == 0;
}
template <class... More>
bool is_aligned(const void* first, const void* second, const More*... more) {
    return is_aligned(first) && is_aligned(second, static_cast<const void*>(more)...);
}

// ---- reductions ----

struct Plus {
    template <class T>
    SHARDSCOPE_DEVICE T operator()(T a, T b) const {
        return a + b;
    }
};
struct Larger {
    template <class T>
    SHARDSCOPE_DEVICE T operator()(T a, T b) const {
        return a > b ? a : b;
    }
};

// Over neighbouring groups of `lanes` (a power of two) lanes of a warp, all of whose threads call; every
// lane gets the result, with the same bits.
template <class T, class Combine>
SHARDSCOPE_DEVICE T lanes_reduce(T value, int lanes, Combine combine) {
    for (int offset = lanes / 2; offset > 0; offset /= 2)
        value = combine(value, __shfl_xor_sync(kAllLanes, value, offset));
    return value;
}
template <class T, class Combine>
SHARDSCOPE_DEVICE T warp_reduce(T value, Combine combine) {
#pragma unroll
    for (int offset = kWarp / 2; offset > 0; offset /= 2)
        value = combine(value, __shfl_xor_sync(kAllLanes, value, offset));
    return value;
}
template <class T>
SHARDSCOPE_DEVICE T warp_sum(T value) {
    return warp_reduce(value, Plus());
}
template <class T>
SHARDSCOPE_DEVICE T warp_max(T value) {
    return warp_reduce(value, Larger());
}

// Over the threads of a block, whose number is a multiple of a warp and all of which call; `neutral` changes
// nothing. Every thread gets the result, with the same bits. A barrier for memory.
template <class T, class Combine>
SHARDSCOPE_DEVICE T block_reduce(T value, T neutral, Combine combine) {
    __shared__ T of_warps[kWarp];
    const int thread = thread_index();
    const int warps = static_cast<int>(blockDim.x * blockDim.y * blockDim.z) / kWarp;
    value = warp_reduce(value, combine);
    if (warps == 1) {
        __syncwarp();  // a barrier for memory too, as below
        return value;
    }
    if (thread % kWarp == 0) of_warps[thread / kWarp] = value;
    __syncthreads();
    value = thread % kWarp < warps ? of_warps[thread % kWarp] : neutral;
    value = warp_reduce(value, combine);
    __syncthreads();  // before the next reduction writes
    return value;
}
template <class T>
SHARDSCOPE_DEVICE T block_sum(T value) {
    return block_reduce(value, T(0), Plus());
}
SHARDSCOPE_DEVICE float block_max(float value) { return block_reduce(value, -INFINITY, Larger()); }

// Visits the vectors `thread`, thread + threads, … of `count`: visit(vector, slot), where the first kKept
// have slots 0 … kKept − 1 of an array that stays in registers, and all later ones share slot
// kKept, which has to be read again on every visit.
template <int kKept, class Visit>
SHARDSCOPE_DEVICE void for_vectors(int thread, int threads, int count, const Visit& visit) {
#pragma unroll
    for (int slot = 0; slot < kKept; ++slot) {
        const int vector = thread + slot * threads;
        if (vector < count) visit(vector, slot);
    }
    for (int vector = thread + kKept * threads; vector < count; vector += threads)
        visit(vector, kKept);
}

// ---- arithmetic ----

// What backends/arithmetic is instantiated with on GPUs: the hardware's reciprocal, within one unit in the
// last place, instead of a division.
struct DeviceMath {
    SHARDSCOPE_DEVICE static float exponential(float x) { return expf(x); }
    SHARDSCOPE_DEVICE static float reciprocal(float x) {
#ifdef __CUDACC__
        float r;
        asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
        return r;
#else
        return 1.0f / x;
#endif
    }
};

// ---- copies that do not wait ----

// Starts to copy 16 bytes to shared memory (both aligned to 16), zeros instead where not `valid`: then
// `global` is not read. The copy is there for its own thread after wait_copies, for others after a barrier.
SHARDSCOPE_DEVICE void copy_async(void* shared, const void* global, bool valid = true) {
#ifdef __CUDACC__
    const auto to = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global),
                 "r"(valid ? 16 : 0)
                 : "memory");
#else
    *static_cast<Words*>(shared) = valid ? *static_cast<const Words*>(global) : Words{};
#endif
}
// Ends a group of copies.
SHARDSCOPE_DEVICE void commit_copies() {
#ifdef __CUDACC__
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Waits until at most N of this thread's groups are under way.
template <int N>
SHARDSCOPE_DEVICE void wait_copies() {
#ifdef __CUDACC__
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

// ---- tensor cores; all lanes of a warp call. Layouts: PTX ISA, "Matrix Fragments for mma.m16n8k16" ----

#ifndef __CUDACC__
// Calls use(all) with the addresses of every lane's `mine`.
template <class T, class Use>
void with_all_lanes(const T& mine, const Use& use) {
    const T* all[kWarp];
    const auto own = reinterpret_cast<unsigned long long>(&all[0]);
    auto** shared = reinterpret_cast<const T**>(__shfl_sync(kAllLanes, own, 0));
    shared[lane_index()] = &mine;
    __syncwarp();
    use(shared);
    __syncwarp();
}
#endif

// Four 8 × 8 matrices of 16-bit elements from shared memory: lane 8·i + r gives the address of row r of
// matrix i (16 bytes, aligned to 16). Lane l gets of matrix i, in to[i], the elements 2·(l % 4) and the
// next of row l / 4; transposed: of column l / 4.
SHARDSCOPE_DEVICE void load_matrices(std::uint32_t (&to)[4], const void* row) {
#ifdef __CUDACC__
    const auto from = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
#else
    const int lane = lane_index();
    with_all_lanes(row, [&](const void* const* const* rows) {
        for (int i = 0; i < 4; ++i)
            to[i] = static_cast<const std::uint32_t*>(*rows[8 * i + lane / 4])[lane % 4];
    });
#endif
}
SHARDSCOPE_DEVICE void load_matrices_transposed(std::uint32_t (&to)[4], const void* row) {
#ifdef __CUDACC__
    const auto from = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
#else
    const int lane = lane_index();
    with_all_lanes(row, [&](const void* const* const* rows) {
        const auto element = [&](int matrix, int r) {
            return std::uint32_t{
                static_cast<const std::uint16_t*>(*rows[8 * matrix + r])[lane / 4]};
        };
        for (int i = 0; i < 4; ++i) {
            const int r = 2 * (lane % 4);
            to[i] = element(i, r) | element(i, r + 1) << 16;
        }
    });
#endif
}

// c += a·b with a 16 × 16 (rows by columns), b 16 × 8, c 16 × 8, bf16 in, fp32 sums. With g = lane / 4 and
// t = lane % 4 a lane holds
//   a: rows g, g + 8, g, g + 8, columns 2t and 2t + 1 (first two words), 2t + 8 and 2t + 9 (last two)
//   b: column g, rows 2t and 2t + 1, 2t + 8 and 2t + 9
//   c: row g, columns 2t and 2t + 1; row g + 8, the same columns
SHARDSCOPE_DEVICE void multiply_add(float (&c)[4], const std::uint32_t (&a)[4],
                                    const std::uint32_t (&b)[2]) {
#ifdef __CUDACC__
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    struct Fragments {
        std::uint32_t a[4], b[2];
    };
    const Fragments mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    const int g = lane_index() / 4, t = lane_index() % 4;
    with_all_lanes(mine, [&](const Fragments* const* all) {
        for (int i = 0; i < 4; ++i) {
            const int half = i / 2, column = 2 * t + i % 2;
            for (int k = 0; k < 4; ++k)
                for (int part = 0; part < 2; ++part) {
                    const std::uint32_t left = all[4 * g + k]->a[2 * part + half];
                    const std::uint32_t right = all[4 * column + k]->b[part];
                    c[i] += low_bf16(left) * low_bf16(right);
                    c[i] += high_bf16(left) * high_bf16(right);
                }
        }
    });
#endif
}

}  // namespace shardscope::cuda
