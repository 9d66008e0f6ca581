// Spans and the parts of a step: one simulation that records them and one that does not agree.
#include <gtest/gtest.h>

#include "simulator/event_engine.h"
#include "tests/simulator/hand_made.h"

namespace shardscope {
namespace {

using test::BodyText;
using test::one_role;
using test::round_cluster;

// A layer's worth of everything: prefetch, kernels, reductions, a copy to the host.
BodyText busy_body() {
    BodyText body;
    body.all_reduce(0.7, Stream::gather).record(0, Stream::gather).wait(0, Stream::compute);
    body.kernel(0.3).kernel(0.2).kernel(0.4, Phase::backward).record(1, Stream::compute);
    body.wait(1, Stream::reduce).all_reduce(1.3, Stream::reduce).record(2, Stream::reduce);
    body.kernel(0.1, Phase::backward).wait(2, Stream::compute).kernel(0.05, Phase::optimizer);
    body.copy_to_host();
    return body;
}

Cluster cluster_of(DeviceKind kind) {
    Cluster cluster = round_cluster(kind);
    cluster.device.host_cost = Seconds(0.02);
    if (kind == DeviceKind::cpu) {
        cluster.cores = 3;
        cluster.device.calibration.busy_slowdown = 1.2;
    }
    return cluster;
}

class EventSpans : public ::testing::TestWithParam<DeviceKind> {};

TEST_P(EventSpans, PartsSumToTheStep) {
    const StepTime t = simulate_step(one_role(busy_body(), 2, 4), cluster_of(GetParam()))[0].time;
    const Seconds sum = t.compute + t.exposed_communication + t.bubble + t.optimizer;
    EXPECT_NEAR(sum.value, t.wall.value, 1e-12);
    EXPECT_GT(t.exposed_communication.value, 0);
    EXPECT_GT(t.bubble.value, 0);
}

TEST_P(EventSpans, CuttingSpansGivesTheSameParts) {
    const Cluster cluster = cluster_of(GetParam());
    const Program program = one_role(busy_body(), 2, 4);
    const StepTime direct = simulate_step(program, cluster)[0].time;
    const RoleTimeline recorded = simulate_step(program, cluster, true)[0];
    for (const StepTime& other : {recorded.time, cut(recorded.spans, recorded.time.wall)}) {
        EXPECT_NEAR(other.wall.value, direct.wall.value, 1e-12);
        EXPECT_NEAR(other.compute.value, direct.compute.value, 1e-12);
        EXPECT_NEAR(other.exposed_communication.value, direct.exposed_communication.value, 1e-12);
        EXPECT_NEAR(other.bubble.value, direct.bubble.value, 1e-12);
        EXPECT_NEAR(other.optimizer.value, direct.optimizer.value, 1e-12);
    }
}

TEST_P(EventSpans, SpansOfAStreamAreInOrderAndApart) {
    const auto timeline =
        simulate_step(one_role(busy_body(), 2, 4), cluster_of(GetParam()), true)[0];
    ASSERT_FALSE(timeline.spans.empty());
    for (std::size_t s = 0; s < kStreams; ++s) {
        Seconds last(0);
        for (const Span& span : timeline.spans) {
            if (span.stream != static_cast<Stream>(s)) continue;
            EXPECT_GE(span.start.value, last.value - 1e-12);
            EXPECT_GT(span.end.value, span.start.value);
            last = span.end;
        }
        EXPECT_LE(last.value, timeline.time.wall.value + 1e-12);
    }
}

TEST_P(EventSpans, TwoRunsAgreeBitForBit) {
    const Cluster cluster = cluster_of(GetParam());
    const Program program = one_role(busy_body(), 3, 50);
    const StepTime a = simulate_step(program, cluster)[0].time;
    const StepTime b = simulate_step(program, cluster)[0].time;
    EXPECT_EQ(a.wall.value, b.wall.value);
    EXPECT_EQ(a.compute.value, b.compute.value);
    EXPECT_EQ(a.exposed_communication.value, b.exposed_communication.value);
    EXPECT_EQ(a.bubble.value, b.bubble.value);
}

INSTANTIATE_TEST_SUITE_P(Devices, EventSpans, ::testing::Values(DeviceKind::gpu, DeviceKind::cpu),
                         [](const auto& tested) {
                             return tested.param == DeviceKind::gpu ? "gpu" : "cpu";
                         });

}  // namespace
}  // namespace shardscope
