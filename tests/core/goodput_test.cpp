#include "core/report/goodput.h"

#include <cmath>

#include <gtest/gtest.h>

namespace shardscope {
namespace {

FailureModel failure_model(double mtbf, double write, double restart, double interval) {
    return {Seconds(mtbf), Seconds(write), Seconds(restart), Seconds(interval)};
}

TEST(Goodput, WithoutFailuresCheckpointsAloneCost) {
    // Ten intervals of 100 s, each with a checkpoint of 5 s.
    const FailureModel safe = failure_model(1e15, 5, 60, 100);
    EXPECT_NEAR(expected_run_time(Seconds(1000), safe).value, 1050, 1e-6);
    EXPECT_NEAR(expected_run_time(Seconds(1020), safe).value, 1075,
                1e-6);  // a short one at the end
    EXPECT_NEAR(expected_run_time(Seconds(10), safe).value, 15, 1e-6);
}

// One segment of s: n failed attempts, each of which costs on average M − s/(e^(s/M) − 1), and restarts.
TEST(Goodput, OneSegmentByItsSeries) {
    const double m = 50, s = 80, r = 20;
    const auto truncated = [&](double end) { return m - end / std::expm1(end / m); };
    const double failed = std::expm1(s / m), failed_restarts = std::expm1(r / m);
    const double restart = r + failed_restarts * truncated(r);
    const double expected = s + failed * (truncated(s) + restart);
    EXPECT_NEAR(expected_run_time(Seconds(70), failure_model(m, 10, r, 70)).value, expected,
                1e-9 * expected);
}

TEST(Goodput, TheBestIntervalIsNearlyTheMinimum) {
    for (const double write : {1.0, 30.0, 300.0}) {
        const double mtbf = 3600;
        const Seconds best = best_checkpoint_interval(Seconds(write), Seconds(mtbf));
        const double work = 3e7;
        const auto time = [&](double interval) {
            return expected_run_time(Seconds(work), failure_model(mtbf, write, 120, interval))
                .value;
        };
        for (const double factor : {0.25, 0.5, 0.8, 0.9, 1.1, 1.25, 2.0, 4.0})
            EXPECT_LT(time(best.value), time(factor * best.value) * (1 + 1e-4))
                << write << " s, " << factor;
    }
    EXPECT_EQ(best_checkpoint_interval(Seconds(500), Seconds(200)), Seconds(200));
}

// Four standard errors: one right program in 16,000 fails by chance, and the seeds are fixed.
TEST(Goodput, SimulatedFailuresAgreeWithTheClosedForm) {
    struct Case {
        double work, mtbf, write, restart, interval;
    };
    for (const Case c : {Case{1e6, 2e4, 60, 600, 1500}, Case{1e5, 1e3, 10, 100, 200},
                         Case{5e4, 1e6, 100, 300, 7000}, Case{1e4, 500, 50, 400, 300}}) {
        const FailureModel failures = failure_model(c.mtbf, c.write, c.restart, c.interval);
        const double expected = expected_run_time(Seconds(c.work), failures).value;
        for (const std::uint64_t seed : {1u, 2u, 3u}) {
            Goodput goodput;
            simulate_failures(Seconds(c.work), failures, seed, 2000, goodput);
            ASSERT_EQ(goodput.runs, 2000);
            EXPECT_NEAR(goodput.mean.value, expected, 4 * goodput.standard_error.value)
                << "seed " << seed << ", mtbf " << c.mtbf;
            EXPECT_LT(goodput.standard_error.value, 0.02 * expected);
            EXPECT_LE(goodput.p5, goodput.p50);
            EXPECT_LE(goodput.p50, goodput.p95);
            EXPECT_GE(goodput.p5.value, c.work);
        }
    }
}

TEST(Goodput, SameSeedSameRuns) {
    const FailureModel failures = failure_model(1e3, 10, 100, 200);
    Goodput first, again, other;
    simulate_failures(Seconds(1e5), failures, 7, 100, first);
    simulate_failures(Seconds(1e5), failures, 7, 100, again);
    simulate_failures(Seconds(1e5), failures, 8, 100, other);
    EXPECT_EQ(first, again);
    EXPECT_NE(first, other);
}

TEST(Goodput, WhatHardlyEverEndsIsNotSimulated) {
    const FailureModel hopeless = failure_model(10, 100, 100, 1000);
    EXPECT_FALSE(std::isfinite(expected_run_time(Seconds(1e6), hopeless).value));
    Goodput goodput;
    simulate_failures(Seconds(1e6), hopeless, 1, 1000, goodput);
    EXPECT_EQ(goodput.runs, 0);
    EXPECT_FALSE(
        std::isfinite(expected_run_time(Seconds(1e6), failure_model(1e-3, 1, 1, 1)).value));
}

// One segment of s without restarts takes M·(e^(s/M) − 1): a thousand times s at s/M = 9.12.
TEST(Goodput, AThousandTimesAsLongIsHardlyEver) {
    const auto time = [](double mtbf) {
        return expected_run_time(Seconds(900), failure_model(mtbf, 100, 0, 900)).value;
    };
    EXPECT_NEAR(time(1000 / 9.1), 1000 * std::expm1(9.1) / 9.1, 1);
    EXPECT_GT(time(1000 / 9.1), 900'000);
    EXPECT_FALSE(std::isfinite(time(1000 / 9.2)));
    // A checkpoint that takes far longer than the run is no failure.
    EXPECT_NEAR(expected_run_time(Seconds(1), failure_model(1e12, 1e5, 60, 1)).value, 1e5 + 1, 1);
}

}  // namespace
}  // namespace shardscope
