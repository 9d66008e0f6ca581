// Pipelines written by hand: transfers between roles, events of other bodies, and schedules whose
// length the papers give in closed form. All durations are exact in binary.
#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "core/lowering/stages.h"
#include "simulator/event_engine.h"
#include "tests/simulator/hand_made.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using test::BodyText;
using test::elements_taking;
using test::kCompute;
using test::one_rank_each;
using test::one_role;
using test::round_cluster;

constexpr Stream kForwardIn = Stream::activations_in, kForwardOut = Stream::activations_out;
constexpr Stream kBackwardIn = Stream::gradients_in, kBackwardOut = Stream::gradients_out;
constexpr double kForward = 0.25, kBackward = 0.5, kWeight = 0.25;

Exchange::Transfer transfer(int peer, bool send, double seconds = 0) {
    return {GroupId(0), peer, send, elements_taking(seconds), DType::fp32, {}};
}

// Bodies of a chunk: forward, backward (or its input-gradient half), weight gradients.
enum BodyKind { forward_body, backward_body, weight_body, kBodyKinds };

// The chunks of one stage. `weight` seconds of the backward are left to a body of their own.
RoleProgram stage_of(int stage, int stages, int chunks, double weight) {
    RoleProgram role;
    role.name = "stage " + std::to_string(stage);
    role.ranks = {Rank(stage)};
    const int before = (stage + stages - 1) % stages, after = (stage + 1) % stages;
    for (int chunk = 0; chunk < chunks; ++chunk) {
        const bool first = stage == 0 && chunk == 0;
        const bool last = stage == stages - 1 && chunk == chunks - 1;
        const int e = 4 * chunk;
        BodyText forward, backward, weights;
        if (!first)
            forward.exchange({transfer(before, false)}, kForwardIn)
                .record(e, kForwardIn)
                .wait(e, kCompute);
        forward.kernel(kForward / chunks);
        if (!last)
            forward.record(e + 1, kCompute)
                .wait(e + 1, kForwardOut)
                .exchange({transfer(after, true)}, kForwardOut);
        if (!last)
            backward.exchange({transfer(after, false)}, kBackwardIn)
                .record(e + 2, kBackwardIn)
                .wait(e + 2, kCompute);
        backward.kernel((kBackward - weight) / chunks, Phase::backward);
        if (!first)
            backward.record(e + 3, kCompute)
                .wait(e + 3, kBackwardOut)
                .exchange({transfer(before, true)}, kBackwardOut);
        if (weight > 0) weights.kernel(weight / chunks, Phase::backward);
        for (const BodyText* text : {&forward, &backward, &weights})
            role.bodies.push_back(text->body);
    }
    role.events = 4 * chunks;
    return role;
}

// The schedules that lowering uses (core/lowering/stages.h), on stages that are all alike.
Program pipeline(int stages, int chunks, int micro_batches,
                 Schedule schedule = Schedule::one_f_one_b) {
    Strategy strategy;
    strategy.pp = stages;
    strategy.schedule = schedule;
    strategy.virtual_stages = chunks;
    Program program;
    program.groups.push_back({"pp", stages, 1});
    const bool parted = schedule == Schedule::zero_bubble && stages > 1;
    for (int stage = 0; stage < stages; ++stage) {
        RoleProgram role = stage_of(stage, stages, chunks, parted ? kWeight : 0.0);
        for (const StageTask& task : stage_schedule(strategy, stage, stages, micro_batches)) {
            const int kind = task.kind == StageTask::Kind::forward           ? forward_body
                             : task.kind == StageTask::Kind::weight_gradient ? weight_body
                                                                             : backward_body;
            role.schedule.push_back({BodyId(kBodyKinds * task.chunk + kind), task.micro_batch});
        }
        program.roles.push_back(std::move(role));
    }
    return program;
}

double latest_wall(const std::vector<RoleTimeline>& roles) {
    double latest = 0;
    for (const RoleTimeline& role : roles) latest = std::max(latest, role.time.wall.value);
    return latest;
}

TEST(Pipeline, OneForwardOneBackwardTakesItsClosedForm) {
    for (int p = 1; p <= 6; ++p) {
        for (int m = 1; m <= 9; ++m) {
            SCOPED_TRACE(::testing::Message() << p << " stages, " << m << " micro-batches");
            const double expected = (m + p - 1) * (kForward + kBackward);
            const auto roles = simulate_step(pipeline(p, 1, m), round_cluster());
            EXPECT_EQ(latest_wall(roles), expected);
            EXPECT_EQ(
                latest_wall(simulate_step(pipeline(p, 1, m, Schedule::gpipe), round_cluster())),
                expected)
                << "GPipe";
            for (const RoleTimeline& role : roles) {
                EXPECT_EQ(role.time.compute.value, m * (kForward + kBackward));
                EXPECT_EQ(role.time.exposed_communication.value, 0);
            }
        }
    }
}

// The bubble is a v-th of 1F1B's. With two stages activations and gradients go both ways between the
// same two roles, so that one taken for the other would show.
TEST(Pipeline, InterleavingDividesTheBubble) {
    for (int p = 2; p <= 4; ++p) {
        for (const int v : {2, 4}) {
            for (const int m : {p, 2 * p, 4 * p}) {
                SCOPED_TRACE(::testing::Message() << p << " stages of " << v << ", " << m);
                EXPECT_EQ(latest_wall(simulate_step(pipeline(p, v, m), round_cluster())),
                          (m + (p - 1.0) / v) * (kForward + kBackward));
            }
        }
    }
}

// A last round that is not full only ever leaves stages idle: less work than a full one, and more than
// the work itself.
TEST(Pipeline, InterleavingTakesAnyNumberOfMicroBatches) {
    for (int p = 2; p <= 4; ++p)
        for (const int v : {2, 3})
            for (int m = 1; m <= 3 * p; ++m) {
                SCOPED_TRACE(::testing::Message() << p << " stages of " << v << ", " << m);
                const double time = latest_wall(simulate_step(pipeline(p, v, m), round_cluster()));
                const int rounded = (m + p - 1) / p * p;
                EXPECT_GE(time, m * (kForward + kBackward));
                EXPECT_LE(time, (rounded + (p - 1.0) / v) * (kForward + kBackward) + 1e-12);
            }
}

// Weight gradients fill all of the bubble but (p − 1)(f + b − w), b the input gradients (Qi et al. 2024,
// table 2, ZB-H1), once there are as many micro-batches as stages.
TEST(Pipeline, ZeroBubbleTakesItsClosedForm) {
    for (int p = 2; p <= 6; ++p)
        for (const int m : {p, p + 1, 2 * p, 5 * p}) {
            SCOPED_TRACE(::testing::Message() << p << " stages, " << m << " micro-batches");
            const double time = latest_wall(
                simulate_step(pipeline(p, 1, m, Schedule::zero_bubble), round_cluster()));
            EXPECT_EQ(time,
                      m * (kForward + kBackward) + (p - 1) * (kForward + kBackward - 2 * kWeight));
            EXPECT_LT(time, latest_wall(simulate_step(pipeline(p, 1, m), round_cluster())));
        }
}

// A lowered zb-v pipeline of linear layers, one per chunk, in which the three kinds of task take `seconds` each and
// all else nothing.
Program even_v(int stages, int micro_batches, double seconds) {
    LayerListSpec layers;
    for (int i = 0; i < 2 * stages; ++i)
        layers.items.push_back({LayerListSpec::Kind::linear, 4, 4, true});
    Scenario s = test::tiny_scenario({"stack", layers}, stages);
    s.training.global_batch = micro_batches;
    s.training.micro_batch = 1;
    s.strategies[0].pp = stages;
    s.strategies[0].schedule = Schedule::zero_bubble_v;
    s.strategies[0].partition.kind = Partition::Kind::counts;
    s.strategies[0].partition.counts.assign(static_cast<std::size_t>(2 * stages), 1);
    s.strategies[0].partition.counts.back() = 2;  // the loss is a layer
    Program program = test::lower_tiny(s).program;
    for (RoleProgram& role : program.roles)
        for (Body& body : role.bodies) {
            Compute* last = nullptr;
            for (Instruction& i : body.instructions) {
                if (auto* c = std::get_if<Compute>(&i.operation)) {
                    c->kernel = Zero{0};
                    c->dtype = DType::fp32;
                    last = c;
                } else if (auto* x = std::get_if<Exchange>(&i.operation)) {
                    for (Exchange::Transfer& t : x->transfers) t.elements = 0;
                }
            }
            const bool works = body.name.starts_with("forward") || body.name.starts_with("input") ||
                               body.name.starts_with("weight");
            if (works && last != nullptr) last->kernel = Zero{elements_taking(seconds)};
            EXPECT_TRUE(!works || last != nullptr) << body.name << " computes nothing";
        }
    return program;
}

// From 2p − 1 micro-batches on no stage waits between its first task and its last (Qi et al. 2024, section 6): stage s
// begins when s forwards of a chunk have come down to it, and is as late at the end.
TEST(Pipeline, AVHasNoBubbleWhereAllTasksAreAlike) {
    constexpr double kTask = 0.125;
    for (int p = 2; p <= 6; ++p)
        for (const int m : {2 * p - 1, 2 * p, 5 * p}) {
            SCOPED_TRACE(::testing::Message() << p << " stages, " << m << " micro-batches");
            const auto roles = simulate_step(even_v(p, m, kTask), round_cluster(), true);
            EXPECT_EQ(latest_wall(roles), (6 * m + p - 1) * kTask);
            for (const RoleTimeline& role : roles) {
                double begin = 1e300, end = 0;
                for (const Span& span : role.spans)
                    if (span.kind == Span::Kind::compute && span.end > span.start) {
                        begin = std::min(begin, span.start.value);
                        end = std::max(end, span.end.value);
                    }
                EXPECT_EQ(end - begin, 6 * m * kTask);
            }
            // ZB-H1 with stages of two such chunks waits for (p − 1)(f + b − 2w).
            EXPECT_LT(latest_wall(roles), (6 * m + 2 * (p - 1)) * kTask);
        }
}

TEST(Pipeline, IdleStagesAreBubble) {
    const auto roles = simulate_step(pipeline(4, 1, 6), round_cluster(), true);
    for (const RoleTimeline& role : roles) {
        const StepTime again = cut(role.spans, role.time.wall);
        EXPECT_EQ(again.bubble.value, role.time.bubble.value);
        EXPECT_EQ(again.exposed_communication.value, 0);
        EXPECT_EQ(role.time.bubble.value, role.time.wall.value - role.time.compute.value);
    }
    const auto waits =
        std::count_if(roles[3].spans.begin(), roles[3].spans.end(),
                      [](const Span& span) { return span.kind == Span::Kind::pipeline_wait; });
    EXPECT_GT(waits, 0);
}

TEST(Pipeline, CollectivesOnTheComputeStreamAreExposed) {
    BodyText body;
    body.kernel(1).all_reduce(2, kCompute).kernel(4, Phase::recompute).kernel(8, Phase::backward);
    const StepTime time = simulate_step(one_role(body), round_cluster())[0].time;
    EXPECT_NEAR(time.exposed_communication.value, 2, 1e-12);
    EXPECT_NEAR(time.compute.value, 13, 1e-12);
}

// Between two roles and in one direction, a gradient that is sent first is not what a receive of
// activations gets.
TEST(Pipeline, ActivationsAndGradientsMeetTheirOwn) {
    BodyText sender, receiver;
    sender.kernel(1).record(0, kCompute).wait(0, kBackwardOut);
    sender.exchange({transfer(1, true, 2)}, kBackwardOut);
    sender.kernel(7).record(1, kCompute).wait(1, kForwardOut);
    sender.exchange({transfer(1, true, 4)}, kForwardOut);
    receiver.exchange({transfer(0, false, 4)}, kForwardIn).record(0, kForwardIn).wait(0, kCompute);
    receiver.kernel(1);
    receiver.exchange({transfer(0, false, 2)}, kBackwardIn).record(1, kBackwardIn);
    receiver.wait(1, kCompute).kernel(16);
    const auto roles = simulate_step(one_rank_each({sender, receiver}), round_cluster());
    EXPECT_NEAR(roles[1].time.wall.value, 1 + 7 + 4 + 1 + 16, 1e-12);
}

// One stream pair, many transfers: the n-th send meets the n-th receive.
TEST(Pipeline, TransfersMeetInTheOrderOfTheirIssue) {
    BodyText sender, receiver;
    int event = 0;
    for (const double seconds : {1.0, 2.0, 4.0}) {
        sender.kernel(1).record(event, kCompute).wait(event, kForwardOut);
        sender.exchange({transfer(1, true, seconds)}, kForwardOut);
        receiver.exchange({transfer(0, false, seconds)}, kForwardIn);
        receiver.record(event, kForwardIn).wait(event, kCompute).kernel(8);
        ++event;
    }
    const auto roles = simulate_step(one_rank_each({sender, receiver}), round_cluster());
    EXPECT_NEAR(roles[0].time.wall.value, 1 + 1 + 2 + 4, 1e-12);
    EXPECT_NEAR(roles[1].time.wall.value, 2 + 3 * 8, 1e-12);
}

Program two_bodies(const BodyText& a, const BodyText& b, std::vector<int> schedule) {
    Program program = one_role(a, 2, 0);
    RoleProgram& role = program.roles[0];
    role.bodies.push_back(b.body);
    for (const int body : schedule) role.schedule.push_back({BodyId(body), 0});
    return program;
}

TEST(Pipeline, AWaitIsForTheLatestRecordingBeforeIt) {
    BodyText fetch, use;
    fetch.all_reduce(4, Stream::gather).record(0, Stream::gather);
    use.wait(0, kCompute).kernel(1);
    const auto time = [&](std::vector<int> schedule) {
        return simulate_step(two_bodies(fetch, use, schedule), round_cluster())[0].time;
    };
    EXPECT_NEAR(time({1}).wall.value, 1, 1e-12) << "nothing was recorded: the wait passes";
    EXPECT_NEAR(time({0, 1}).wall.value, 4 + 1, 1e-12);
    EXPECT_NEAR(time({0, 1, 1, 1}).wall.value, 4 + 3, 1e-12);
    EXPECT_NEAR(time({1, 0, 1}).wall.value, 4 + 1, 1e-12) << "the first use passes";
    EXPECT_NEAR(time({0, 0, 1}).wall.value, 8 + 1, 1e-12) << "the latest, not the first";
    EXPECT_NEAR(time({0, 1, 0}).wall.value, 8, 1e-12);
    EXPECT_NEAR(time({0, 1, 0}).exposed_communication.value, 4, 1e-12);
}

// Before the recording in its own body, a wait is for the execution before.
TEST(Pipeline, AWaitBeforeItsRecordingIsForTheExecutionBefore) {
    BodyText body;
    body.wait(0, kCompute).kernel(1).record(1, kCompute).wait(1, Stream::reduce);
    body.all_reduce(4, Stream::reduce).record(0, Stream::reduce);
    for (const int times : {1, 2, 5}) {
        const StepTime time = simulate_step(one_role(body, 2, times), round_cluster())[0].time;
        EXPECT_NEAR(time.wall.value, times * (1 + 4.0), 1e-12);
        EXPECT_NEAR(time.exposed_communication.value, (times - 1) * 4.0, 1e-12);
    }
}

TEST(Pipeline, WaitsOfOtherBodiesWorkOnACpuToo) {
    BodyText fetch, use;
    fetch.all_reduce(4, Stream::gather).record(0, Stream::gather);
    use.wait(0, kCompute).kernel(1);
    const Program program = two_bodies(fetch, use, {1, 0, 0, 1, 1});
    EXPECT_NEAR(simulate_step(program, round_cluster(DeviceKind::cpu))[0].time.wall.value,
                1 + 8 + 2, 1e-12);
}

}  // namespace
}  // namespace shardscope
