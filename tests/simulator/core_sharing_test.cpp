// Processor sharing worked out by hand: `a` active threads on `c` cores go at min(1, c/a) each.
#include "simulator/core_sharing.h"

#include <gtest/gtest.h>

#include "core/lowering/plan.h"
#include "simulator/event_engine.h"
#include "simulator/event_runner.h"
#include "tests/simulator/hand_made.h"

namespace shardscope {
namespace {

using test::BodyText;
using test::one_rank_each;
using test::one_role;
using test::round_cluster;
using test::step_seconds;

Cluster shared_cores(int cores, double busy_slowdown = 1) {
    Cluster cluster = round_cluster(DeviceKind::cpu);
    cluster.cores = cores;
    cluster.device.calibration.busy_slowdown = busy_slowdown;
    return cluster;
}

TEST(CoreSharing, RanksBeyondTheCoresTakeTurns) {
    const BodyText body = BodyText().kernel(3);
    EXPECT_NEAR(step_seconds(one_role(body, 2), shared_cores(2)), 3, 1e-12);
    EXPECT_NEAR(step_seconds(one_role(body, 4), shared_cores(2)), 3 * 4 / 2.0, 1e-12);
    EXPECT_NEAR(step_seconds(one_role(body, 3), shared_cores(2)), 3 * 3 / 2.0, 1e-12);
}

TEST(CoreSharing, BusyCoresAreSlower) {
    const BodyText body = BodyText().kernel(3);
    EXPECT_NEAR(step_seconds(one_role(body, 1), shared_cores(2, 1.5)), 3, 1e-12);
    EXPECT_NEAR(step_seconds(one_role(body, 2), shared_cores(2, 1.5)), 3 * 1.5, 1e-12);
    EXPECT_NEAR(step_seconds(one_role(body, 4), shared_cores(2, 1.5)), 3 * 1.5 * 4 / 2, 1e-12);
}

TEST(CoreSharing, NodesDoNotShare) {
    Cluster cluster = shared_cores(2);
    cluster.nodes = 2;
    cluster.gpus_per_node = 2;
    EXPECT_NEAR(step_seconds(one_role(BodyText().kernel(3), 4), cluster), 3, 1e-12);
    EXPECT_NEAR(step_seconds(one_role(BodyText().kernel(3), 5), cluster), 3 * 2.5 / 2, 1e-12);
}

// Two ranks, each a kernel of 4 s beside a collective of 2 s, on two cores: four threads at half
// speed until the collective's 2 s of work end at 4 s; then the kernels' other 2 s at full speed.
TEST(CoreSharing, MovingDataTakesCoresFromComputing) {
    BodyText body;
    body.all_reduce(2, Stream::reduce).kernel(4);
    EXPECT_NEAR(step_seconds(one_role(body, 2), shared_cores(2)), 4 + 2, 1e-12);
    EXPECT_NEAR(step_seconds(one_role(body, 2), shared_cores(4)), 4, 1e-12);
}

// Three roles with kernels of 1, 2 and 4 s on two cores: rates 2/3 until 1.5 s; the others have
// 1 and 3 s left and go at full speed.
TEST(CoreSharing, WhoFinishesMakesRoom) {
    const auto roles = simulate_step(
        one_rank_each({BodyText().kernel(1), BodyText().kernel(2), BodyText().kernel(4)}),
        shared_cores(2));
    EXPECT_NEAR(roles[0].time.wall.value, 1.5, 1e-12);
    EXPECT_NEAR(roles[1].time.wall.value, 1.5 + 1, 1e-12);
    EXPECT_NEAR(roles[2].time.wall.value, 1.5 + 3, 1e-12);
}

// A rank of two threads takes two cores while it computes, one while it moves data.
TEST(CoreSharing, EveryThreadOfARankTakesACore) {
    const BodyText kernel = BodyText().kernel(3);
    const auto divided = [](int cores, double busy_slowdown = 1) {
        Cluster cluster = shared_cores(cores, busy_slowdown);
        cluster.device.threads = 2;
        return cluster;
    };
    EXPECT_NEAR(step_seconds(one_role(kernel, 1), divided(2)), 3 / 2.0, 1e-12);
    EXPECT_NEAR(step_seconds(one_role(kernel, 1), divided(2, 1.5)), 3 / 2.0 * 1.5, 1e-12);
    EXPECT_NEAR(step_seconds(one_role(kernel, 1), divided(4, 1.5)), 3 / 2.0, 1e-12);
    EXPECT_NEAR(step_seconds(one_role(kernel, 2), divided(2)), 3, 1e-12);
    BodyText both;
    both.all_reduce(2, Stream::reduce).kernel(4);
    // Two ranks, each two threads for a kernel of 4 s beside a collective of 2 s, on four cores: six
    // threads at 2/3 of their speed until both are done.
    EXPECT_NEAR(step_seconds(one_role(both, 2), divided(4)), 3, 1e-12);
}

TEST(CoreSharing, WaitingTakesNoCore) {
    BodyText body;  // the host waits while its other thread reduces
    body.all_reduce(3, Stream::reduce).record(0, Stream::reduce).wait(0, Stream::compute);
    EXPECT_NEAR(step_seconds(one_role(body, 2), shared_cores(2)), 3, 1e-12);
}

Plan plan_around(const Program& program) {
    Plan plan;
    plan.program = program;
    plan.memory.resize(program.roles.size());
    return plan;
}

TEST(EventRunner, SaysWhenRanksShareCores) {
    Scenario scenario;
    scenario.cluster = shared_cores(2);
    EventRunner runner;
    const BodyText body = BodyText().kernel(1);
    EXPECT_TRUE(runner.run(scenario, plan_around(one_role(body, 2)), {}).notes.empty());
    const Trace trace = runner.run(scenario, plan_around(one_role(body, 4)), {});
    ASSERT_EQ(trace.notes.size(), 1u);
    EXPECT_NE(trace.notes[0].find("4 ranks share 2 cores"), std::string::npos);
}

TEST(EventRunner, OneTracePerRoleWithItsMultiplicityAndMemory) {
    Scenario scenario;
    scenario.cluster = round_cluster();
    Plan plan = plan_around(one_role(BodyText().kernel(1), 4));
    plan.memory[0].arena = Bytes(100);
    plan.memory[0].runtime = Bytes(20);
    plan.memory[0].categories[0] = Bytes(100);
    plan.memory[0].peak_phase = Phase::backward;
    EventRunner runner;
    const Trace trace = runner.run(scenario, plan, {});
    ASSERT_EQ(trace.ranks.size(), 1u);
    EXPECT_EQ(trace.ranks[0].multiplicity, 4);
    EXPECT_EQ(trace.ranks[0].memory.peak, Bytes(120));
    EXPECT_EQ(trace.ranks[0].memory.peak_phase, Phase::backward);
    EXPECT_EQ(trace.ranks[0].steps.size(), 1u);
    EXPECT_TRUE(trace.losses.empty());
    EXPECT_TRUE(trace.ranks[0].spans.empty());
    EXPECT_FALSE(runner.run(scenario, plan, {.record_spans = true, .on_step = {}, .stop = {}})
                     .ranks[0]
                     .spans.empty());
}

}  // namespace
}  // namespace shardscope
