// The scenarios that come with the program, lowered and simulated: what must hold for any plan.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/scenario_io.h"
#include "simulator/event_runner.h"
#include "tests/simulator/first_strategy.h"
#include "tests/support/repository.h"

namespace shardscope {
namespace {

class SimulatedScenario : public ::testing::TestWithParam<const char*> {
protected:
    Scenario scenario_ =
        load_scenario(std::string(SHARDSCOPE_SOURCE_DIR "/scenarios/") + GetParam() + ".yaml", {});
    std::shared_ptr<const Model> model_ = std::make_shared<Model>(build_model(scenario_.model));

    Plan plan_of(const Strategy& strategy) const {
        return lower(scenario_, model_, strategy, ExecutionTarget::of(scenario_.cluster.device));
    }
    Trace run(const Plan& plan, bool record_spans = false) const {
        RunOptions options;
        options.record_spans = record_spans;
        return EventRunner().run(scenario_, plan, options);
    }
};

TEST_P(SimulatedScenario, PartsSumToTheStepAndSpansAgree) {
    for (const Strategy& strategy : scenario_.strategies) {
        const Plan plan = plan_of(strategy);
        const StepTime time = run(plan).ranks[0].steps[0];
        const double wall = time.wall.value;
        EXPECT_GT(time.compute.value, 0) << strategy.name;
        EXPECT_GT(time.optimizer.value, 0) << strategy.name;
        const Seconds sum =
            time.compute + time.exposed_communication + time.bubble + time.optimizer;
        EXPECT_NEAR(sum.value, wall, 1e-9 * wall) << strategy.name;
        const Trace recorded = run(plan, true);
        const StepTime cut_time = cut(recorded.ranks[0].spans, recorded.ranks[0].steps[0].wall);
        EXPECT_NEAR(cut_time.wall.value, wall, 1e-9 * wall) << strategy.name;
        EXPECT_NEAR(cut_time.compute.value, time.compute.value, 1e-9 * wall) << strategy.name;
        EXPECT_NEAR(cut_time.exposed_communication.value, time.exposed_communication.value,
                    1e-9 * wall)
            << strategy.name;
    }
}

TEST_P(SimulatedScenario, MemoryIsThePlans) {
    for (const Strategy& strategy : scenario_.strategies) {
        const Plan plan = plan_of(strategy);
        const MemoryUse memory = run(plan).ranks[0].memory;
        EXPECT_EQ(memory.peak, plan.memory[0].peak());
        Bytes sum;
        for (const Bytes bytes : memory.categories) sum += bytes;
        EXPECT_EQ(sum, memory.peak);
    }
}

TEST_P(SimulatedScenario, SlowerLinksAreNeverFaster) {
    for (const Strategy& strategy : scenario_.strategies) {
        const Plan plan = plan_of(strategy);
        double last = 0;
        for (const double factor : {4.0, 1.0, 0.5, 0.1, 0.01}) {
            Scenario changed = scenario_;
            changed.cluster.intra_node.bandwidth.value *= factor;
            changed.cluster.inter_node.bandwidth.value *= factor;
            const double wall = EventRunner().run(changed, plan, {}).ranks[0].steps[0].wall.value;
            EXPECT_GE(wall, last) << strategy.name << ", factor " << factor;
            last = wall;
        }
    }
}

// docs/tutorial.md says that what it prints is real: its table of the bubble, µs of stage 0.
TEST(TutorialScenario, TheBubblesTableIsWhatIsSimulated) {
    const std::string page = test::repository_file("docs/tutorial.md");
    const Scenario scenario =
        load_scenario(SHARDSCOPE_SOURCE_DIR "/scenarios/tutorial/pipeline.yaml", {});
    for (const Strategy& strategy : scenario.strategies) {
        Scenario one = scenario;
        one.strategies = {strategy};
        const StepTime t = test::first_step(one);
        const std::string row = fmt::format(
            "| {} | {:.1f} | {:.1f} | {:.1f} | {:.1f} |", strategy.name, t.wall.value * 1e6,
            t.compute.value * 1e6, t.bubble.value * 1e6, t.optimizer.value * 1e6);
        EXPECT_NE(page.find(row), std::string::npos) << row;
    }
    const Model model = build_model(scenario.model);
    EXPECT_NE(page.find(fmt::format("{:.4g} GFLOP", model.training_flops_per_sample().value / 1e9)),
              std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Shipped, SimulatedScenario,
                         ::testing::Values("gpt2-h100", "llama-3-8b-zero3-1024", "llama-3-8b-128k",
                                           "llama-3-8b-offload", "llama-3-70b-zero-plus-plus",
                                           "gpt-13b-zero-bubble"),
                         [](const auto& tested) {
                             std::string name = tested.param;
                             for (char& c : name) c = c == '-' ? '_' : c;
                             return name;
                         });

}  // namespace
}  // namespace shardscope
