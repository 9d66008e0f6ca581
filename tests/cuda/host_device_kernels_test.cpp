// The device that the other tests of this folder stand on: kernels.
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cuda/on_device.h"

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using shardscope::test::OnDevice;
using shardscope::test::with_seed;

class HostDeviceKernels : public shardscope::test::HostDeviceTest {};

__global__ void count_visits(int* visits, int n) {
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const auto i = static_cast<int>(block * blockDim.x * blockDim.y * blockDim.z + thread);
    if (i >= n) return;
    atomicAdd(&visits[i], 1);
}

TEST_F(HostDeviceKernels, EveryThreadOfEveryBlockRunsOnce) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        host_device::reset(with_seed(seed));
        OnDevice<int> visits(std::vector<int>(3 * 2 * 2 * 5 * 3 * 2, 0));
        host_device::launch(count_visits, dim3(3, 2, 2), dim3(5, 3, 2), 0, nullptr, visits.data(),
                            360);
        EXPECT_THAT(visits.values(), ::testing::Each(1)) << "seed " << seed;
    }
}

template <class T>
__global__ void block_sum(const T* x, T* sums, int n) {
    __shared__ T partial[32];
    T sum = 0;
    for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) {
        sum += x[i];
    }
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, step);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x >= 32) return;
    sum = threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : T(0);
    for (unsigned step = 16; step > 0; step /= 2) {
        sum += __shfl_down_sync(0xFFFFFFFFu, sum, step);
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

TEST_F(HostDeviceKernels, ABlockSumsThroughShufflesAndSharedMemory) {
    std::vector<std::int64_t> x(5000);
    std::iota(x.begin(), x.end(), 1);
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        host_device::reset(with_seed(seed));
        OnDevice<std::int64_t> in(x), out(std::vector<std::int64_t>(3));
        host_device::launch(block_sum<std::int64_t>, 3, 1024, 0, nullptr, in.data(), out.data(),
                            5000);
        EXPECT_THAT(out.values(), ::testing::Each(5000 * 5001 / 2)) << "seed " << seed;
    }
}

__global__ void all_shuffles(int* out) {
    const int lane = static_cast<int>(threadIdx.x);
    int* o = out + lane * 6;
    o[0] = __shfl_sync(0xFFFFFFFFu, lane, 3);
    o[1] = __shfl_sync(0xFFFFFFFFu, lane, 1, 8);
    o[2] = __shfl_down_sync(0xFFFFFFFFu, lane, 2, 16);
    o[3] = __shfl_up_sync(0xFFFFFFFFu, lane, 2);
    o[4] = __shfl_xor_sync(0xFFFFFFFFu, lane, 5);
    o[5] = static_cast<int>(__ballot_sync(0xFFFFFFFFu, lane % 2));
    if (lane < 8) o[0] += __shfl_xor_sync(0xFFu, 100 * lane, 1);  // a part of the warp
}

TEST_F(HostDeviceKernels, ShufflesReadTheLaneTheySay) {
    OnDevice<int> out(std::vector<int>(32 * 6));
    host_device::launch(all_shuffles, 1, 32, 0, nullptr, out.data());
    const std::vector<int> values = out.values();
    for (int lane = 0; lane < 32; ++lane) {
        const std::vector<int> row(values.begin() + lane * 6, values.begin() + lane * 6 + 6);
        EXPECT_THAT(row, ElementsAre(3 + (lane < 8 ? 100 * (lane ^ 1) : 0), lane / 8 * 8 + 1,
                                     lane % 16 < 14 ? lane + 2 : lane, lane < 2 ? lane : lane - 2,
                                     lane ^ 5, static_cast<int>(0xAAAAAAAAu)));
    }
}

__global__ void reverse_without_barrier(float* x, bool barrier) {
    auto* tile = reinterpret_cast<float*>(host_device::dynamic_shared_bytes());
    tile[threadIdx.x] = x[threadIdx.x];
    if (barrier) __syncthreads();
    x[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

// Dynamic shared memory is NaN before every block, so that a forgotten barrier shows in any order.
TEST_F(HostDeviceKernels, AForgottenBarrierIsSeen) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        host_device::reset(with_seed(seed));
        OnDevice<float> good({1, 2, 3, 4}), bad({1, 2, 3, 4});
        host_device::launch(reverse_without_barrier, 1, 4, 16, nullptr, good.data(), true);
        host_device::launch(reverse_without_barrier, 1, 4, 16, nullptr, bad.data(), false);
        EXPECT_THAT(good.values(), ElementsAre(4, 3, 2, 1)) << "seed " << seed;
        const std::vector<float> values = bad.values();
        EXPECT_TRUE(
            std::any_of(values.begin(), values.end(), [](float v) { return std::isnan(v); }))
            << "seed " << seed;
    }
}

__global__ void half_at_a_barrier(int* x) {
    if (threadIdx.x < 40) __syncthreads();
    x[threadIdx.x] = 1;
}
__global__ void two_barriers(int* x) {
    if (threadIdx.x < 40) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    x[threadIdx.x] = 1;
}
__global__ void lone_shuffle(int* x) {
    if (threadIdx.x != 5) __syncthreads();
    x[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFFu, 1, 1);
}
__global__ void reads_an_absent_lane(int* x) {
    if (threadIdx.x < 8) x[threadIdx.x] = __shfl_sync(0xFFu, 1, 9);
}

std::string problem_of(void (*kernel)(int*)) {
    host_device::reset();
    OnDevice<int> x(std::vector<int>(64));
    host_device::launch("the_kernel", kernel, 1, 64, 0, nullptr, x.data());
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure) << "the error stays";
    const auto problems = host_device::problems();
    host_device::reset();
    return problems.empty() ? "none" : problems[0];
}

TEST_F(HostDeviceKernels, BarriersThatNotAllThreadsReachAreNamed) {
    EXPECT_THAT(problem_of(half_at_a_barrier),
                HasSubstr("kernel the_kernel, block (0, 0, 0): divergent __syncthreads: thread (0, "
                          "0, 0) is at host_device_kernels_test.cpp:"));
    EXPECT_THAT(problem_of(half_at_a_barrier), HasSubstr("thread (40, 0, 0) has ended"));
    EXPECT_THAT(problem_of(two_barriers), HasSubstr("divergent __syncthreads"));
    EXPECT_THAT(problem_of(lone_shuffle), HasSubstr("divergent __syncthreads"));
    EXPECT_THAT(problem_of(reads_an_absent_lane), HasSubstr("a lane that did not take part"));
}

TEST_F(HostDeviceKernels, LaunchesAreRefusedAsOnADevice) {
    OnDevice<int> x(std::vector<int>(64));
    const auto launch = [&](dim3 grid, dim3 block, std::size_t shared) {
        host_device::launch(half_at_a_barrier, grid, block, shared, nullptr, x.data());
        return cudaGetLastError();
    };
    EXPECT_EQ(launch(0, 32, 0), cudaErrorInvalidConfiguration);
    EXPECT_EQ(launch(1, 1025, 0), cudaErrorInvalidConfiguration);
    EXPECT_EQ(launch(dim3(1, 65536), 32, 0), cudaErrorInvalidConfiguration);
    EXPECT_EQ(launch(1, dim3(4, 4, 65), 0), cudaErrorInvalidConfiguration);
    EXPECT_EQ(launch(1, 32, 48 * 1024 + 1), cudaErrorInvalidValue);
    EXPECT_EQ(cudaFuncSetAttribute(half_at_a_barrier, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   227 * 1024),
              cudaSuccess);
    EXPECT_EQ(launch(1, 32, 227 * 1024), cudaSuccess);
    EXPECT_EQ(cudaFuncSetAttribute(half_at_a_barrier, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   227 * 1024 + 1),
              cudaErrorInvalidValue);
    EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "reading an error clears it";
}

}  // namespace
