// What runtime profiles change in the Program: every profile's plans are sound, and each rule is seen.
#include <algorithm>

#include <gtest/gtest.h>

#include "core/program/check.h"
#include "core/program/check_progress.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

template <class Matches>
std::int64_t count(const RoleProgram& role, Matches matches) {
    std::int64_t found = 0;
    for (const Task& task : role.schedule)
        for (const Instruction& i : role.bodies[task.body.index()].instructions)
            found += matches(i) ? 1 : 0;
    return found;
}

auto collective(CollectiveKind kind, Stream stream) {
    return [=](const Instruction& i) {
        const auto* c = std::get_if<Collective>(&i.operation);
        return c != nullptr && c->kind == kind && i.stream == stream;
    };
}

auto linear_in(Phase phase) {
    return [=](const Instruction& i) {
        const auto* c = std::get_if<Compute>(&i.operation);
        return c != nullptr && i.phase == phase && std::holds_alternative<Linear>(c->kernel);
    };
}

Plan plan_of(const ModelSpec& model, int ranks, const Strategy& strategy) {
    Scenario scenario = test::tiny_scenario(model, ranks);
    scenario.training.micro_batch = 2;
    const std::string name = scenario.strategies[0].name;
    scenario.strategies[0] = strategy;
    scenario.strategies[0].name = name;
    return test::lower_tiny(scenario);
}

TEST(Profiles, EveryPlanIsSound) {
    for (const RuntimeProfile profile : kRuntimeProfiles)
        for (const ModelSpec& model : test::tiny_models())
            for (const int zero : {0, 1, 2, 3})
                for (const int pp : {1, 2}) {
                    Strategy s;
                    s.zero = zero;
                    s.pp = pp;
                    s.bucket = Bytes(4000);
                    s.profile = profile;
                    s.recompute.kind = Recompute::Kind::full;
                    const Plan plan = plan_of(model, 4, s);
                    SCOPED_TRACE(std::string(name_of(profile)) + " " +
                                 layout_of(s, plan.layout.dp));
                    std::vector<MemoryPlan> arenas;
                    for (const RoleProgram& role : plan.program.roles)
                        arenas.push_back(plan_memory(role, Bytes(0)));
                    EXPECT_NO_THROW(check_program(plan.program, arenas));
                    EXPECT_NO_THROW(check_progress(plan.program, Host::issues));
                }
}

// DeepSpeed's stages 1 and 2 all-reduce, its stage 3 and ours reduce-scatter.
TEST(Profiles, DeepSpeedShardsByAllReduce) {
    for (const int zero : {1, 2, 3}) {
        Strategy s;
        s.zero = zero;
        const auto reductions = [&](RuntimeProfile profile, CollectiveKind kind) {
            set_profile(s, profile);
            const Plan plan = plan_of(test::tiny_models().back(), 2, s);
            return count(plan.program.roles[0], collective(kind, Stream::reduce));
        };
        using enum CollectiveKind;
        EXPECT_EQ(reductions(RuntimeProfile::shardscope, all_reduce), 0);
        EXPECT_GT(reductions(RuntimeProfile::shardscope, reduce_scatter), 0);
        EXPECT_EQ(reductions(RuntimeProfile::deepspeed, reduce_scatter) > 0, zero == 3);
        EXPECT_EQ(reductions(RuntimeProfile::deepspeed, all_reduce) > 0, zero < 3);
    }
}

TEST(Profiles, ProductsRecomputeWholeBlocks) {
    Strategy s;
    s.recompute.kind = Recompute::Kind::full;
    const auto shapes = [&](RuntimeProfile profile) {
        s.profile = profile;
        const Plan plan = plan_of(test::tiny_models().back(), 1, s);
        return std::pair(count(plan.program.roles[0], linear_in(Phase::forward)),
                         count(plan.program.roles[0], linear_in(Phase::recompute)));
    };
    const auto ours = shapes(RuntimeProfile::shardscope);
    const auto theirs = shapes(RuntimeProfile::megatron);
    EXPECT_EQ(ours.first, theirs.first);
    EXPECT_LT(ours.second, theirs.second);
    // All linear layers of the blocks, but not the classifier's, once per micro-batch.
    EXPECT_LT(theirs.second, theirs.first);
}

// Reductions that do not overlap come behind the last kernel of the backward pass.
TEST(Profiles, MegatronReducesAfterTheBackwardPass) {
    for (const RuntimeProfile profile : {RuntimeProfile::shardscope, RuntimeProfile::megatron}) {
        Strategy s;
        s.bucket = Bytes(1);
        s.profile = profile;
        const Plan plan = plan_of(test::tiny_models().back(), 2, s);
        const RoleProgram& role = plan.program.roles[0];
        const auto reduces = [](const Instruction& i) { return i.stream == Stream::reduce; };
        const auto body = std::ranges::find_if(role.bodies, [&](const Body& b) {
            return b.name.starts_with("backward") && std::ranges::any_of(b.instructions, reduces);
        });
        ASSERT_NE(body, role.bodies.end());
        std::ptrdiff_t last_kernel = 0, first_reduction = -1;
        for (std::ptrdiff_t i = 0; i < std::ssize(body->instructions); ++i) {
            const Instruction& instruction = body->instructions[static_cast<std::size_t>(i)];
            if (std::holds_alternative<Compute>(instruction.operation)) last_kernel = i;
            if (first_reduction < 0 && instruction.stream == Stream::reduce) first_reduction = i;
        }
        EXPECT_EQ(first_reduction > last_kernel, profile == RuntimeProfile::megatron)
            << name_of(profile);
    }
}

// What DeepSpeed's optimizers hold beside parameters, gradients and states (stage_1_and_2.py,
// bf16_optimizer.py): with 16-bit gradients a flat copy of the rank's share and its fp32 copy while it
// steps; with fp32 gradients autograd's own in 16 bits, all the time.
TEST(Profiles, DeepSpeedKeepsMoreGradients) {
    const auto bytes = [](const Plan& plan, std::string_view what) {
        Bytes sum;
        for (const Buffer& buffer : plan.program.roles[0].buffers)
            if (buffer.name.starts_with(what)) sum += buffer.size();
        return sum;
    };
    Scenario scenario = test::tiny_scenario(test::tiny_models().back(), 2);
    scenario.training.precision = DType::bf16;
    Strategy& s = scenario.strategies[0];
    s.zero = 1;
    set_profile(s, RuntimeProfile::megatron_deepspeed);
    const Plan fp32 = test::lower_tiny(scenario);  // BF16_Optimizer's default
    const Bytes parameters = bytes(fp32, "parameters ");
    EXPECT_EQ(bytes(fp32, "gradients ").value, 2 * parameters.value);
    EXPECT_EQ(bytes(fp32, "narrow gradients "), parameters);
    EXPECT_EQ(bytes(fp32, "wide gradients "), Bytes(0));
    scenario.training.gradient_dtype = DType::bf16;
    const Plan bf16 = test::lower_tiny(scenario);
    EXPECT_EQ(bytes(bf16, "narrow gradients "), Bytes(0));
    EXPECT_EQ(2 * bytes(bf16, "flat gradients ").value, parameters.value) << "of two ranks";
    EXPECT_EQ(bytes(bf16, "wide gradients "), parameters);
    EXPECT_GT(bytes(bf16, "copied "), Bytes(0)) << "what is reduced is a copy";
    set_profile(s, RuntimeProfile::shardscope);
    const Plan ours = test::lower_tiny(scenario);
    for (const char* what : {"narrow gradients ", "flat gradients ", "wide gradients ", "copied "})
        EXPECT_EQ(bytes(ours, what), Bytes(0)) << what;
}

TEST(Profiles, BucketsGoWithTheProfileUnlessTheyWereChosen) {
    Strategy s;
    set_profile(s, RuntimeProfile::deepspeed);
    EXPECT_EQ(s.bucket.value, 1'000'000'000);
    set_profile(s, RuntimeProfile::shardscope);
    EXPECT_EQ(s.bucket, Strategy{}.bucket);
    s.bucket = Bytes(123);
    set_profile(s, RuntimeProfile::megatron);
    EXPECT_EQ(s.bucket.value, 123);
}

// Reserved ≥ allocated ≥ what is live, and close to each other where buffers are large.
TEST(Profiles, MemoryIsAllocatedAndReserved) {
    for (const int zero : {0, 1, 2, 3})
        for (const int pp : {1, 2}) {
            Strategy s;
            s.zero = zero;
            s.pp = pp;
            s.profile = RuntimeProfile::fsdp;
            const Plan plan = plan_of(test::tiny_models().back(), 4, s);
            for (std::size_t role = 0; role < plan.memory.size(); ++role) {
                const MemoryPlan& memory = plan.memory[role];
                const MemoryPlan arena = plan_memory(plan.program.roles[role], Bytes(0));
                EXPECT_TRUE(memory.caching);
                EXPECT_GE(memory.arena, memory.live_peak);
                // The planner counts frames of other micro-batches as a whole, the allocator does not.
                EXPECT_GE(memory.live_peak.value, 0.8 * static_cast<double>(arena.live_peak.value));
                Bytes sum;
                for (const Bytes bytes : memory.categories) sum += bytes;
                EXPECT_EQ(sum, memory.peak());
            }
        }
}

}  // namespace
}  // namespace shardscope
