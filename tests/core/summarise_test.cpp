#include <cmath>

#include <gtest/gtest.h>

#include "core/report/report.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

// A step whose wall time is the sum of parts that are all different.
StepTime step(double compute) {
    StepTime time;
    time.compute = Seconds(compute);
    time.exposed_communication = Seconds(0.25 * compute);
    time.bubble = Seconds(0.125);
    time.optimizer = Seconds(0.5);
    time.wall = time.compute + time.exposed_communication + time.bubble + time.optimizer;
    return time;
}

RankTrace rank_trace(int rank, std::vector<StepTime> steps, std::int64_t peak) {
    RankTrace trace;
    trace.rank = Rank(rank);
    trace.steps = std::move(steps);
    trace.memory.peak = Bytes(peak);
    trace.memory.categories[0] = Bytes(peak);
    return trace;
}

double sum_of_parts(const StepTime& time) {
    return (time.compute + time.exposed_communication + time.bubble + time.optimizer).value;
}

struct Summarise : testing::Test {
    Scenario scenario = test::tiny_scenario(test::tiny_gpt(), 2);
    Plan plan = test::lower_tiny(scenario);
    Device device = scenario.cluster.device;
};

TEST_F(Summarise, StepTimeIsTheSlowestRanksMedian) {
    Trace trace;
    trace.ranks = {rank_trace(0, {step(1), step(9), step(2)}, 10),
                   rank_trace(1, {step(3), step(4), step(1)}, 20)};
    const Result result = summarise(trace, plan, device);
    EXPECT_EQ(result.step_time, step(3).wall);
    EXPECT_EQ(result.time.compute, step(3).compute);
    EXPECT_DOUBLE_EQ(sum_of_parts(result.time), result.step_time.value);
}

// Ranks that wait for each other end together: the parts are of the one that computes, not of the last by a hair.
TEST_F(Summarise, OfRanksThatEndTogetherTheBusiestIsTold) {
    StepTime busy = step(4), idle;
    idle.bubble = idle.wall = Seconds(busy.wall.value * (1 + 1e-6));
    StepTime slow = idle;
    slow.bubble = slow.wall = Seconds(busy.wall.value * 1.01);
    Trace trace;
    trace.ranks = {rank_trace(0, {idle}, 10), rank_trace(1, {busy}, 20)};
    const Result result = summarise(trace, plan, device);
    EXPECT_EQ(result.step_time, idle.wall);
    EXPECT_EQ(result.time.compute, busy.compute);
    EXPECT_DOUBLE_EQ(sum_of_parts(result.time), result.step_time.value);
    trace.ranks = {rank_trace(0, {slow}, 10), rank_trace(1, {busy}, 20)};
    EXPECT_EQ(summarise(trace, plan, device).time.compute, Seconds(0)) << "slower by more";
}

TEST_F(Summarise, PartsOfAnEvenNumberOfStepsStillSumToTheMedian) {
    Trace trace;
    trace.ranks = {rank_trace(0, {step(8), step(1), step(2), step(4)}, 10)};
    const Result result = summarise(trace, plan, device);
    EXPECT_DOUBLE_EQ(result.time.compute.value, 3.0);
    EXPECT_DOUBLE_EQ(result.step_time.value, (step(2).wall.value + step(4).wall.value) / 2);
    EXPECT_DOUBLE_EQ(sum_of_parts(result.time), result.step_time.value);
}

TEST_F(Summarise, ThroughputCountsTheGlobalBatch) {
    Trace trace;
    trace.ranks = {rank_trace(0, {step(1)}, 10)};
    const Result result = summarise(trace, plan, device);
    const double tokens = static_cast<double>(scenario.training.global_batch * plan.model->seq);
    EXPECT_DOUBLE_EQ(result.tokens_per_s, tokens / result.step_time.value);
    EXPECT_DOUBLE_EQ(result.tokens_per_s_per_gpu, result.tokens_per_s / 2);
}

TEST_F(Summarise, UtilisationIsOfAllDevicesPeakOrOfTheCoresThatRanksShare) {
    Trace trace;
    trace.ranks = {rank_trace(0, {step(1)}, 10)};
    device.peak.clear();
    EXPECT_EQ(summarise(trace, plan, device).mfu, 0);
    device.peak[math_of(scenario.training.precision)] = FlopsPerSecond(1e9);
    const double flops = plan.model->training_flops_per_sample().value *
                         static_cast<double>(scenario.training.global_batch);
    const double one_device = flops / (step(1).wall.value * 1e9);
    EXPECT_DOUBLE_EQ(summarise(trace, plan, device).mfu, one_device / 2);
    EXPECT_DOUBLE_EQ(summarise(trace, plan, device, 1).mfu, one_device);
    EXPECT_DOUBLE_EQ(summarise(trace, plan, device, 64).mfu, one_device / 2);
}

TEST_F(Summarise, PeakRankIsTheLowestAmongEquals) {
    Trace trace;
    trace.ranks = {rank_trace(0, {step(1)}, 10), rank_trace(1, {step(1)}, 30),
                   rank_trace(2, {step(1)}, 30)};
    const Result result = summarise(trace, plan, device);
    EXPECT_EQ(result.peak_rank, Rank(1));
    EXPECT_EQ(result.peak_memory().peak, Bytes(30));
    EXPECT_EQ(result.capacity, device.memory);
}

TEST_F(Summarise, SimulatedRolesBecomeRanks) {
    Trace trace;
    trace.ranks = {rank_trace(0, {step(1)}, 10)};
    trace.ranks[0].multiplicity = 2;
    trace.ranks[0].spans.resize(3);
    const Result result = summarise(trace, plan, device);
    ASSERT_EQ(result.ranks.size(), 2u);
    EXPECT_EQ(result.ranks[1].rank, Rank(1));
    EXPECT_EQ(result.ranks[1].multiplicity, 1);
    EXPECT_EQ(result.ranks[1].memory.peak, Bytes(10));
    EXPECT_TRUE(result.ranks[0].spans.empty());  // they stay the trace's
    EXPECT_TRUE(result.ranks[1].spans.empty());
}

TEST_F(Summarise, ManyRanksStayOneEntryPerRole) {
    scenario = test::tiny_scenario(test::tiny_gpt(), 128);
    scenario.training.global_batch = 128;
    scenario.training.micro_batch = 1;
    plan = test::lower_tiny(scenario);
    Trace trace;
    trace.ranks = {rank_trace(0, {step(1)}, 10)};
    trace.ranks[0].multiplicity = 128;
    const Result result = summarise(trace, plan, device);
    ASSERT_EQ(result.ranks.size(), 1u);
    EXPECT_EQ(result.ranks[0].multiplicity, 128);
}

TEST_F(Summarise, NothingTimedIsNotANumber) {
    Trace trace;
    trace.ranks = {rank_trace(0, {}, 10)};
    const Result result = summarise(trace, plan, device);
    EXPECT_TRUE(std::isnan(result.step_time.value));
    EXPECT_TRUE(std::isnan(result.tokens_per_s));
}

TEST(Status, HasTheNamesOfTheSchema) {
    EXPECT_EQ(status_name(Status::fits), "fits");
    EXPECT_EQ(status_name(Status::does_not_fit), "does_not_fit");
    EXPECT_EQ(status_name(Status::invalid), "invalid");
    EXPECT_EQ(status_name(Status::failed), "failed");
}

}  // namespace
}  // namespace shardscope
