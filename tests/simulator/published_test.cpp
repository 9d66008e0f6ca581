// Published configurations that users know, as scenarios: ours beside the published figures.
#include <cmath>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/report/evaluate.h"
#include "core/report/published_comparison.h"
#include "core/scenario_io.h"
#include "simulator/event_runner.h"

namespace shardscope {
namespace {

Report simulated_report(const std::string& file) {
    Report report;
    report.scenario = load_scenario(SHARDSCOPE_SOURCE_DIR "/scenarios/" + file, {});
    const auto model = std::make_shared<const Model>(build_model(report.scenario.model));
    for (const Strategy& strategy : report.scenario.strategies) {
        Candidate candidate = plan_strategy(report.scenario, model, strategy);
        EventRunner runner;
        simulate_candidate(report.scenario, candidate, runner);
        report.strategies.push_back(std::move(candidate.report));
    }
    return report;
}

// 2 + 2 + K bytes per parameter with K = 12, of which ZeRO divides K, then 2 + K, then all by 64. Shards
// are rounded up, which is less than 1e-6 of them.
TEST(ZeroPaper, ItsTableInItsDigits) {
    const Report report = simulated_report("published/zero-7.5b.yaml");
    const Model model = build_model(report.scenario.model);
    const auto parameters = static_cast<double>(model.parameter_count());
    EXPECT_EQ(model.parameter_count(), 7'500'170'240);
    const double per_parameter[] = {16, 4 + 12 / 64.0, 2 + 14 / 64.0, 16 / 64.0};
    const auto comparisons = compare_published(report);
    ASSERT_EQ(comparisons.size(), 4u);
    for (std::size_t i = 0; i < 4; ++i) {
        ASSERT_TRUE(comparisons[i].ours);
        const double ours = *comparisons[i].ours, expected = parameters * per_parameter[i] / 1e9;
        EXPECT_NEAR(ours, expected, 1e-6 * expected) << comparisons[i].figure.strategy;
        // In the digits of the paper.
        const double published = comparisons[i].figure.value;
        EXPECT_EQ(fmt::format("{:.3g}", ours), fmt::format("{:.3g}", published));
    }
}

class PublishedScenarioSlow : public testing::TestWithParam<const char*> {};

// A wide bound, for what no constant is fitted to: that the scenario is the published one.
TEST_P(PublishedScenarioSlow, OursIsNear) {
    const auto comparisons = compare_published(simulated_report(GetParam()));
    EXPECT_FALSE(comparisons.empty());
    for (const PublishedComparison& comparison : comparisons) {
        ASSERT_TRUE(comparison.difference) << comparison.figure.strategy;
        EXPECT_LT(std::abs(*comparison.difference), 0.3) << comparison.figure.strategy;
    }
}

INSTANTIATE_TEST_SUITE_P(Shipped, PublishedScenarioSlow,
                         testing::Values("published/megatron-175b.yaml",
                                         "published/megatron-1t.yaml", "published/bloom-176b.yaml",
                                         "published/mt-nlg-530b.yaml",
                                         "published/llama-3-405b.yaml"),
                         [](const auto& tested) {
                             std::string name = tested.param;
                             for (char& c : name)
                                 if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
                             return name;
                         });

}  // namespace
}  // namespace shardscope
