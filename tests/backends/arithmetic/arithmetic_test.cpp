// Arithmetic that CPUs and GPUs share, where the CPU's kernels do not use it.
#include <cmath>
#include <cstdint>
#include <numbers>

#include <gtest/gtest.h>

#include "backends/arithmetic/optimizer.h"
#include "backends/arithmetic/rotation.h"

namespace shardscope {
namespace {

// Rotary positions need the sine of position · frequency at positions that floats cannot multiply.
TEST(Rotation, AnglesAreExactAtFarPositions) {
    double worst = 0;
    for (const double frequency : {0.0, 1e-7, 0.013, 0.5, 1.0, 2.5, 100.0}) {
        const Turns turns = turns_per_position(frequency);
        for (std::int64_t position = 0; position < 200000; position += 37) {
            const double angle = static_cast<double>(position) * frequency;
            const Pair<float> at = cosine_and_sine(turns, position);
            worst = std::max({worst, std::abs(static_cast<double>(at.first) - std::cos(angle)),
                              std::abs(static_cast<double>(at.second) - std::sin(angle))});
        }
    }
    EXPECT_LE(worst, 1.5e-7);
}

TEST(Rotation, QuartersOfATurn) {
    const Turns turns = turns_per_position(std::numbers::pi / 2);
    for (std::int64_t position = 0; position < 9; ++position) {
        const Pair<float> at = cosine_and_sine(turns, position);
        const double cosines[] = {1, 0, -1, 0}, sines[] = {0, 1, 0, -1};
        EXPECT_NEAR(at.first, cosines[position % 4], 1e-7);
        EXPECT_NEAR(at.second, sines[position % 4], 1e-7);
    }
}

TEST(Rotation, TurnsAPair) {
    const Pair<double> turned = rotated(3.0, 4.0, std::cos(0.3), std::sin(0.3));
    EXPECT_NEAR(std::hypot(turned.first, turned.second), 5.0, 1e-15);
    EXPECT_NEAR(std::atan2(turned.second, turned.first) - std::atan2(4.0, 3.0), 0.3, 1e-15);
}

TEST(OptimizerArithmetic, PowersBySquaringAreThoseOfPow) {
    for (const double base : {0.9, 0.95, 0.999})
        for (const std::int64_t n : {0, 1, 2, 3, 10, 777, 1000000})
            EXPECT_NEAR(power(base, n), std::pow(base, static_cast<double>(n)), 1e-13);
}

}  // namespace
}  // namespace shardscope
