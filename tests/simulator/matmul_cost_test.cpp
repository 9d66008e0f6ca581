// Multiplies from tiles: closed forms, monotonicity, and the best published rates.
#include "simulator/matmul_cost.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"

namespace shardscope {
namespace {

// 100 multiprocessors of 2048 FLOPs per clock at 1 GHz.
Device round_gpu() {
    Device device;
    device.architecture = Architecture::ampere;
    device.multiprocessors = 100;
    device.clock = Hertz(1e9);
    device.memory_bandwidth = BytesPerSecond(2e12);
    return device;
}
constexpr MatmulPrecision kHalf{204.8e12, 1.0, 2};
constexpr double kLongK = 65536;  // start and end of a kernel are below 1 % of it

double matmul_seconds(const Device& device, double m, double n, double k) {
    return MatmulCost(device).seconds({m, n, k}, kHalf);
}

// One tile of 256 × 128 after another: multiply-adds, operands, results of 2 bytes at 2 TB/s.
double tile_seconds(double k) {
    const GpuGeneration& ampere = generation_of(Architecture::ampere);
    const double compute = 2.0 * 256 * 128 * k / 2048;
    const double feed = (256 + 128) * k * 2 / ampere.feed;
    const double result = ampere.exposed_results * 256 * 128 * 2 / (2e12 / 1e9 / 100);
    return (std::hypot(compute, feed) + ampere.tile_clocks + result) / 1e9;
}
double start_seconds() { return generation_of(Architecture::ampere).start_clocks / 1e9; }

TEST(MatmulCost, WholeWavesTakeOneTileTimeEach) {
    const Device device = round_gpu();
    EXPECT_NEAR(matmul_seconds(device, 2560, 1280, kLongK), tile_seconds(kLongK) + start_seconds(),
                1e-9);
    EXPECT_NEAR(matmul_seconds(device, 2560, 12800, kLongK),
                10 * tile_seconds(kLongK) + start_seconds(), 1e-9);
}

TEST(MatmulCost, OneTileMoreThanAWaveDoublesTheWaves) {
    // With only one way to tile, that is, of a size at which all other tiles take longer still.
    const Device device = round_gpu();
    const double whole = matmul_seconds(device, 2560, 128 * 1000, kLongK);  // 100 waves
    const double more = matmul_seconds(device, 2560, 128 * 1000 + 128, kLongK);
    EXPECT_NEAR(more - whole, tile_seconds(kLongK), 0.02 * tile_seconds(kLongK));
}

TEST(MatmulCost, FewerMultiprocessorsThanOutputTilesOrCutsOfK) {
    // One tile of output: k is cut, and much faster than by one multiprocessor.
    const double one = tile_seconds(kLongK);
    EXPECT_LT(matmul_seconds(round_gpu(), 256, 128, kLongK), one / 8);
    EXPECT_GT(matmul_seconds(round_gpu(), 256, 128, kLongK), one / 100);
}

TEST(MatmulCost, AShortKCostsEfficiency) {
    const auto rate = [](double k) {
        return 2 * 2560.0 * 12800 * k / matmul_seconds(round_gpu(), 2560, 12800, k);
    };
    EXPECT_LT(rate(64), 0.75 * rate(8192)) << "tile_clocks against 1024 clocks of multiply-adds";
    EXPECT_GT(rate(1024), 0.93 * rate(8192));
}

TEST(MatmulCost, ALowerPowerLimitIsSlowerByItsCubeRoot) {
    Device device = round_gpu();
    device.power = Watts(400);
    const double full = matmul_seconds(device, 8192, 8192, 8192);
    device.power_limit = Watts(50);
    // Efficiency 1 is more than tiles reach, so the first 4 % of the limit cost nothing.
    EXPECT_NEAR(matmul_seconds(device, 8192, 8192, 8192) / full, 2, 0.1);
    device.power_limit = Watts(500);
    EXPECT_EQ(matmul_seconds(device, 8192, 8192, 8192), full)
        << "above its power there is none to gain";
}

TEST(MatmulCost, NeverLongerForLessWorkOrABetterDevice) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto size = [&](double most) {
        return std::floor(std::exp(std::uniform_real_distribution(0.0, std::log(most))(random))) +
               1;
    };
    for (int i = 0; i < 2000; ++i) {
        Device device = round_gpu();
        device.architecture = static_cast<Architecture>(i % kArchitectures.size());
        const MatmulShape shape{size(20000), size(20000), size(20000), size(64)};
        const MatmulCost cost(device);
        const double time = cost.seconds(shape, kHalf);
        for (double MatmulShape::*const part :
             {&MatmulShape::m, &MatmulShape::n, &MatmulShape::k, &MatmulShape::batch}) {
            MatmulShape less = shape;
            less.*part = std::floor(less.*part * 0.9);
            EXPECT_LE(cost.seconds(less, kHalf), time * (1 + 1e-12));
        }
        MatmulPrecision faster = kHalf;
        faster.peak *= 1.3;
        EXPECT_LE(cost.seconds(shape, faster), time * (1 + 1e-12));
        device.memory_bandwidth.value *= 1.3;
        EXPECT_LE(MatmulCost(device).seconds(shape, kHalf), time * (1 + 1e-12));
    }
}

TEST(MatmulCost, RowsThatAreNotWholePieces) {
    EXPECT_EQ(row_alignment(4096, 2), 16);
    EXPECT_EQ(row_alignment(108, 2), 8);
    EXPECT_EQ(row_alignment(150, 2), 4);
    EXPECT_EQ(row_alignment(50257, 2), 2);
    EXPECT_EQ(row_alignment(50257, 1), 1);
    EXPECT_EQ(row_alignment(48, 0.5), 8);
    double last = 1;
    for (const int alignment : {16, 8, 4, 2, 1}) {
        EXPECT_GE(misalignment_factor(alignment), last);
        last = misalignment_factor(alignment);
    }
}

// The best rate that anyone published for a chip, and the shape it was found at: the table of
// "Maximum Achievable Matmul FLOPS" in S. Bekman's ml-engineering, from which matmul_efficiency comes.
struct BestRate {
    const char* gpu;
    MathType math;
    double m, n, k, tflops;
};
constexpr BestRate kBest[] = {
    {"a100-80gb", MathType::bf16, 1024, 10240, 5120, 271.2},
    {"h100-sxm", MathType::bf16, 2048, 2048, 13312, 794.5},
    {"h100-sxm", MathType::fp8, 1024, 9216, 14336, 1402.6},
    {"h200", MathType::fp8, 1280, 4096, 12032, 1453.4},
    {"b200", MathType::bf16, 1792, 16128, 3072, 1745.0},
    {"b200", MathType::fp8, 15360, 4096, 3072, 3432.5},
    {"b300", MathType::bf16, 12288, 18432, 1024, 1769.0},
    {"b300", MathType::fp8, 3072, 6144, 7168, 3353.3},
    {"gb200-nvl72", MathType::bf16, 4096, 9728, 2048, 1822.0},
    {"gb200-nvl72", MathType::fp8, 19456, 5120, 1536, 3615.6},
    {"mi300x", MathType::bf16, 10240, 15360, 8192, 668.4},
};

TEST(MatmulCost, BestPublishedRatesAreReached) {
    for (const BestRate& best : kBest) {
        const Device device = catalogue_cluster(best.gpu).device;
        const MatmulPrecision precision{device.peak_of(best.math).value,
                                        device.matmul_efficiency_of(best.math),
                                        static_cast<double>(best.math == MathType::fp8 ? 1 : 2)};
        const MatmulShape shape{best.m, best.n, best.k};
        const double rate = shape.flops() / MatmulCost(device).seconds(shape, precision);
        // 2 %: matmul_efficiency is written with three digits.
        EXPECT_NEAR(rate / 1e12, best.tflops, 0.02 * best.tflops) << best.gpu;
    }
}

// The search for the best shapes found those whose tiles fill whole waves; the model agrees that they
// are among the best: no shape of a coarse grid is more than 7 % faster.
TEST(MatmulCost, BestPublishedShapesAreAmongTheBest) {
    for (const BestRate& best : kBest) {
        const Device device = catalogue_cluster(best.gpu).device;
        const MatmulPrecision precision{device.peak_of(best.math).value,
                                        device.matmul_efficiency_of(best.math),
                                        static_cast<double>(best.math == MathType::fp8 ? 1 : 2)};
        const MatmulCost cost(device);
        for (double m = 1024; m <= 16384; m *= 2)
            for (double n = 1024; n <= 16384; n += 1024) {
                const MatmulShape shape{m, n, 4096};
                EXPECT_LE(shape.flops() / cost.seconds(shape, precision), 1.07 * best.tflops * 1e12)
                    << best.gpu << " " << m << " x " << n;
            }
    }
}

}  // namespace
}  // namespace shardscope
