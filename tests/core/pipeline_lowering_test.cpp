// Pipelines that lowering makes: every schedule finishes, and one that cannot is found before it runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "core/error.h"
#include "core/program/check.h"
#include "core/program/check_progress.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

ModelSpec stack_of(int layers) {
    LayerListSpec spec;
    for (int i = 0; i < layers; ++i)
        spec.items.push_back({LayerListSpec::Kind::linear, 4, 4, true});
    return {"stack", spec};
}

Plan pipeline(int pp, int chunks, int micro_batches, Schedule schedule) {
    Scenario s = test::tiny_scenario(stack_of(32), pp);
    s.training.global_batch = micro_batches;
    s.training.micro_batch = 1;
    s.strategies[0].pp = pp;
    s.strategies[0].virtual_stages = chunks;
    s.strategies[0].schedule = schedule;
    return test::lower_tiny(s);
}

// On a host that issues ahead and on one that computes itself.
TEST(PipelineLoweringSlow, EveryScheduleOfEveryShapeFinishes) {
    for (int pp = 2; pp <= 8; ++pp)
        for (int m = 1; m <= 2 * pp + 3; ++m) {
            SCOPED_TRACE(testing::Message() << pp << " stages, " << m << " micro-batches");
            for (const Schedule schedule : {Schedule::gpipe, Schedule::one_f_one_b,
                                            Schedule::zero_bubble, Schedule::zero_bubble_v}) {
                const Plan plan = pipeline(pp, 1, m, schedule);
                EXPECT_NO_THROW(check_progress(plan.program)) << schedule_name(schedule);
                EXPECT_NO_THROW(check_progress(plan.program, Host::runs_compute))
                    << schedule_name(schedule);
            }
            for (int chunks = 2; chunks <= 4; ++chunks) {
                const Plan plan = pipeline(pp, chunks, m, Schedule::one_f_one_b);
                EXPECT_NO_THROW(check_progress(plan.program)) << chunks;
                EXPECT_NO_THROW(check_progress(plan.program, Host::runs_compute)) << chunks;
            }
        }
}

// Events, transfers and the arena: of models whose embedding both ends of the V share, and of which a chunk is an
// activation or the loss alone.
TEST(PipelineLowering, AVHoldsForAllThatSurroundsIt) {
    for (const ModelSpec& model : {test::deep_gpt(), test::deep_llama(), stack_of(9)})
        for (const int pp : {2, 3, 4})
            for (const int zero : {0, 1, 2, 3})
                for (const std::int64_t micro_batches : {1, 2, 3, 7, 12})
                    for (const Recompute::Kind recompute :
                         {Recompute::Kind::none, Recompute::Kind::full}) {
                        Scenario s = test::tiny_scenario(model, 2 * pp);
                        s.training.global_batch = 2 * micro_batches;
                        s.training.micro_batch = 1;
                        s.training.clip = 1.0;
                        Strategy& strategy = s.strategies[0];
                        strategy.pp = pp;
                        strategy.zero = zero;
                        strategy.bucket = Bytes(4000);
                        strategy.recompute.kind = recompute;
                        strategy.schedule = Schedule::zero_bubble_v;
                        const bool tied = model.name == "deep gpt";
                        if (zero == 0 && !tied) strategy.reduce_at = ReduceAt::micro_batch;
                        if (zero >= 2 && tied) continue;
                        SCOPED_TRACE(test::describe(s, strategy));
                        const Plan plan = test::lower_tiny(s);
                        EXPECT_NO_THROW(check_program(plan.program, plan.memory));
                    }
}

TEST(PipelineLowering, AVHasNoRoomForAnUnfinishedGradient) {
    Scenario s = test::tiny_scenario(test::deep_gpt(), 4);
    s.strategies[0].pp = 2;
    s.strategies[0].schedule = Schedule::zero_bubble_v;
    s.strategies[0].zero = 2;
    try {
        test::lower_tiny(s);
        ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "schedule");
        EXPECT_THAT(e.message,
                    HasSubstr("zb-v with gradients reduced after every micro-batch (zero 2)"));
    }
    s.model = test::deep_llama();
    EXPECT_NO_THROW(test::lower_tiny(s));
    // To the host they go after every micro-batch with one replica too.
    s.model = test::deep_gpt();
    s.cluster = catalogue_cluster("h100-sxm");
    s.strategies[0].ranks = 2;
    s.strategies[0].offload.optimizer = OffloadTo::cpu;
    EXPECT_THROW(test::lower_tiny(s), Error);
    s.strategies[0].zero = 1;
    EXPECT_NO_THROW(test::lower_tiny(s));
}

// The first stage wants the gradient of a micro-batch that it has not sent yet.
TEST(PipelineLowering, ADeadlockIsFoundWithItsCycle) {
    Plan plan = pipeline(2, 1, 2, Schedule::one_f_one_b);
    auto& schedule = plan.program.roles[0].schedule;
    const auto& bodies = plan.program.roles[0].bodies;
    const auto is = [&](const char* name) {
        return [&bodies, name](const Task& t) {
            return bodies[t.body.index()].name.find(name) == 0 && t.micro_batch == 1;
        };
    };
    // Micro-batch 1 goes back before it goes forth.
    std::stable_partition(schedule.begin(), schedule.end(), [&](const Task& t) {
        return is("receive gradients")(t) || is("backward")(t);
    });
    try {
        check_progress(plan.program);
        ADD_FAILURE() << "not found";
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "deadlock");
        EXPECT_THAT(e.message, HasSubstr("stage 0"));
        EXPECT_THAT(e.message, HasSubstr("stage 1"));
        EXPECT_THAT(e.message, HasSubstr("waits for"));
    }
}

}  // namespace
}  // namespace shardscope
