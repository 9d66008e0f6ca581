// Rounding to bf16, against its definition: the nearest of two neighbours, the even one on ties.
#include "core/bf16.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace shardscope {
namespace {

float from_bits(std::uint32_t bits) { return std::bit_cast<float>(bits); }

TEST(Bf16, KeepsEveryNumberItHolds) {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
        const float value = from_bits(bits << 16);
        const Bf16 stored(value);
        if (std::isnan(value))
            EXPECT_TRUE(std::isnan(float(stored)));
        else
            EXPECT_EQ(stored.bits(), bits);
    }
}

// Every positive finite number below the largest, and what lies between it and its neighbour.
TEST(Bf16, RoundsToTheNearestEven) {
    for (std::uint32_t bits = 0; bits < 0x7F7F; ++bits) {
        const float low = from_bits(bits << 16), high = from_bits((bits + 1) << 16);
        const float even = bits % 2 == 0 ? low : high;
        for (const float sign : {1.0f, -1.0f}) {
            EXPECT_EQ(float(Bf16(sign * from_bits((bits << 16) + 0x7FFF))), sign * low);
            EXPECT_EQ(float(Bf16(sign * from_bits((bits << 16) + 0x8000))), sign * even);
            EXPECT_EQ(float(Bf16(sign * from_bits((bits << 16) + 0x8001))), sign * high);
        }
    }
}

TEST(Bf16, OverflowsToInfinityAndKeepsNaN) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    EXPECT_EQ(float(Bf16(kInfinity)), kInfinity);
    EXPECT_EQ(float(Bf16(-kInfinity)), -kInfinity);
    EXPECT_EQ(float(Bf16(std::numeric_limits<float>::max())), kInfinity);
    // A payload in the lower half only must not turn a NaN into infinity, nor a carry into zero.
    for (const std::uint32_t bits : {0x7F800001u, 0x7FFFFFFFu, 0xFF800001u, 0xFFFFFFFFu})
        EXPECT_TRUE(std::isnan(float(Bf16(from_bits(bits))))) << bits;
}

}  // namespace
}  // namespace shardscope
