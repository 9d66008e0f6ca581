// Programs of several stages that get through, and programs that get stuck, with the words that say
// where.
#include "core/program/check_progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/check_communication.h"
#include "tests/support/hand_made.h"

namespace shardscope {
namespace {

using test::HandMade;
using test::stages_of;
using testing::HasSubstr;

std::string stuck(const Program& program, Host host = Host::issues) {
    try {
        check_progress(program, host);
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "deadlock");
        EXPECT_EQ(e.kind, ErrorKind::run_failed);
        return e.message;
    }
    return "gets through";
}

// A stage of a pipeline: receives, computes and sends in bodies of their own, in an order that
// `schedule_of` gives as forwards (micro-batch m as m) and backwards (as −1 − m).
class Stage : public HandMade {
public:
    Stage(int stage, int stages, const std::vector<int>& order) : HandMade(stages) {
        const BufferId x = buffer("x", 8), g = buffer("g", 8);
        role().events = 4;
        const EventId arrived(0), computed(1), gradient_arrived(2), gradient_computed(3);
        body("receive").exchange({{stage - 1, false, x}}, Stream::activations_in);
        record(arrived, Stream::activations_in);
        body("forward").wait(arrived, Stream::compute).zero(x).record(computed, Stream::compute);
        body("send").wait(computed, Stream::activations_out);
        exchange({{stage + 1, true, x}}, Stream::activations_out);
        body("receive gradient").exchange({{stage + 1, false, g}}, Stream::gradients_in);
        record(gradient_arrived, Stream::gradients_in);
        body("backward").wait(gradient_arrived, Stream::compute).zero(g);
        record(gradient_computed, Stream::compute);
        body("send gradient").wait(gradient_computed, Stream::gradients_out);
        exchange({{stage - 1, true, g}}, Stream::gradients_out);
        schedule(stage > 0, stage + 1 < stages, order);
    }

private:
    void schedule(bool has_previous, bool has_next, const std::vector<int>& order) {
        role().schedule.clear();
        for (const int step : order) {
            const bool forward = step >= 0;
            const int m = forward ? step : -1 - step, base = forward ? 0 : 3;
            if (forward ? has_previous : has_next) role().schedule.push_back({BodyId(base), m});
            role().schedule.push_back({BodyId(base + 1), m});
            if (forward ? has_next : has_previous) role().schedule.push_back({BodyId(base + 2), m});
        }
    }
};

// Narayanan et al., PipeDream-Flush: warm-up forwards, then one forward and one backward in turn.
std::vector<int> one_forward_one_backward(int stage, int stages, int micro_batches) {
    std::vector<int> order;
    const int warm_up = std::min(stages - 1 - stage, micro_batches);
    for (int m = 0; m < warm_up; ++m) order.push_back(m);
    for (int m = warm_up; m < micro_batches; ++m) {
        order.push_back(m);
        order.push_back(-1 - (m - warm_up));
    }
    for (int m = micro_batches - warm_up; m < micro_batches; ++m) order.push_back(-1 - m);
    return order;
}

TEST(CheckProgress, OneForwardOneBackwardGetsThrough) {
    for (const int stages : {1, 2, 3, 4})
        for (const int micro_batches : {1, 2, 4, 9}) {
            std::vector<HandMade> all;
            for (int s = 0; s < stages; ++s)
                all.push_back(Stage(s, stages, one_forward_one_backward(s, stages, micro_batches)));
            const Program program = stages_of(all);
            EXPECT_NO_THROW(check_communication(program));
            EXPECT_EQ(stuck(program), "gets through");
            EXPECT_EQ(stuck(program, Host::runs_compute), "gets through");
        }
}

// The first stage wants the gradient of micro-batch 0 before it gives the last stage micro-batch 1;
// the last one wants both before it goes back.
TEST(CheckProgress, SchedulesThatDoNotFitAreStuck) {
    const Program program = stages_of({Stage(0, 2, {0, -1, 1, -2}), Stage(1, 2, {0, 1, -1, -2})});
    EXPECT_EQ(
        stuck(program),
        "the ranks would wait forever:\n"
        "  stage 0 · compute: wait in backward of micro-batch 0 waits for stage 0 · bwd-in: "
        "event in receive gradient of micro-batch 0\n"
        "  stage 0 · bwd-in: receive of micro-batch 0 waits for stage 1 · bwd-out: send of "
        "micro-batch 0\n"
        "  stage 1 · bwd-out: wait in send gradient of micro-batch 0 waits for stage 1 · "
        "compute: event in backward of micro-batch 0\n"
        "  stage 1 · compute: wait in forward of micro-batch 1 waits for stage 1 · fwd-in: "
        "event in receive of micro-batch 1\n"
        "  stage 1 · fwd-in: receive of micro-batch 1 waits for stage 0 · fwd-out: send of "
        "micro-batch 1\n"
        "  stage 0 · fwd-out: wait in send of micro-batch 1 waits for stage 0 · compute: event "
        "in forward of micro-batch 1");
}

HandMade two(BufferId& x, BufferId& y) {
    HandMade p(2);
    x = p.buffer("x", 8);
    y = p.buffer("y", 8);
    p.body("body");
    return p;
}

TEST(CheckProgress, TwoStagesThatBothSendFirstAreStuck) {
    BufferId x, y;
    HandMade a = two(x, y), b = two(x, y);
    a.exchange({{1, true, x}}, Stream::compute).exchange({{1, false, y}}, Stream::compute);
    b.exchange({{0, true, x}}, Stream::compute).exchange({{0, false, y}}, Stream::compute);
    EXPECT_NO_THROW(check_communication(stages_of({a, b})));
    EXPECT_EQ(stuck(stages_of({a, b})),
              "the ranks would wait forever:\n"
              "  stage 0 · compute: send of micro-batch 0 waits for stage 1 · compute: receive of "
              "micro-batch 0\n"
              "  stage 1 · compute: send of micro-batch 0 waits for stage 0 · compute: receive of "
              "micro-batch 0");
}

TEST(CheckProgress, IssuedTogetherTheyGetThrough) {
    BufferId x, y;
    HandMade a = two(x, y), b = two(x, y);
    a.exchange({{1, true, x}, {1, false, y}}, Stream::compute);
    b.exchange({{0, true, x}, {0, false, y}}, Stream::compute);
    EXPECT_EQ(stuck(stages_of({a, b})), "gets through");
}

TEST(CheckProgress, ATransferThatNobodyAnswersIsNamed) {
    BufferId x, y;
    HandMade a = two(x, y), b = two(x, y);
    a.exchange({{1, true, x}}, Stream::activations_out);
    EXPECT_EQ(
        stuck(stages_of({a, b})),
        "the ranks would wait forever:\n"
        "  stage 0 · fwd-out: send of micro-batch 0 waits for stage 1, which never receives it");
    b.exchange({{0, false, x}}, Stream::activations_in);
    EXPECT_EQ(stuck(stages_of({a, b})), "gets through");
    b.exchange({{0, false, x}}, Stream::activations_in);
    EXPECT_THAT(stuck(stages_of({a, b})), HasSubstr("stage 0, which never sends it"));
}

TEST(CheckProgress, CollectivesOfStagesMeetInOneOrder) {
    BufferId x, y;
    HandMade a = two(x, y), b = two(x, y);
    a.all_reduce(x, Stream::compute).exchange({{1, true, y}}, Stream::compute);
    b.exchange({{0, false, y}}, Stream::compute).all_reduce(x, Stream::compute);
    EXPECT_EQ(
        stuck(stages_of({a, b})),
        "the ranks would wait forever:\n"
        "  stage 0 · compute: all_reduce over \"dp\" in body of micro-batch 0 waits for stage 1 "
        "· compute: all_reduce over \"dp\" in body of micro-batch 0\n"
        "  stage 1 · compute: receive of micro-batch 0 waits for stage 0 · compute: send of "
        "micro-batch 0");
    // On a stream of its own it meets whatever the transfer does.
    HandMade c = two(x, y);
    c.all_reduce(x, Stream::compute).exchange({{0, false, y}}, Stream::compute);
    EXPECT_EQ(stuck(stages_of({a, c})), "gets through");
}

TEST(CheckProgress, ACollectiveThatOneStageLeavesOutIsNamed) {
    BufferId x, y;
    HandMade a = two(x, y), b = two(x, y);
    a.all_reduce(x, Stream::reduce);
    EXPECT_EQ(
        stuck(stages_of({a, b})),
        "the ranks would wait forever:\n"
        "  stage 0 · reduce: all_reduce over \"dp\" in body of micro-batch 0 waits for stage 1, "
        "which never comes to it");
}

// Collectives among the ranks of one role meet by themselves.
TEST(CheckProgress, StagesNeedNotAgreeOnGroupsTheyDoNotShare) {
    BufferId x, y;
    HandMade a = two(x, y), b = two(x, y);
    a.all_reduce(x, Stream::reduce);
    Program program = stages_of({a, b});
    program.roles[0].ranks = {Rank(0), Rank(1)};
    program.roles[1].ranks = {Rank(2), Rank(3)};
    EXPECT_NO_THROW(check_communication(program));
    EXPECT_EQ(stuck(program), "gets through");
}

// The host copies a scalar before it issues what the scalar, by way of the other stage, waits for.
TEST(CheckProgress, TheHostWaitsForItsCopies) {
    BufferId x, y;
    HandMade a = two(x, y), b = two(x, y);
    a.exchange({{1, false, x}}, Stream::compute).copy_to_host(CopyToHost::What::loss, x);
    a.exchange({{1, true, y}}, Stream::activations_out);
    b.exchange({{0, false, y}}, Stream::compute).exchange({{0, true, x}}, Stream::compute);
    EXPECT_EQ(
        stuck(stages_of({a, b})),
        "the ranks would wait forever:\n"
        "  stage 0 · compute: receive of micro-batch 0 waits for stage 1 · compute: send of "
        "micro-batch 0\n"
        "  stage 1 · compute: receive of micro-batch 0 waits for stage 0 · fwd-out: send of "
        "micro-batch 0\n"
        "  stage 0 · fwd-out: send of micro-batch 0 is issued after stage 0 · compute: copy to "
        "the host in body of micro-batch 0");
}

TEST(CheckProgress, AHostThatRunsTheComputeStreamWaitsForAllOfIt) {
    BufferId x, y;
    HandMade a = two(x, y), b = two(x, y);
    a.exchange({{1, false, x}}, Stream::compute).exchange({{1, true, y}}, Stream::activations_out);
    b.exchange({{0, false, y}}, Stream::compute).exchange({{0, true, x}}, Stream::compute);
    EXPECT_EQ(stuck(stages_of({a, b})), "gets through");
    EXPECT_THAT(
        stuck(stages_of({a, b}), Host::runs_compute),
        HasSubstr("stage 0 · fwd-out: send of micro-batch 0 is issued after stage 0 · compute: "
                  "receive of micro-batch 0"));
}

TEST(CheckProgress, AWaitIsForTheLatestRecordingBeforeIt) {
    BufferId x, y;
    HandMade a = two(x, y), b = two(x, y);
    a.role().events = 1;
    // Before the first recording there is nothing to wait for; in the second step there is.
    a.wait(EventId(0), Stream::activations_out).exchange({{1, true, x}}, Stream::activations_out);
    a.exchange({{1, false, y}}, Stream::gradients_in).record(EventId(0), Stream::gradients_in);
    b.exchange({{0, false, x}}, Stream::compute).exchange({{0, true, y}}, Stream::compute);
    EXPECT_EQ(stuck(stages_of({a, b})), "gets through");
    // Recorded first, the event closes the circle.
    auto& instructions = a.role().bodies[0].instructions;
    std::rotate(instructions.begin(), instructions.begin() + 2, instructions.end());
    EXPECT_THAT(
        stuck(stages_of({a, b})),
        HasSubstr("stage 0 · fwd-out: wait in body of micro-batch 0 waits for stage 0 · bwd-in: "
                  "event in body of micro-batch 0"));
}

}  // namespace
}  // namespace shardscope
