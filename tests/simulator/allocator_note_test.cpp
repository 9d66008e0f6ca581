// What a result says where a product's memory is nearly full.
#include <algorithm>

#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "core/report/evaluate.h"
#include "simulator/event_runner.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

// 760 million parameters over eight A100 of 80 GB, as llm-foundry trains them.
StrategyReport simulated(std::int64_t micro_batch) {
    Scenario scenario = test::tiny_scenario({"gpt", GptSpec{24, 1536, 12, 50'368, 2048}}, 8);
    scenario.cluster = catalogue_cluster("a100-80gb");
    scenario.training.precision = DType::bf16;
    scenario.training.gradient_dtype = DType::fp32;
    scenario.training.global_batch = 384;
    Strategy& strategy = scenario.strategies[0];
    set_profile(strategy, RuntimeProfile::llm_foundry);
    strategy.zero = 3;
    strategy.dp = 8;
    strategy.micro_batch = micro_batch;
    const auto model = std::make_shared<const Model>(build_model(scenario.model));
    Candidate candidate = plan_strategy(scenario, model, strategy);
    EventRunner runner;
    simulate_candidate(scenario, candidate, runner);
    return std::move(candidate.report);
}

TEST(AllocatorNote, IsGivenWhereMemoryHasToBeGivenBack) {
    const auto notes = [](const StrategyReport& report) {
        EXPECT_EQ(report.status, Status::fits);
        return std::ranges::count_if(report.simulated->notes, [](const std::string& note) {
            return note.find("memory is nearly full") != std::string::npos;
        });
    };
    EXPECT_EQ(notes(simulated(24)), 1);
    EXPECT_EQ(notes(simulated(6)), 0);
}

}  // namespace
}  // namespace shardscope
