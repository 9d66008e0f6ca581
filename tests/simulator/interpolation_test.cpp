#include "simulator/interpolation.h"

#include <cmath>

#include <gtest/gtest.h>

namespace shardscope {
namespace {

TEST(TimeCurve, LinearInLogarithmsBetweenPoints) {
    const TimeCurve curve({{100, 1}, {10000, 4}});
    EXPECT_NEAR(curve.seconds(100), 1, 1e-12);
    EXPECT_NEAR(curve.seconds(1000), 2, 1e-12) << "halfway between 100 and 10000, 1 and 4";
    EXPECT_NEAR(curve.seconds(10000), 4, 1e-12);
}

TEST(TimeCurve, InProportionOutside) {
    const TimeCurve curve({{100, 1}, {10000, 4}});
    EXPECT_NEAR(curve.seconds(20000), 8, 1e-12);
    EXPECT_NEAR(curve.seconds(50), 0.5, 1e-12);
    EXPECT_NEAR(curve.seconds_at_least_first(50), 1, 1e-12);
    EXPECT_EQ(curve.seconds(0), 0);
}

TEST(TimeCurve, NoiseNeverMakesLessWorkTakeLonger) {
    const TimeCurve curve({{1, 1}, {2, 5}, {4, 3}, {8, 9}});
    double last = 0;
    for (double work = 0.5; work < 20; work *= 1.1) {
        EXPECT_GE(curve.seconds(work), last);
        last = curve.seconds(work);
    }
}

TEST(TimeCurve, PointsInAnyOrderAndRepeated) {
    const TimeCurve curve({{10, 3}, {1, 1}, {10, 5}, {0, 7}, {5, -1}});
    EXPECT_NEAR(curve.seconds(10), 4, 1e-12);
    EXPECT_NEAR(curve.seconds(1), 1, 1e-12);
    EXPECT_TRUE(TimeCurve().empty());
    EXPECT_TRUE(TimeCurve({{0, 1}}).empty()) << "no work is no sample";
}

TEST(MatmulRates, ExactAtSamplesAndBetweenTheirRatesElsewhere) {
    MatmulRates rates;
    for (const double m : {64.0, 256.0, 1024.0})
        for (const double n : {64.0, 256.0, 1024.0}) rates.add(m, n, 256, m + n);
    EXPECT_NEAR(rates.rate(256, 64, 256), 256 + 64, 1e-3);
    for (double m = 16; m < 8192; m *= 1.7) {
        EXPECT_GE(rates.rate(m, 300, 500), 64 + 64);
        EXPECT_LE(rates.rate(m, 300, 500), 1024 + 1024);
    }
    EXPECT_EQ(MatmulRates().rate(1, 1, 1), 0);
}

}  // namespace
}  // namespace shardscope
