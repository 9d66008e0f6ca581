// What device code is written with, in its versions for the host: against plain loops, and Bf16's rounding.
#include "backends/cuda/kernels/device.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cuda/kernels/column_sums.h"
#include "backends/cuda/kernels/launch.h"
#include "tests/cuda/seed.h"
#include "tests/host_device/control.h"

namespace shardscope::cuda {
namespace {

class DeviceCode : public ::testing::Test {
protected:
    void SetUp() override { host_device::reset({.seed = seed()}); }
    static void finish() {
        ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
        EXPECT_TRUE(host_device::problems().empty()) << host_device::problems().front();
    }
    std::vector<float> normal(std::size_t count) {
        std::normal_distribution<float> of;
        std::vector<float> values(count);
        for (float& v : values) v = static_cast<float>(Bf16(of(random_)));
        return values;
    }
    std::mt19937_64 random_{seed()};
};

template <class... Parameters, class... Arguments>
void launch_block(void (*kernel)(Parameters...), unsigned threads, std::uint32_t shared,
                  Arguments... arguments) {
    launch("test", kernel, Geometry{{}, {threads, 1, 1}, shared}, LaunchContext{}, arguments...);
}

// c[16 × 8] = a[16 × 16] · b[16 × 8], fragments by their documented layout.
__global__ void multiply_once(const Bf16* a, const Bf16* b, float* c) {
    const int g = lane_index() / 4, t = lane_index() % 4;
    const auto pair = [](const Bf16* low, const Bf16* high) { return pack_bf16(*low, *high); };
    std::uint32_t left[4], right[2];
    for (int i = 0; i < 4; ++i) {
        const Bf16* from = a + (g + 8 * (i % 2)) * 16 + 2 * t + 8 * (i / 2);
        left[i] = pair(from, from + 1);
    }
    for (int i = 0; i < 2; ++i) {
        const Bf16* from = b + (2 * t + 8 * i) * 8 + g;
        right[i] = pair(from, from + 8);
    }
    float sums[4] = {};
    multiply_add(sums, left, right);
    multiply_add(sums, left, right);
    for (int i = 0; i < 4; ++i) c[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = sums[i];
}

TEST_F(DeviceCode, TensorCoreProductsMatchPlainLoops) {
    const auto a = normal(256), b = normal(128);
    const std::vector<Bf16> left(a.begin(), a.end()), right(b.begin(), b.end());
    std::vector<float> c(128);
    launch_block(multiply_once, 32, 0, left.data(), right.data(), c.data());
    finish();
    for (std::size_t i = 0; i < 16; ++i)
        for (std::size_t j = 0; j < 8; ++j) {
            double sum = 0;
            for (std::size_t k = 0; k < 16; ++k)
                sum += 2.0 * static_cast<double>(a[16 * i + k]) * static_cast<double>(b[8 * k + j]);
            EXPECT_NEAR(static_cast<double>(c[8 * i + j]), sum, 1e-5)
                << i << " " << j << " seed " << seed();
        }
}

// Four 8 × 8 matrices of numbers, and what the lanes get of them.
__global__ void load_once(std::uint32_t* plain, std::uint32_t* transposed) {
    auto* shared = dynamic_shared<std::uint16_t>();
    const int lane = lane_index();
    for (int i = lane; i < 256; i += kWarp) shared[i] = static_cast<std::uint16_t>(i);
    __syncthreads();
    std::uint32_t to[4];
    load_matrices(to, shared + 8 * lane);
    for (int i = 0; i < 4; ++i) plain[4 * lane + i] = to[i];
    load_matrices_transposed(to, shared + 8 * lane);
    for (int i = 0; i < 4; ++i) transposed[4 * lane + i] = to[i];
}

TEST_F(DeviceCode, MatricesComeToTheirLanes) {
    std::vector<std::uint32_t> plain(128), transposed(128);
    launch_block(load_once, 32, 512, plain.data(), transposed.data());
    finish();
    const auto pair = [](std::uint32_t low, std::uint32_t high) { return low | high << 16; };
    for (std::uint32_t lane = 0; lane < 32; ++lane)
        for (std::uint32_t m = 0; m < 4; ++m) {
            const auto at = [&](std::uint32_t row, std::uint32_t column) {
                return 64 * m + 8 * row + column;
            };
            const std::uint32_t g = lane / 4, t = 2 * (lane % 4);
            EXPECT_EQ(plain[4 * lane + m], pair(at(g, t), at(g, t + 1)));
            EXPECT_EQ(transposed[4 * lane + m], pair(at(t, g), at(t + 1, g)));
        }
}

__global__ void reduce_once(const float* x, float* sums, float* most) {
    const float value = x[threadIdx.x];
    for (int i = 0; i < 3; ++i) sums[threadIdx.x] = block_sum(value);
    most[threadIdx.x] = block_max(value);
}

TEST_F(DeviceCode, BlocksReduceToTheSameBitsInEveryThread) {
    for (const unsigned threads : {32u, 96u, 1024u}) {
        const auto x = normal(threads);
        std::vector<float> sums(threads), most(threads);
        launch_block(reduce_once, threads, 0, x.data(), sums.data(), most.data());
        finish();
        double sum = 0;
        for (const float v : x) sum += static_cast<double>(v);
        EXPECT_NEAR(static_cast<double>(sums[0]), sum, 1e-3);
        EXPECT_EQ(most[0], *std::max_element(x.begin(), x.end()));
        for (unsigned i = 1; i < threads; ++i) {
            EXPECT_EQ(sums[i], sums[0]);
            EXPECT_EQ(most[i], most[0]);
        }
    }
}

// From a displaced place, so that the last vector is partial and none may be moved whole.
template <class T>
__global__ void copy_once(const T* from, T* to, int count, bool aligned) {
    constexpr int N = 8;
    const int first = static_cast<int>(threadIdx.x) * N;
    if (first >= count) return;
    float v[N];
    load(from + first, count - first < N ? count - first : N, aligned, v, -1.0f);
    store(to + first, count - first < N ? count - first : N, aligned, v);
}

template <class T>
void expect_copied(const std::vector<float>& x, int displaced, bool aligned) {
    const std::vector<T> from(x.begin(), x.end());
    alignas(16) static T memory[128];
    for (T& v : memory) v = T(-7.0f);
    std::vector<T> placed(from);
    launch_block(copy_once<T>, 32, 0, static_cast<const T*>(from.data()), memory + displaced,
                 static_cast<int>(from.size()), aligned);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    for (std::size_t i = 0; i < from.size(); ++i)
        EXPECT_EQ(static_cast<float>(memory[i + static_cast<std::size_t>(displaced)]),
                  static_cast<float>(from[i]));
    EXPECT_EQ(static_cast<float>(memory[from.size() + static_cast<std::size_t>(displaced)]), -7.0f);
}

TEST_F(DeviceCode, VectorsAndTheirRestsAreMoved) {
    for (const std::size_t count : {1u, 7u, 8u, 61u, 64u})
        for (const int displaced : {0, 1, 3}) {
            const auto x = normal(count);
            expect_copied<float>(x, displaced, displaced == 0);
            expect_copied<Bf16>(x, displaced, displaced == 0);
        }
}

TEST_F(DeviceCode, PackedBf16IsBf16) {
    for (const float v : {0.0f, -0.0f, 1.0f, 1.00390625f, 1.01171875f, 3.3895e38f, 1e-40f, INFINITY,
                          -INFINITY, 3.14159f}) {
        const std::uint32_t packed = pack_bf16(v, -v);
        EXPECT_EQ(packed & 0xFFFFu, Bf16(v).bits());
        EXPECT_EQ(packed >> 16, Bf16(-v).bits());
        EXPECT_EQ(low_bf16(packed), static_cast<float>(Bf16(v)));
        EXPECT_EQ(high_bf16(packed), static_cast<float>(Bf16(-v)));
    }
}

TEST_F(DeviceCode, ColumnSumsAddRowsInFp32AndRoundOnce) {
    LaunchContext context;
    std::vector<std::byte> scratch(1 << 20);
    context.scratch = scratch.data();
    context.scratch_bytes = static_cast<std::int64_t>(scratch.size());
    context.device = {4, 90, 227 << 10};
    for (const std::size_t columns : {1u, 24u, 77u})
        for (const std::size_t rows : {1u, 40u, 333u})
            for (const bool accumulate : {false, true}) {
                const auto x = normal(rows * columns);
                const std::vector<Bf16> stored(x.begin(), x.end());
                std::vector<float> sums(columns, accumulate ? 2.0f : NAN);
                column_sums(stored.data(), static_cast<std::int64_t>(rows),
                            static_cast<std::int64_t>(columns), accumulate, sums.data(), context);
                finish();
                for (std::size_t c = 0; c < columns; ++c) {
                    double sum = accumulate ? 2.0 : 0.0;
                    for (std::size_t r = 0; r < rows; ++r)
                        sum += static_cast<double>(x[r * columns + c]);
                    EXPECT_NEAR(static_cast<double>(sums[c]), sum, 1e-4) << "seed " << seed();
                }
            }
}

}  // namespace
}  // namespace shardscope::cuda
