// llm-foundry's way of training with FSDP: its loss, its metrics, and its allocator near the device's limit.
#include <algorithm>

#include <gtest/gtest.h>

#include "core/lowering/profile_rules.h"
#include "core/report/evaluate.h"
#include "tests/core/profile_plans.h"

namespace shardscope {
namespace {

using test::bytes_of, test::half_precision;

constexpr std::int64_t kVocab = 4096;  // so large that the logits decide the peak

Scenario with_large_vocabulary(RuntimeProfile profile, int ranks = 2) {
    Scenario scenario = half_precision(profile, ranks);
    std::get<LlamaSpec>(scenario.model.kind).vocab = kVocab;
    scenario.strategies[0].zero = 3;
    return scenario;
}

std::int64_t logits_of(const Plan& plan) {
    return plan.layout.micro_batch * plan.model->seq * kVocab;
}

// The loss computes from 16-bit logits, whose gradient is a tensor beside them; eager PyTorch has three fp32 copies.
TEST(LlmFoundry, TheLossMakesNothingWide) {
    const Plan ours = test::lower_tiny(with_large_vocabulary(RuntimeProfile::llm_foundry));
    const Plan eager = test::lower_tiny(with_large_vocabulary(RuntimeProfile::fsdp));
    EXPECT_EQ(bytes_of(ours, "head.beside the logits").value, 2 * logits_of(ours));
    EXPECT_EQ(bytes_of(eager, "head.beside the logits").value, 0);
    EXPECT_EQ(bytes_of(eager, "head.exponentials").value, 4 * logits_of(eager));
    EXPECT_EQ(bytes_of(ours, "head.exponentials").value, 0);
}

// Cross entropy and perplexity, each from fp32 copies of its own, behind everything else of the backward pass.
TEST(LlmFoundry, MetricsAreComputedAfterTheBackwardPass) {
    const Plan plan = test::lower_tiny(with_large_vocabulary(RuntimeProfile::llm_foundry));
    const RoleProgram& role = plan.program.roles[0];
    const auto wide = [&](const Instruction& i) {
        const auto* compute = std::get_if<Compute>(&i.operation);
        const auto* copy = compute == nullptr ? nullptr : std::get_if<Copy>(&compute->kernel);
        return copy != nullptr && copy->elements == logits_of(plan);
    };
    for (const Body& body : role.bodies) {
        const auto& list = body.instructions;
        const auto found = std::ranges::count_if(list, wide);
        const bool backward = body.name.starts_with("backward");
        ASSERT_EQ(found, backward ? 2 * 2 : 0) << body.name;
        if (!backward) continue;
        const auto first = std::ranges::find_if(list, wide);
        EXPECT_FALSE(std::any_of(first, list.end(), [](const Instruction& i) {
            const auto* compute = std::get_if<Compute>(&i.operation);
            return compute != nullptr && !std::holds_alternative<Copy>(compute->kernel);
        })) << "a kernel behind the metrics";
    }
    const Plan eager = test::lower_tiny(with_large_vocabulary(RuntimeProfile::fsdp));
    EXPECT_EQ(bytes_of(eager, "head.log-probabilities").value, 4 * logits_of(eager))
        << "its loss alone";
}

// The gradients of a flat parameter's views become one tensor before the reduction, which divides it first.
TEST(LlmFoundry, JoinsGradientsBeforeTheyAreReduced) {
    const Plan plan = test::lower_tiny(with_large_vocabulary(RuntimeProfile::llm_foundry));
    const RoleProgram& role = plan.program.roles[0];
    std::int64_t joined = 0;
    for (const Unit& unit : plan.units[0]) {
        EXPECT_EQ(bytes_of(plan, "joined gradients " + unit.name).value, 2 * unit.padded);
        joined += unit.padded;
    }
    std::int64_t divided = 0;
    for (const Task& task : role.schedule)
        for (const Instruction& i : role.bodies[task.body.index()].instructions)
            if (const auto* compute = std::get_if<Compute>(&i.operation);
                compute != nullptr && i.stream == Stream::reduce)
                divided += std::get<Copy>(compute->kernel).elements;
    EXPECT_EQ(divided, plan.layout.micro_batches * joined);
    const Plan eager = test::lower_tiny(with_large_vocabulary(RuntimeProfile::fsdp));
    EXPECT_EQ(bytes_of(eager, "joined gradients").value, 0);
}

// A device with less than PyTorch would like to keep cached is not too small: free segments go back. Below what is
// allocated at once it is.
TEST(LlmFoundry, FitsWhereCachedMemoryCanBeGivenBack) {
    Scenario scenario = half_precision(RuntimeProfile::llm_foundry, 2);
    scenario.model = {"gpt",
                      GptSpec{4, 512, 8, 32'000, 512}};  // tensors with segments of their own
    scenario.training.micro_batch = 8;
    scenario.training.global_batch = 32;
    scenario.strategies[0].zero = 3;
    const auto model = std::make_shared<const Model>(build_model(scenario.model));
    const auto planned = [&](Bytes memory) {
        scenario.cluster.device.memory = memory;
        return plan_strategy(scenario, model, scenario.strategies[0], false);
    };
    const Candidate plenty = planned(Bytes(std::int64_t{1} << 40));
    const MemoryPlan& free = plenty.plan->memory[0];
    EXPECT_EQ(free.retries, 0);
    const Bytes between = Bytes((free.live_peak + free.arena).value / 2) + free.runtime;
    const Candidate tight = planned(between);
    EXPECT_EQ(tight.report.status, Status::fits);
    EXPECT_LE(tight.plan->memory[0].peak(), between);
    EXPECT_LT(tight.plan->memory[0].arena, free.arena);
    const Candidate small = planned(free.live_peak + free.runtime - Bytes(kMiB));
    EXPECT_EQ(small.report.status, Status::does_not_fit);
}

}  // namespace
}  // namespace shardscope
