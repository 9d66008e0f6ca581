// Closed forms: every expected time is computed here from the durations of the hand-made program.
#include "simulator/event_engine.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "simulator/host_cost.h"
#include "tests/simulator/hand_made.h"

namespace shardscope {
namespace {

using test::BodyText;
using test::elements_taking;
using test::kCompute;
using test::kGather;
using test::kReduce;
using test::one_rank_each;
using test::one_role;
using test::round_cluster;

constexpr double kExact = 1e-12;

StepTime step_of(const Program& program, const Cluster& cluster = round_cluster()) {
    return simulate_step(program, cluster).front().time;
}

// A call per tensor, and copies of all that they bring.
TEST(EventEngine, ListsComeAtTheirBandwidth) {
    Cluster cluster = test::round_cluster();
    ProfileConstants constants = cluster.device.constants_of(RuntimeProfile::deepspeed_2021);
    EXPECT_GT(constants.list_bandwidth.value, 0);
    const double launch = (cluster.device.host_cost + constants.launch).value;
    const auto program_of = [](int lists) {
        return test::one_role(test::BodyText().gather_lists(0.5, lists, test::kGather));
    };
    const auto bytes = static_cast<double>(
        std::get<Collective>(program_of(1).roles[0].bodies[0].instructions[0].operation)
            .bytes()
            .value);
    constants.list_bandwidth = BytesPerSecond(bytes / 0.25);
    cluster.device.profiles[RuntimeProfile::deepspeed_2021] = constants;
    const auto seconds = [&](int lists) {
        const Program program = program_of(lists);
        return simulate_step(program, cluster, false, RuntimeProfile::deepspeed_2021)
            .front()
            .time.wall.value;
    };
    EXPECT_NEAR(seconds(1), launch + 0.5 + 0.25, 1e-9);
    EXPECT_NEAR(seconds(3), launch + 3 * (0.5 + 0.25), 1e-9);
    EXPECT_NEAR(seconds(0), launch, 1e-9) << "negative control: an empty buffer in one call";
}

TEST(EventEngine, KernelsOfOneStreamAddUp) {
    const StepTime step =
        step_of(one_role(BodyText().kernel(1).kernel(2).kernel(4, Phase::optimizer), 1, 3));
    EXPECT_NEAR(step.wall.value, 3 * 7.0, kExact);
    EXPECT_NEAR(step.compute.value, 3 * 3.0, kExact);
    EXPECT_NEAR(step.optimizer.value, 3 * 4.0, kExact);
    EXPECT_NEAR(step.bubble.value, 0, kExact);
}

TEST(EventEngine, StreamsOverlap) {
    BodyText body;
    body.kernel(1).record(0, kCompute).wait(0, kReduce).all_reduce(2, kReduce).kernel(3);
    const StepTime step = step_of(one_role(body));
    EXPECT_NEAR(step.wall.value, 1 + 3, kExact);
    EXPECT_NEAR(step.exposed_communication.value, 0, kExact);
}

TEST(EventEngine, WaitExposesWhatDoesNotOverlap) {
    BodyText body;
    body.kernel(1).record(0, kCompute).wait(0, kReduce).all_reduce(5, kReduce).record(1, kReduce);
    body.kernel(3).wait(1, kCompute).kernel(1, Phase::optimizer);
    const StepTime step = step_of(one_role(body));
    EXPECT_NEAR(step.wall.value, 1 + 5 + 1, kExact);
    EXPECT_NEAR(step.compute.value, 1 + 3, kExact);
    EXPECT_NEAR(step.exposed_communication.value, 5 - 3, kExact);
    EXPECT_NEAR(step.optimizer.value, 1, kExact);
}

TEST(EventEngine, LaneThatEndsLastEndsTheStep) {
    BodyText body;
    body.all_reduce(9, kReduce).kernel(2);
    const StepTime step = step_of(one_role(body));
    EXPECT_NEAR(step.wall.value, 9, kExact);
    EXPECT_NEAR(step.bubble.value, 9 - 2, kExact);
}

// A prefetch runs ahead by as much as its waits allow, over executions of the body.
TEST(EventEngine, EventsBelongToTheirExecutionOfTheBody) {
    BodyText body;
    body.all_reduce(1, kGather).record(0, kGather).wait(0, kCompute).kernel(2);
    const StepTime step = step_of(one_role(body, 2, 10));
    EXPECT_NEAR(step.wall.value, 1 + 10 * 2.0, kExact);
    EXPECT_NEAR(step.exposed_communication.value, 1, kExact);
}

TEST(EventEngine, HostBoundWhenKernelsAreShort) {
    Cluster cluster = round_cluster();
    cluster.device.host_cost = Seconds(2);
    BodyText body;
    for (int i = 0; i < 5; ++i) body.kernel(1);
    const StepTime step = step_of(one_role(body, 1), cluster);
    EXPECT_NEAR(step.wall.value, 5 * 2 + 1, kExact) << "the last kernel starts when it is issued";
    EXPECT_NEAR(step.compute.value, 5, kExact);
    EXPECT_NEAR(step.bubble.value, 6, kExact);
}

TEST(EventEngine, HostRunsAheadWhileKernelsAreLong) {
    Cluster cluster = round_cluster();
    cluster.device.host_cost = Seconds(2);
    BodyText body;
    body.kernel(10).kernel(1).kernel(1);  // issued at 2, 4, 6
    EXPECT_NEAR(step_of(one_role(body, 1), cluster).wall.value, 2 + 10 + 1 + 1, kExact);
}

// A wait that holds the host up: what is behind it is launched only then.
TEST(EventEngine, HostStandsStillAtAWaitOfItsOwn) {
    Cluster cluster = round_cluster();
    cluster.device.host_cost = Seconds(2);
    for (const bool host : {false, true}) {
        BodyText body;
        body.all_reduce(20, kReduce).record(0, kReduce).wait(0, kCompute, host);
        body.kernel(1).kernel(1).kernel(1);
        // The all-reduce is issued at 2 and ends at 22. The kernels are issued at 8, 10, 12, or at 24, 26, 28.
        EXPECT_NEAR(step_of(one_role(body), cluster).wall.value, host ? 28 + 1 : 22 + 3, kExact)
            << host;
    }
}

// Scalars are copied behind the host's back and read after the step.
TEST(EventEngine, CopyToHostDoesNotHoldTheHostBack) {
    Cluster cluster = round_cluster();
    cluster.device.host_cost = Seconds(2);
    BodyText body;
    body.kernel(10).copy_to_host().kernel(1);  // issued at 2, 4, 6
    EXPECT_NEAR(step_of(one_role(body, 1), cluster).wall.value, 2 + 10 + 1, kExact);
    EXPECT_NEAR(step_of(one_role(body, 1, 3), cluster).wall.value, 2 + 3 * 11, kExact);
}

// A graph is launched at once: the host spends its cost once per run of kernels, and host_cost for what is
// between; the device spends the graph's overhead on each kernel.
TEST(EventEngine, RecordedRunsOfKernelsCostTheHostOnce) {
    Cluster cluster = round_cluster();
    cluster.device.host_cost = Seconds(20);
    cluster.device.graph_host_cost = Seconds(6);
    BodyText body;
    body.kernel(1).kernel(1).kernel(1).copy_to_host().kernel(1);
    const Program program = one_role(body, 1);
    EXPECT_EQ(graphs_of(program.roles[0].bodies[0]), 2);
    // Two graphs and a copy, over five instructions.
    EXPECT_NEAR(issue_cost(program, cluster.device).value, (2 * 6 + 20) / 5.0, kExact);
    cluster.device.graph_host_cost = Seconds(0);
    EXPECT_NEAR(issue_cost(program, cluster.device).value, 20, kExact);
}

TEST(EventEngine, OnACpuTheComputeStreamIsTheHost) {
    Cluster cluster = round_cluster(DeviceKind::cpu);
    cluster.device.host_cost = Seconds(2);
    BodyText body;
    body.kernel(10).kernel(1).kernel(1);
    const StepTime step = step_of(one_role(body, 1), cluster);
    EXPECT_NEAR(step.wall.value, 3 * 2 + 12, kExact);
    EXPECT_NEAR(step.compute.value, 12, kExact);
    EXPECT_NEAR(step.bubble.value, 6, kExact);
}

TEST(EventEngine, OnACpuOtherStreamsBeginWhenTheHostComesBy) {
    BodyText body;
    body.kernel(3).all_reduce(5, kReduce).record(0, kReduce).kernel(1).wait(0, kCompute);
    const StepTime step = step_of(one_role(body), round_cluster(DeviceKind::cpu));
    EXPECT_NEAR(step.wall.value, 3 + 5, kExact) << "without an event the post itself orders them";
    EXPECT_NEAR(step.exposed_communication.value, 5 - 1, kExact);
    EXPECT_NEAR(step_of(one_role(body)).wall.value, 5, kExact) << "a GPU's host does not wait";
}

TEST(EventEngine, CollectiveOfTwoRolesStartsWithTheLast) {
    BodyText early, late;
    early.kernel(1).record(0, kCompute).wait(0, kReduce).all_reduce(4, kReduce);
    late.kernel(6).record(0, kCompute).wait(0, kReduce).all_reduce(4, kReduce);
    const auto roles = simulate_step(one_rank_each({early, late}), round_cluster());
    EXPECT_NEAR(roles[0].time.wall.value, 6 + 4, kExact);
    EXPECT_NEAR(roles[1].time.wall.value, 6 + 4, kExact);
}

TEST(EventEngine, TransfersOfTwoRolesMeetPairwise) {
    const auto transfer = [](int peer, bool send) {
        return Exchange::Transfer{GroupId(0), peer, send, elements_taking(2), DType::fp32, {}};
    };
    BodyText first, second;
    first.kernel(1).record(0, kCompute).wait(0, kGather).exchange({transfer(1, true)}, kGather);
    second.exchange({transfer(0, false)}, kGather).record(0, kGather).wait(0, kCompute).kernel(4);
    const auto roles = simulate_step(one_rank_each({first, second}), round_cluster());
    EXPECT_NEAR(roles[0].time.wall.value, 1 + 2, kExact);
    EXPECT_NEAR(roles[1].time.wall.value, 1 + 2 + 4, kExact);
}

TEST(EventEngine, ExchangedTransfersGoTogether) {
    const auto transfer = [](int peer, bool send, double seconds) {
        return Exchange::Transfer{GroupId(0),  peer, send, elements_taking(seconds),
                                  DType::fp32, {}};
    };
    BodyText first, second;
    first.exchange({transfer(1, true, 2), transfer(1, false, 5)}, kCompute);
    second.kernel(1).exchange({transfer(0, false, 2), transfer(0, true, 5)}, kCompute);
    const auto roles = simulate_step(one_rank_each({first, second}), round_cluster());
    EXPECT_NEAR(roles[0].time.wall.value, 1 + 5, kExact);
    EXPECT_NEAR(roles[0].time.exposed_communication.value, 6, kExact);
}

TEST(EventEngine, DeadlockIsNamed) {
    const auto transfer = [](int peer, bool send) {
        return Exchange::Transfer{GroupId(0), peer, send, 1, DType::fp32, {}};
    };
    BodyText first, second;  // both receive before they send
    first.exchange({transfer(1, false)}, kCompute).exchange({transfer(1, true)}, kCompute);
    second.exchange({transfer(0, false)}, kCompute).exchange({transfer(0, true)}, kCompute);
    try {
        simulate_step(one_rank_each({first, second}), round_cluster());
        FAIL() << "a deadlock went unnoticed";
    } catch (const Error& error) {
        EXPECT_EQ(error.rule, "deadlock");
        EXPECT_EQ(error.kind, ErrorKind::run_failed);
        EXPECT_NE(error.message.find("stage 1, compute stream"), std::string::npos) << error.what();
    }
}

}  // namespace
}  // namespace shardscope
