// What DeepSpeed's profiles change in the Program.
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "core/lowering/profile_rules.h"
#include "tests/core/profile_plans.h"

namespace shardscope {
namespace {

using test::bytes_of, test::collective, test::count_instructions, test::half_precision,
    test::plan_of;

// DeepSpeed's stages 1 and 2 all-reduce, its stage 3 and ours reduce-scatter.
TEST(DeepSpeedProfiles, ShardByAllReduce) {
    for (const int zero : {1, 2, 3}) {
        Strategy s;
        s.zero = zero;
        const auto reductions = [&](RuntimeProfile profile, CollectiveKind kind) {
            set_profile(s, profile);
            const Plan plan = plan_of(test::tiny_models().back(), 2, s);
            return count_instructions(plan.program.roles[0], collective(kind, Stream::reduce));
        };
        using enum CollectiveKind;
        EXPECT_EQ(reductions(RuntimeProfile::shardscope, all_reduce), 0);
        EXPECT_GT(reductions(RuntimeProfile::shardscope, reduce_scatter), 0);
        EXPECT_EQ(reductions(RuntimeProfile::deepspeed, reduce_scatter) > 0, zero == 3);
        EXPECT_EQ(reductions(RuntimeProfile::deepspeed, all_reduce) > 0, zero < 3);
    }
}

// BF16_Optimizer's gradients are fp32, and all of a stage's are summed at once as a copy in 16 bits; what tensor-parallel
// ranks have in common is summed in fp32.
TEST(DeepSpeedProfiles, SumWideGradientsIn16Bits) {
    for (const int zero : {0, 1}) {
        Scenario scenario = half_precision(RuntimeProfile::megatron_deepspeed, 8);
        Strategy& s = scenario.strategies[0];
        s.zero = zero;
        s.tp = s.pp = 2;
        s.sequence_parallel = true;
        s.bucket = Bytes(4000);
        const auto sums = [&](const Plan& plan, GroupId group) {
            std::map<DType, std::int64_t> elements;
            count_instructions(plan.program.roles[0], [&](const Instruction& i) {
                if (collective(CollectiveKind::all_reduce, Stream::reduce)(i)) {
                    const auto& c = std::get<Collective>(i.operation);
                    if (c.group == group) elements[c.dtype] += c.elements;
                }
                return false;
            });
            return elements;
        };
        const Plan plan = test::lower_tiny(scenario);
        EXPECT_NO_THROW(test::check_plan(plan));
        std::int64_t elements = 0;
        for (const Unit& unit : plan.units[0]) elements += unit.padded;
        const GroupId replicas = plan.units[0].front().group;
        using Elements = std::map<DType, std::int64_t>;
        EXPECT_EQ(sums(plan, replicas), (Elements{{DType::bf16, elements}}));
        EXPECT_EQ(bytes_of(plan, "copied "), Bytes(2 * elements));
        const GroupId tensor = plan.units[0].front().shared.front().group;
        EXPECT_TRUE(sums(plan, tensor).contains(DType::fp32));
        EXPECT_FALSE(sums(plan, tensor).contains(DType::bf16));

        // Negative control: gradients that are kept in 16 bits are summed bucket by bucket.
        s.zero = zero;
        scenario.training.gradient_dtype = DType::bf16;
        const Plan narrow = test::lower_tiny(scenario);
        EXPECT_GT(narrow.units[0].size(), plan.units[0].size());
        EXPECT_EQ(sums(narrow, replicas), (Elements{{DType::bf16, elements}}));
    }
}

// Blocks of 201 million elements: between a block's use in the forward pass and its next one lie those behind it,
// twice, three times where they are computed again.
TEST(DeepSpeedProfiles, KeepWhatIsUsedSoonAgain) {
    const auto gathers = [](const ModelSpec& model, RuntimeProfile profile, Recompute::Kind kind) {
        Strategy s;
        s.zero = 3;
        s.recompute.kind = kind;
        set_profile(s, profile);
        const Plan plan = plan_of(model, 2, s);
        EXPECT_NO_THROW(test::check_plan(plan));
        const auto in = [&](Phase phase) {
            return count_instructions(plan.program.roles[0], [&](const Instruction& i) {
                return i.phase == phase &&
                       collective(CollectiveKind::all_gather, Stream::gather)(i);
            });
        };
        const std::int64_t backward = in(Phase::backward);
        EXPECT_GT(in(Phase::forward), 0);
        return backward / plan.layout.micro_batches;
    };
    using enum Recompute::Kind;
    constexpr auto kOurs = RuntimeProfile::shardscope, kDeepSpeed = RuntimeProfile::deepspeed;
    // All of a small model stays.
    EXPECT_GT(gathers(test::tiny_gpt(), kOurs, none), 0);
    EXPECT_EQ(gathers(test::tiny_gpt(), kDeepSpeed, none), 0);

    ModelSpec model = test::tiny_gpt();
    auto& gpt = std::get<GptSpec>(model.kind);
    gpt.layers = 8;
    gpt.hidden = 4096;
    gpt.heads = 32;
    gpt.ffn = 4 * gpt.hidden;
    EXPECT_EQ(gathers(model, kOurs, none), 8);
    EXPECT_EQ(gathers(model, kDeepSpeed, none), 8 - 3);
    EXPECT_EQ(gathers(model, kDeepSpeed, full), 8 - 2);
}

// DeepSpeed's stage 3 of 2021: a call per weight of more than 100,000 elements (the others go with the unit's
// buffer), nothing gathered ahead, and no kernel beside a reduction.
TEST(DeepSpeedProfiles, Of2021GatherWeightByWeight) {
    ModelSpec model = test::tiny_gpt();
    std::get<GptSpec>(model.kind).hidden = 240;  // 240 · 960 > 100,000 > 240 · 240
    std::get<GptSpec>(model.kind).ffn = 960;
    Strategy s;
    s.zero = 3;
    const auto block_lists = [&](RuntimeProfile profile) {
        set_profile(s, profile);
        const Plan plan = plan_of(model, 2, s);
        std::set<int> lists;
        count_instructions(plan.program.roles[0], [&](const Instruction& i) {
            const auto* c = std::get_if<Collective>(&i.operation);
            if (c != nullptr && c->kind != CollectiveKind::all_reduce) lists.insert(c->lists);
            return false;
        });
        return lists;
    };
    EXPECT_EQ(block_lists(RuntimeProfile::deepspeed), (std::set<int>{0}));
    // Embeddings and the last norm: one. Blocks: Wqkv, up and down.
    EXPECT_EQ(block_lists(RuntimeProfile::deepspeed_2021), (std::set<int>{1, 3}));
    EXPECT_EQ(as_executed(s).prefetch, 0);
    s.profile = RuntimeProfile::deepspeed;
    EXPECT_EQ(as_executed(s).prefetch, 1);
    s.profile = RuntimeProfile::deepspeed_2021;

    const Plan plan = plan_of(model, 2, s);
    const RoleProgram& role = plan.program.roles[0];
    for (const Body& body : role.bodies) {
        bool reducing = false;
        for (const Instruction& i : body.instructions) {
            if (collective(CollectiveKind::reduce_scatter, Stream::reduce)(i)) reducing = true;
            if (std::holds_alternative<WaitEvent>(i.operation) && i.stream == Stream::compute)
                reducing = false;
            if (i.stream == Stream::compute && std::holds_alternative<Compute>(i.operation)) {
                EXPECT_FALSE(reducing) << body.name;
            }
        }
    }
}

}  // namespace
}  // namespace shardscope
