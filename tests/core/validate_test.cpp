// Degrees and batches: what works, and what the refusal says.
#include "core/strategy/validate.h"

#include <string>

#include <gtest/gtest.h>

#include "core/error.h"

namespace shardscope {
namespace {

Scenario scenario(int ranks, std::int64_t global_batch, std::int64_t micro_batch = 0) {
    Scenario s;
    s.training.global_batch = global_batch;
    s.training.micro_batch = micro_batch;
    s.cluster.gpus_per_node = ranks;
    return s;
}

std::string refusal(const Scenario& s, const Strategy& strategy) {
    try {
        layout_for(s, strategy);
    } catch (const Error& e) {
        EXPECT_EQ(e.exit_code(), 3);
        return e.what();
    }
    return "accepted";
}

Strategy named(const std::string& name) {
    Strategy s;
    s.name = name;
    return s;
}

TEST(Layout, SplitsTheBatchOverRanksAndMicroBatches) {
    const Layout layout = layout_for(scenario(4, 32, 2), named("ddp"));
    EXPECT_EQ(layout.world, 4);
    EXPECT_EQ(layout.dp, 4);
    EXPECT_EQ(layout.micro_batch, 2);
    EXPECT_EQ(layout.micro_batches, 4);
}

TEST(Layout, AutoMicroBatchIsTheWholeShare) {
    const Layout layout = layout_for(scenario(4, 32), named("ddp"));
    EXPECT_EQ(layout.micro_batch, 8);
    EXPECT_EQ(layout.micro_batches, 1);
}

TEST(Layout, AStrategysOwnMicroBatchAndRanksWin) {
    Strategy s = named("s");
    s.ranks = 2;
    s.micro_batch = 8;
    const Layout layout = layout_for(scenario(4, 32, 2), s);
    EXPECT_EQ(layout.world, 2);
    EXPECT_EQ(layout.micro_batches, 2);
}

TEST(Layout, RefusesDegreesThatDoNotDivide) {
    Strategy s = named("s");
    s.tp = 4;
    s.pp = 3;
    EXPECT_EQ(
        refusal(scenario(16, 16), s),
        "world-size: strategy s: tp 4 × pp 3 = 12 does not divide 16 ranks; use pp 1, 2 or 4");
    s.tp = 3;
    EXPECT_EQ(refusal(scenario(16, 16), s),
              "world-size: strategy s: tp 3 × pp 3 = 9 does not divide 16 ranks; use tp 1, 2, 4, 8 "
              "or 16");
    s = named("s");
    s.dp = 3;
    EXPECT_EQ(refusal(scenario(4, 12), s),
              "world-size: strategy s: tp 1 × pp 1 × dp 3 = 3 is not the 4 ranks it runs on; use "
              "dp 4, or "
              "ranks: 3");
}

TEST(Layout, RefusesMoreRanksThanTheClusterHas) {
    Strategy s = named("s");
    s.ranks = 8;
    EXPECT_EQ(refusal(scenario(4, 8), s),
              "world-size: strategy s: 8 ranks, but the cluster has 4 (1 × 4); use ranks 4 or "
              "fewer, or a "
              "larger cluster");
}

TEST(Layout, RefusesBatchesThatDoNotDivide) {
    EXPECT_EQ(refusal(scenario(3, 32), named("s")),
              "batch: strategy s: global_batch 32 does not divide over dp 3; use global_batch 33, "
              "or dp 1, "
              "2, 4, 8 or 16");
    EXPECT_EQ(refusal(scenario(2, 32, 5), named("s")),
              "batch: strategy s: micro_batch 5 does not divide the 16 samples per rank "
              "(global_batch 32 / "
              "dp 2); use micro_batch 1, 2, 4, 8 or 16");
    EXPECT_TRUE(refusal(scenario(8, 4), named("s")).starts_with("batch: "));
    EXPECT_TRUE(refusal(scenario(1, 0), named("s")).starts_with("range: "));
}

TEST(Layout, NamesDegreesThatAreNotBuiltYet) {
    Strategy s = named("s");
    s.tp = 2;
    EXPECT_TRUE(refusal(scenario(4, 8), s).starts_with("unsupported: strategy s: tp 2"));
    s.tp = 1;
    s.pp = 4;
    EXPECT_TRUE(refusal(scenario(4, 8), s).starts_with("unsupported: strategy s: pp 4"));
}

TEST(Layout, RefusesBoundaryReductionOfShardedGradients) {
    Strategy s = named("s");
    s.zero = 2;
    s.reduce_at = ReduceAt::boundary;
    EXPECT_TRUE(refusal(scenario(4, 8), s).starts_with("reduce-at: "));
    s.zero = 1;
    EXPECT_EQ(refusal(scenario(4, 8), s), "accepted");
}

TEST(Layout, ErrorsNameTheStrategysPlace) {
    Strategy s = named("s");
    s.place = "f.yaml:7:5";
    s.ranks = 9;
    EXPECT_TRUE(refusal(scenario(4, 8), s).starts_with("world-size: f.yaml:7:5: 9 ranks"));
}

TEST(Layout, PropertyBatchArithmeticHoldsWhereAccepted) {
    for (int ranks = 1; ranks <= 9; ++ranks) {
        for (std::int64_t batch = 1; batch <= 40; ++batch) {
            for (std::int64_t micro = 0; micro <= 6; ++micro) {
                const Scenario s = scenario(ranks, batch, micro);
                const bool divides =
                    batch % ranks == 0 && (micro == 0 || batch / ranks % micro == 0);
                ASSERT_EQ(refusal(s, named("s")) == "accepted", divides);
                if (!divides) continue;
                const Layout l = layout_for(s, named("s"));
                ASSERT_EQ(l.dp * l.micro_batch * l.micro_batches, batch);
                ASSERT_EQ(l.tp * l.pp * l.dp, l.world);
            }
        }
    }
}

TEST(LayoutName, ShowsTheDegreesThatMatter) {
    Strategy s = named("s");
    EXPECT_EQ(layout_of(s, 4), "dp4");
    s.zero = 3;
    s.tp = 2;
    EXPECT_EQ(layout_of(s, 4), "dp4 tp2 zero3");
}

}  // namespace
}  // namespace shardscope
