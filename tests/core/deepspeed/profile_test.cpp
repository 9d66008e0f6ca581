// What DeepSpeed's profiles change in the Program.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

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

Plan sharded(const ModelSpec& model, RuntimeProfile profile,
             Recompute::Kind recompute = Recompute::Kind::none, int zero = 3) {
    Strategy s;
    s.zero = zero;
    s.recompute.kind = recompute;
    set_profile(s, profile);
    Plan plan = plan_of(model, 2, s);
    EXPECT_NO_THROW(test::check_plan(plan));
    return plan;
}

// Blocks of 12 · hidden² elements, and heads of 128.
ModelSpec gpt_of(std::int64_t layers, std::int64_t hidden) {
    ModelSpec model = test::tiny_gpt();
    auto& gpt = std::get<GptSpec>(model.kind);
    gpt.layers = layers;
    gpt.hidden = hidden;
    gpt.heads = hidden / 128;
    gpt.ffn = 4 * hidden;
    return model;
}

// Blocks of 201 million elements: between a block's use in the forward pass and its next one lie those behind it,
// twice, three times where they are computed again.
TEST(DeepSpeedProfiles, KeepWhatIsUsedSoonAgain) {
    const auto gathers = [](const ModelSpec& model, RuntimeProfile profile, Recompute::Kind kind) {
        const Plan plan = sharded(model, profile, kind);
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
    EXPECT_GT(gathers(gpt_of(2, 512), kOurs, none), 0);
    EXPECT_EQ(gathers(gpt_of(2, 512), kDeepSpeed, none), 0);

    const ModelSpec model = gpt_of(8, 4096);
    EXPECT_EQ(gathers(model, kOurs, none), 8);
    EXPECT_EQ(gathers(model, kDeepSpeed, none), 8 - 3);
    EXPECT_EQ(gathers(model, kDeepSpeed, full), 8 - 2);
}

// Blocks of 806 million elements, computed again: between a weight's second forward use and its gradient lie the
// weights behind it, twice. Those of the down projection are next, those of the up projection 2 · 268 million
// elements away; of the attention's output more than 10⁹: it and Wqkv are gathered a third time.
TEST(DeepSpeedProfiles, GatherAgainWhatIsUsedMuchLater) {
    // Of a block.
    const auto gathered = [](std::int64_t hidden, RuntimeProfile profile, Recompute::Kind kind) {
        const Plan plan = sharded(gpt_of(4, hidden), profile, kind);
        std::map<Phase, std::int64_t> most;  // of a body
        for (const Body& body : plan.program.roles[0].bodies) {
            std::map<Phase, std::int64_t> elements;
            for (const Instruction& i : body.instructions)
                if (collective(CollectiveKind::all_gather, Stream::gather)(i) && i.layer == 2)
                    elements[i.phase] += std::get<Collective>(i.operation).elements;
            for (const auto& [phase, sum] : elements) most[phase] = std::max(most[phase], sum);
        }
        return most;
    };
    using enum Recompute::Kind;
    constexpr std::int64_t kHidden = 8192, kSquare = kHidden * kHidden;
    const auto again = [&](RuntimeProfile profile, Recompute::Kind kind) {
        auto elements = gathered(kHidden, profile, kind);
        EXPECT_GE(elements[Phase::forward], 12 * kSquare);
        return elements[Phase::recompute];
    };
    for (const auto profile : {RuntimeProfile::deepspeed, RuntimeProfile::deepspeed_2021}) {
        EXPECT_EQ(again(profile, full), 4 * kSquare);
        EXPECT_EQ(again(profile, none), 0) << "negative control: every weight is used once";
    }
    EXPECT_EQ(again(RuntimeProfile::fsdp, full), 0);
    // Blocks half as wide are a quarter as large.
    EXPECT_EQ(gathered(kHidden / 2, RuntimeProfile::deepspeed, full)[Phase::recompute], 0);
}

// Norms and biases are whole on every rank: not gathered by layers, but once after the step; their gradients and
// states are sharded.
TEST(DeepSpeedProfiles, KeepSmallParametersWhole) {
    ModelSpec model = test::tiny_gpt();
    auto& gpt = std::get<GptSpec>(model.kind);
    gpt.hidden = 256;  // 256 · 1024 > 100,000 > 256 · 256
    gpt.ffn = 1024;
    const auto persistent = [&](RuntimeProfile profile, int zero = 3) {
        const Plan plan = sharded(model, profile, Recompute::Kind::none, zero);
        std::set<ParameterId> found;
        for (const Unit& unit : plan.units[0]) {
            if (!unit.persistent) continue;
            for (const auto& entry : unit.entries) found.insert(entry.parameter);
            EXPECT_EQ(plan.zero_of(unit), 2);
            EXPECT_EQ(bytes_of(plan, "parameters " + unit.name), Bytes(4 * unit.padded));
            EXPECT_EQ(bytes_of(plan, "gradients " + unit.name), Bytes(4 * unit.shard));
            EXPECT_EQ(bytes_of(plan, "state1 " + unit.name), Bytes(4 * unit.shard));
            EXPECT_EQ(bytes_of(plan, "gathered " + unit.name), Bytes(0));
        }
        const std::int64_t after =
            count_instructions(plan.program.roles[0], [](const Instruction& i) {
                return i.phase == Phase::optimizer &&
                       collective(CollectiveKind::all_gather, Stream::gather)(i);
            });
        if (zero == 3) {
            EXPECT_EQ(after, found.empty() ? 0 : 1);
        }
        for (std::size_t p = 0; p < plan.model->parameters.size() && !found.empty(); ++p)
            EXPECT_EQ(found.contains(ParameterId(p)),
                      plan.model->parameters[p].elements() <= 100'000)
                << plan.model->parameters[p].name;
        return found.size();
    };
    EXPECT_GT(persistent(RuntimeProfile::deepspeed), 0u);
    EXPECT_GT(persistent(RuntimeProfile::deepspeed_2021), 0u);
    EXPECT_EQ(persistent(RuntimeProfile::shardscope), 0u) << "negative control";
    EXPECT_EQ(persistent(RuntimeProfile::deepspeed, 2), 0u) << "negative control";
}

// DeepSpeed's stage 3 of 2021: a call per tensor, each of a list of the ranks' parts, and no kernel beside a
// reduction. What every rank has whole comes in one call.
TEST(DeepSpeedProfiles, Of2021GatherWeightByWeight) {
    ModelSpec model = test::tiny_gpt();
    std::get<GptSpec>(model.kind).hidden = 240;  // 240 · 960 > 100,000 > 240 · 240
    std::get<GptSpec>(model.kind).ffn = 960;
    const auto calls = [&](RuntimeProfile profile) {
        const Plan plan = sharded(model, profile);
        std::set<std::pair<int, bool>> found;  // calls, of lists
        count_instructions(plan.program.roles[0], [&](const Instruction& i) {
            const auto* c = std::get_if<Collective>(&i.operation);
            if (c != nullptr && c->kind != CollectiveKind::all_reduce)
                found.insert({c->calls, c->lists});
            return false;
        });
        return found;
    };
    const Plan plan = sharded(model, RuntimeProfile::deepspeed_2021);
    const auto small = static_cast<int>(std::ranges::count_if(
        plan.model->parameters, [](const Parameter& p) { return p.elements() <= 100'000; }));
    using Calls = std::set<std::pair<int, bool>>;
    EXPECT_EQ(calls(RuntimeProfile::deepspeed), (Calls{{1, false}}));
    // Blocks: Wqkv, up and down. Small tensors: gathered after the step, and reduced each by itself.
    EXPECT_EQ(calls(RuntimeProfile::deepspeed_2021), (Calls{{3, true}, {1, true}, {small, true}}));

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
