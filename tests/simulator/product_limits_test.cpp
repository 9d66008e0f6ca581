// What products cannot do is said, and nothing else.
#include "core/strategy/product_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "core/report/evaluate.h"
#include "simulator/event_runner.h"
#include "tests/core/profile_plans.h"

namespace shardscope {
namespace {

using testing::HasSubstr;
using testing::Optional;

Strategy strategy_of(RuntimeProfile profile, int zero, int pp = 1) {
    Strategy s;
    set_profile(s, profile);
    s.zero = zero;
    s.pp = pp;
    return s;
}

TEST(ProductLimits, AreOfTheProduct) {
    using P = RuntimeProfile;
    EXPECT_THAT(beyond_product(strategy_of(P::megatron, 2)), Optional(HasSubstr("zero 1")));
    EXPECT_EQ(beyond_product(strategy_of(P::megatron, 1)), std::nullopt);
    EXPECT_THAT(beyond_product(strategy_of(P::megatron_2021, 1)), Optional(HasSubstr("2021")));
    for (const P deepspeed : {P::deepspeed, P::deepspeed_2021, P::megatron_deepspeed}) {
        EXPECT_EQ(beyond_product(strategy_of(deepspeed, 3)), std::nullopt);
        EXPECT_EQ(beyond_product(strategy_of(deepspeed, 1, 2)), std::nullopt);
        EXPECT_THAT(beyond_product(strategy_of(deepspeed, 2, 2)), Optional(HasSubstr("pipelines")));
    }
    EXPECT_THAT(beyond_product(strategy_of(P::fsdp, 1)), Optional(HasSubstr("zero 2")));
    EXPECT_EQ(beyond_product(strategy_of(P::fsdp_compile, 3, 2)), std::nullopt);
    EXPECT_THAT(beyond_product(strategy_of(P::llm_foundry, 3, 2)), Optional(HasSubstr("FSDP")));
    Strategy zero_bubble = strategy_of(P::megatron, 0, 2);
    zero_bubble.schedule = Schedule::zero_bubble;
    EXPECT_THAT(beyond_product(zero_bubble), Optional(HasSubstr("zero-bubble")));
    zero_bubble.profile = P::shardscope;
    zero_bubble.zero = 3;
    EXPECT_EQ(beyond_product(zero_bubble), std::nullopt);
    Strategy beside = strategy_of(P::megatron, 1);
    beside.overlap_shared_experts = true;
    EXPECT_EQ(beyond_product(beside), std::nullopt);
    beside.dispatcher = Dispatcher::deepep;
    EXPECT_EQ(beyond_product(beside), std::nullopt) << "nothing travels";
    beside.ep = 2;
    EXPECT_THAT(beyond_product(beside), Optional(HasSubstr("alltoall dispatcher")));
    beside.profile = P::shardscope;
    EXPECT_EQ(beyond_product(beside), std::nullopt);
    beside.profile = P::deepspeed;
    EXPECT_THAT(beyond_product(beside), Optional(HasSubstr("by all-to-all")));
    beside.dispatcher = Dispatcher::all_to_all;
    beside.overlap_shared_experts = false;
    EXPECT_EQ(beyond_product(beside), std::nullopt);
    beside.dispatch_precision = DispatchPrecision::fp8;
    EXPECT_THAT(beyond_product(beside), Optional(HasSubstr("as they are stored")));
    Strategy segments = strategy_of(P::megatron, 1);
    segments.expandable_segments = true;
    EXPECT_EQ(beyond_product(segments), std::nullopt);
    segments.profile = P::deepspeed_2021;
    EXPECT_THAT(beyond_product(segments), Optional(HasSubstr("since 2023")));
}

TEST(ProductLimits, AreNotedBesideTheResult) {
    const auto notes = [](int zero) {
        Scenario scenario = test::half_precision(RuntimeProfile::megatron, 2);
        scenario.cluster = catalogue_cluster("a100-80gb");
        scenario.strategies[0].name = "product";
        scenario.strategies[0].ranks = 2;
        scenario.strategies[0].zero = zero;
        const auto model = std::make_shared<const Model>(build_model(scenario.model));
        Candidate candidate = plan_strategy(scenario, model, scenario.strategies[0]);
        EventRunner runner;
        simulate_candidate(scenario, candidate, runner);
        EXPECT_FALSE(candidate.report.error) << candidate.report.error->message;
        return candidate.report.simulated.value().notes;
    };
    EXPECT_THAT(notes(3),
                testing::Contains(HasSubstr("product: profile megatron cannot run this")));
    EXPECT_THAT(notes(1), testing::IsEmpty());
}

}  // namespace
}  // namespace shardscope
