// What runs at the same time slows each other: transfers on one link, kernels beside collectives.
// Every expected time is computed here.
#include <random>

#include <gtest/gtest.h>

#include "simulator/collective_cost.h"
#include "simulator/event_engine.h"
#include "simulator/nccl_constants.h"
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
using test::step_seconds;

// Links are full at 1 + 1e-9 of their bandwidth (link_sharing.cpp).
constexpr double kNearly = 1e-7;

TEST(Contention, TwoCollectivesOfOneRankTakeTwiceAsLong) {
    BodyText body;
    body.all_reduce(2, kGather).all_reduce(2, kReduce);
    EXPECT_NEAR(step_seconds(one_role(body)), 4, kNearly);
}

TEST(Contention, OneThatJoinsLaterHalvesTheOtherWhileItRuns) {
    BodyText body;
    body.all_reduce(4, kReduce).kernel(1).record(0, kCompute);
    body.wait(0, kGather).all_reduce(1, kGather).record(1, kGather).wait(1, kCompute);
    body.kernel(10, Phase::optimizer);
    const auto roles = simulate_step(one_role(body), round_cluster(), true);
    EXPECT_NEAR(roles[0].time.exposed_communication.value, 2, kNearly) << "the second: 1 … 3";
    double reduced = 0;
    for (const Span& span : roles[0].spans)
        if (span.stream == kReduce) reduced = span.end.value;
    EXPECT_NEAR(reduced, 1 + 2 + 2, kNearly) << "1 s alone, 2 at half the rate, the rest alone";
}

TEST(Contention, DirectionsAreApart) {
    const auto transfer = [](int peer, bool send) {
        return Exchange::Transfer{GroupId(0), peer, send, elements_taking(2), DType::fp32, {}};
    };
    BodyText first, second;
    first.exchange({transfer(1, true)}, kGather).exchange({transfer(1, false)}, kReduce);
    second.exchange({transfer(0, false)}, kGather).exchange({transfer(0, true)}, kReduce);
    EXPECT_NEAR(step_seconds(one_rank_each({first, second})), 2, kNearly);
}

// Two stages on each of two nodes send to the other node, which has one port.
TEST(Contention, StagesOfOneNodeShareItsPort) {
    Cluster cluster = round_cluster();
    cluster.nodes = 2;
    cluster.gpus_per_node = 2;
    cluster.inter_node.ports = 1;
    const auto step = [&](double second_starts) {
        const auto transfer = [](int peer, bool send) {
            return Exchange::Transfer{GroupId(0), peer, send, elements_taking(2), DType::fp32, {}};
        };
        std::vector<BodyText> stages(4);
        stages[0].exchange({transfer(2, true)}, kCompute);
        stages[2].exchange({transfer(0, false)}, kCompute);
        stages[1].kernel(second_starts).exchange({transfer(3, true)}, kCompute);
        stages[3].exchange({transfer(1, false)}, kCompute);
        const auto roles = simulate_step(one_rank_each(stages), cluster);
        return std::pair(roles[0].time.wall.value, roles[1].time.wall.value);
    };
    EXPECT_NEAR(step(5).first, 2, kNearly) << "alone";
    EXPECT_NEAR(step(5).second, 5 + 2, kNearly);
    EXPECT_NEAR(step(1).first, 1 + 2, kNearly) << "the last second at half the rate";
    EXPECT_NEAR(step(1).second, 1 + 2 + 1, kNearly);
    cluster.inter_node.ports = 2;
    EXPECT_NEAR(step(1).first, 2, kNearly) << "a port each";
}

// Two nodes on each leaf switch, whose links to the other have a quarter of their bandwidth: both nodes send a stage's
// outputs to the other leaf, or one to the other on the same.
TEST(Contention, StagesOnOtherLeavesShareTheLinksOfTheLeaf) {
    Cluster cluster = round_cluster();
    cluster.nodes = 4;
    cluster.gpus_per_node = 1;
    cluster.inter_node.leaf_nodes = 2;
    cluster.inter_node.oversubscription = 4;
    const auto step = [&](int stride) {
        const auto transfer = [](int peer, bool send) {
            return Exchange::Transfer{GroupId(0), peer, send, elements_taking(2), DType::fp32, {}};
        };
        BodyText first, second;
        first.exchange({transfer(1, true)}, kCompute);
        second.exchange({transfer(0, false)}, kCompute);
        Program program = one_rank_each({first, second});
        program.groups[0] = {"pp", 2, stride};
        program.roles[0].ranks = {Rank(0), Rank(3 - stride)};
        program.roles[1].ranks = {Rank(stride), Rank(3)};
        return step_seconds(program, cluster);
    };
    EXPECT_NEAR(step(1), 2, kNearly) << "0 to 1 and 2 to 3";
    EXPECT_NEAR(step(2), 2 * 4, kNearly) << "0 to 2 and 1 to 3, over a quarter of two nodes' links";
}

Cluster hopper() {
    Cluster cluster = round_cluster();
    cluster.intra_node.type = LinkType::nvlink4;
    return cluster;
}

// While a collective runs, its channels keep their multiprocessors from the kernel.
TEST(Contention, KernelsBesideACollectiveHaveFewerMultiprocessors) {
    const Cluster cluster = hopper();
    const double alone = CollectiveCost(cluster)
                             .collective(CostKind::all_reduce, Bytes(4 * elements_taking(3)),
                                         shape_of(Group{"dp", 2, 1}, Rank(0), cluster))
                             .value;
    ASSERT_LT(alone, 9);
    const NcclGeneration& h100 = nccl_generation(LinkType::nvlink4);
    const double taken = h100.channels / double(cluster.device.multiprocessors);
    BodyText kernel_first, collective_first, kernels;
    kernel_first.kernel(10).all_reduce(3, kReduce);
    collective_first.all_reduce(3, kReduce).kernel(10);
    for (int i = 0; i < 10; ++i) kernels.kernel(1);
    kernels.all_reduce(3, kReduce);
    for (const BodyText& body : {kernel_first, collective_first, kernels})
        for (const bool spans : {false, true}) {
            const StepTime time = simulate_step(one_role(body), cluster, spans).front().time;
            EXPECT_NEAR(time.wall.value, 10 + taken * alone, kNearly);
            EXPECT_NEAR(time.compute.value, 10 + taken * alone, kNearly);
        }
    // On the compute stream nothing runs beside it.
    BodyText exposed;
    exposed.kernel(10).all_reduce(3, kCompute);
    EXPECT_NEAR(step_seconds(one_role(exposed), cluster), 10 + alone, kNearly);
}

// Merged kernels and one operation per kernel: the same step, host-bound or not.
TEST(Contention, MergedKernelsTakeAsLongAsSeparateOnes) {
    const std::uint32_t seed = 99;
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto seconds = [&] { return std::uniform_real_distribution<>(0.01, 1)(random); };
    for (int round = 0; round < 200; ++round) {
        Cluster cluster = hopper();
        cluster.device.host_cost = Seconds(random() % 2 == 0 ? 0 : seconds() / 2);
        BodyText body;
        for (int event = 0; event < 8; ++event) {
            const Stream stream = random() % 2 == 0 ? kGather : kReduce;
            for (auto kernels = random() % 5; kernels > 0; --kernels) body.kernel(seconds());
            body.record(event, kCompute).wait(event, stream).all_reduce(seconds(), stream);
            body.record(event + 8, stream);
            if (random() % 3 == 0) body.wait(event + 8, kCompute);
        }
        const Program program = one_role(body, 2, 3);
        const StepTime merged = simulate_step(program, cluster).front().time;
        const StepTime separate = simulate_step(program, cluster, true).front().time;
        EXPECT_NEAR(merged.wall.value, separate.wall.value, 1e-9 * separate.wall.value);
        EXPECT_NEAR(merged.compute.value, separate.compute.value, 1e-9 * separate.wall.value);
        EXPECT_NEAR(merged.exposed_communication.value, separate.exposed_communication.value,
                    1e-9 * separate.wall.value);
    }
}

TEST(Contention, MeasuredCollectivesTakeTheirMeasuredTime) {
    Cluster cluster = hopper();
    cluster.transport = "nccl";
    cluster.device.calibration.transports["nccl"].collectives = {
        {"all_reduce", 2, 1, Bytes(4 * elements_taking(2)), Seconds(2)}};
    BodyText body;
    body.all_reduce(2, kGather).all_reduce(2, kReduce);
    EXPECT_NEAR(step_seconds(one_role(body), cluster), 2, kNearly);
}

}  // namespace
}  // namespace shardscope
