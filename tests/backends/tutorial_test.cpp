// The scenarios of docs/tutorial.md: every strategy of a file trains the same model as one rank, with the
// memory that was planned, and stages have the parameters that the page says.
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/lowering/stages.h"
#include "core/scenario_io.h"
#include "core/strategy/validate.h"
#include "tests/backends/same_training.h"

namespace shardscope {
namespace {

using testing::ElementsAre;

Scenario tutorial(const std::string& name) {
    return load_scenario(SHARDSCOPE_SOURCE_DIR "/scenarios/tutorial/" + name + ".yaml", {});
}

// One strategy, on as many ranks of this process as the file's cluster has GPUs.
Scenario on_threads(const Scenario& scenario, const Strategy& strategy) {
    Scenario moved = scenario;
    moved.cluster = test::tiny_scenario(scenario.model, scenario.cluster.world_size()).cluster;
    moved.strategies = {strategy};
    return moved;
}

Strategy one_rank() {
    Strategy strategy;
    strategy.name = "reference";
    strategy.ranks = 1;
    return strategy;
}

class TutorialSlow : public testing::TestWithParam<const char*> {};

// fp32: tolerances of same_training.h, 1e-5 for the whole model and 1e-4 per tensor, because only the
// order of sums differs. Losses agree to 1e-4.
TEST_P(TutorialSlow, EveryStrategyTrainsTheSameModel) {
    const Scenario scenario = tutorial(GetParam());
    EXPECT_EQ(scenario.training.global_batch, 64);
    const test::Trained reference = test::train(on_threads(scenario, one_rank()));
    EXPECT_LT(reference.trace.losses.back(), reference.trace.losses.front() / 10);
    for (const Strategy& strategy : scenario.strategies) {
        SCOPED_TRACE(strategy.name);
        const Scenario moved = on_threads(scenario, strategy);
        const test::Trained trained = test::train(moved);
        test::expect_same_training(trained, reference, DType::fp32);
        const Plan plan = test::lower_tiny(moved);
        for (const RankTrace& rank : trained.trace.ranks)
            EXPECT_EQ(rank.memory.peak, plan.memory_of(rank.rank).peak());
    }
}

INSTANTIATE_TEST_SUITE_P(Files, TutorialSlow,
                         testing::Values("data-parallel", "pipeline", "hybrid", "zero",
                                         "sixteen-ranks"),
                         [](const auto& file) {
                             std::string name = file.param;
                             for (char& c : name) c = c == '-' ? '_' : c;
                             return name;
                         });

// Parameters that each stage of a strategy holds.
std::vector<std::int64_t> stage_parameters(const Scenario& scenario, std::size_t strategy) {
    const Model model = build_model(scenario.model);
    std::vector<std::int64_t> counts;
    for (const LayerRange& range : partition_layers(model, scenario.strategies[strategy])) {
        counts.push_back(0);
        for (std::size_t layer = range.first; layer < range.last; ++layer)
            for (const ParameterId id : model.layers[layer].parameters)
                counts.back() += model.parameters[id.index()].elements();
    }
    return counts;
}

TEST(Tutorial, StagesHaveTheParametersOfDeepSpeedsSplit) {
    EXPECT_THAT(stage_parameters(tutorial("pipeline"), 0), ElementsAre(101'770));
    EXPECT_THAT(stage_parameters(tutorial("pipeline"), 1), ElementsAre(100'480, 1'290));
    EXPECT_THAT(stage_parameters(tutorial("pipeline"), 2), ElementsAre(100'480, 1'290));
    EXPECT_THAT(stage_parameters(tutorial("hybrid"), 1), ElementsAre(100'480, 1'290));
    // Through a DeepSpeed file, whose PipelineModule divides by parameters unless told otherwise.
    EXPECT_THAT(stage_parameters(tutorial("sixteen-ranks"), 3), ElementsAre(100'480, 1'290));
}

TEST(Tutorial, SixteenRanksAreTwoNodesOfEight) {
    const Scenario scenario = tutorial("sixteen-ranks");
    EXPECT_EQ(scenario.cluster.nodes, 2);
    EXPECT_EQ(scenario.cluster.gpus_per_node, 8);
    std::vector<std::int64_t> per_rank;
    for (const Strategy& strategy : scenario.strategies)
        per_rank.push_back(layout_for(scenario, strategy).micro_batch);
    EXPECT_THAT(per_rank, ElementsAre(4, 4, 4, 8, 16));
}

TEST(Tutorial, DeepSpeedFilesAreReadAsTheyStand) {
    const Scenario scenario = tutorial("zero");
    EXPECT_EQ(scenario.training.clip, 1.0);
    EXPECT_EQ(scenario.training.optimizer.kind, OptimizerKind::adamw);
    for (std::size_t stage = 1; stage <= 3; ++stage) {
        EXPECT_EQ(scenario.strategies[stage].zero, static_cast<int>(stage));
        EXPECT_EQ(scenario.strategies[stage].bucket->value, 2'000'000'000);
        EXPECT_EQ(scenario.strategies[stage].micro_batch, 16);
    }
}

// The page's claim about buckets: with DeepSpeed's all gradients wait in one, so that stage 2 needs more
// than stage 1 on a small model; on a large one smaller buckets give it back. Of planned bytes, as on the page: what
// NCCL takes beside them on GPUs is more than such a model.
TEST(Tutorial, TheBucketDecidesWhatStage2Saves) {
    const auto peaks = [](const char* name) {
        const Scenario scenario = tutorial(name);
        const auto model = std::make_shared<Model>(build_model(scenario.model));
        std::vector<std::int64_t> bytes;
        for (const Strategy& strategy : scenario.strategies) {
            const Plan plan =
                lower(scenario, model, strategy, ExecutionTarget::of(scenario.cluster.device));
            bytes.push_back(plan.memory[0].arena.value);
        }
        return bytes;
    };
    const auto small = peaks("zero");  // ddp, 1, 2, 3
    EXPECT_LT(small[1], small[0]);
    EXPECT_GT(small[2], small[1]);
    EXPECT_LT(small[3], small[1]);
    const auto large = peaks("gpt2-xl");  // ddp, 1, 2, 2 with small buckets, 3
    EXPECT_LT(large[2], large[1]);
    EXPECT_GT(large[2] - large[3], 2'000'000'000);
}

// A new file in the folder belongs into the tests above.
TEST(Tutorial, EveryFileIsTested) {
    std::vector<std::string> names;
    for (const auto& entry :
         std::filesystem::directory_iterator(SHARDSCOPE_SOURCE_DIR "/scenarios/tutorial"))
        if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
    EXPECT_THAT(names, testing::UnorderedElementsAre("data-parallel", "pipeline", "hybrid", "zero",
                                                     "sixteen-ranks", "gpt2-xl"));
}

}  // namespace
}  // namespace shardscope
