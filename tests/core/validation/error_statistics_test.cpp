// Statistics of errors against sums done by hand.
#include "core/validation/error_statistics.h"

#include <cmath>

#include <gtest/gtest.h>

namespace shardscope {
namespace {

TEST(ErrorStatistics, OfFourRuns) {
    // Errors +10, −20, +30 and 0 %.
    const PredictedAndMeasured runs[] = {{"a", 11, 10}, {"b", 8, 10}, {"c", 1.3, 1}, {"d", 5, 5}};
    const ErrorStatistics s = statistics_of(runs);
    EXPECT_EQ(s.runs, 4u);
    EXPECT_NEAR(s.mape, 0.15, 1e-12);
    EXPECT_NEAR(s.median, 0.15, 1e-12);  // between 10 and 20 %
    EXPECT_NEAR(s.worst, 0.3, 1e-12);
    EXPECT_EQ(s.worst_id, "c");
    EXPECT_NEAR(s.bias, 0.05, 1e-12);
}

TEST(ErrorStatistics, TheMedianOfAnOddNumberIsOneOfThem) {
    const PredictedAndMeasured runs[] = {{"a", 0.5, 1}, {"b", 0.9, 1}, {"c", 0.8, 1}};
    const ErrorStatistics s = statistics_of(runs);
    EXPECT_NEAR(s.median, 0.2, 1e-12);
    EXPECT_NEAR(s.bias, -0.8 / 3, 1e-12);
    EXPECT_EQ(s.worst_id, "a");
}

TEST(ErrorStatistics, EqualErrorsNameTheFirst) {
    const PredictedAndMeasured runs[] = {{"a", 2, 1}, {"b", 2, 1}};
    EXPECT_EQ(statistics_of(runs).worst_id, "a");
}

TEST(ErrorStatistics, OfNothingAreNoNumbers) {
    const ErrorStatistics s = statistics_of({});
    EXPECT_EQ(s.runs, 0u);
    EXPECT_TRUE(std::isnan(s.mape) && std::isnan(s.median) && std::isnan(s.worst) &&
                std::isnan(s.bias));
}

}  // namespace
}  // namespace shardscope
