// Ranks of several threads: the same training to the last bit, and the memory that was planned.
#include <gtest/gtest.h>

#include "tests/support/training.h"

namespace shardscope {
namespace {

using test::Trained;

// Wide enough that every multiply is divided: 512 rows of 64 per micro-batch.
Scenario scenario(DType precision, int ranks, int threads) {
    ModelSpec model = test::tiny_gpt();
    auto& gpt = std::get<GptSpec>(model.kind);
    gpt.layers = 2;
    gpt.hidden = 64;
    gpt.heads = 4;
    gpt.vocab = 96;
    gpt.seq = 64;
    Scenario s = test::tiny_scenario(model, ranks);
    s.training.global_batch = 8 * ranks;
    s.training.micro_batch = 8;
    s.training.steps = 4;
    s.training.precision = precision;
    s.training.clip = 0.5;
    s.cluster.device.threads = threads;
    return s;
}

TEST(Threads, TrainTheSameModelToTheBit) {
    for (const DType precision : {DType::fp32, DType::fp64, DType::bf16}) {
        SCOPED_TRACE(name_of(precision));
        const Trained alone = test::train(scenario(precision, 1, 1));
        for (const int threads : {2, 3}) {
            const Trained divided = test::train(scenario(precision, 1, threads));
            EXPECT_EQ(divided.trace.losses, alone.trace.losses);
            EXPECT_EQ(divided.trace.gradient_norms, alone.trace.gradient_norms);
            EXPECT_EQ(divided.gradients, alone.gradients);
            EXPECT_EQ(divided.parameters, alone.parameters);
        }
    }
}

TEST(Threads, OfSeveralRanksAreTheRanksOwn) {
    Scenario one = scenario(DType::fp32, 2, 1), two = scenario(DType::fp32, 2, 2);
    one.strategies[0].zero = two.strategies[0].zero = 3;
    const Trained alone = test::train(one), divided = test::train(two);
    EXPECT_EQ(divided.trace.losses, alone.trace.losses);
    EXPECT_EQ(divided.parameters, alone.parameters);
}

TEST(Threads, TakeTheMemoryThatWasPlanned) {
    const Scenario s = scenario(DType::fp32, 1, 3);
    const Plan plan = test::lower_tiny(s);
    const MemoryUse use = test::memory_of_second_run(s);
    EXPECT_EQ(use.peak, plan.memory[0].peak());
    EXPECT_EQ(use.categories, plan.memory[0].categories);
    // Every thread packs the panels of its multiplies in a heap of its own, which keeps what it grew to.
    EXPECT_LE(use.outside_plan.value, 3 * (2 << 20));
    // Attention's score tiles are there once per thread.
    const Plan alone = test::lower_tiny(scenario(DType::fp32, 1, 1));
    const auto tiles = [](const Plan& of) {
        std::int64_t elements = 0;
        for (const Buffer& b : of.program.roles[0].buffers)
            if (b.name.find("attention.tile") != std::string::npos) elements += b.elements;
        return elements;
    };
    EXPECT_GT(tiles(alone), 0);
    EXPECT_EQ(tiles(plan), 3 * tiles(alone));
}

TEST(Threads, TheReportSaysThatTheyShareCores) {
    const Trained trained = test::train(scenario(DType::fp32, 1, 700));
    ASSERT_FALSE(trained.trace.notes.empty());
    EXPECT_NE(trained.trace.notes.front().find("1 rank of 700 threads share"), std::string::npos);
}

}  // namespace
}  // namespace shardscope
