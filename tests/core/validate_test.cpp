// Degrees and batches: what works, and what the refusal says.
#include "core/strategy/validate.h"

#include <string>

#include <gtest/gtest.h>

#include "core/error.h"

namespace shardscope {
namespace {

Scenario scenario_with_batch(int ranks, std::int64_t global_batch, std::int64_t micro_batch = 0) {
    Scenario s;
    s.training.global_batch = global_batch;
    s.training.micro_batch = micro_batch;
    s.cluster.gpus_per_node = ranks;
    return s;
}

std::string layout_refusal(const Scenario& s, const Strategy& strategy) {
    try {
        layout_for(s, strategy);
    } catch (const Error& e) {
        EXPECT_EQ(e.exit_code(), 3);
        return e.what();
    }
    return "accepted";
}

Strategy strategy_named(const std::string& name) {
    Strategy s;
    s.name = name;
    return s;
}

TEST(Layout, SplitsTheBatchOverRanksAndMicroBatches) {
    const Layout layout = layout_for(scenario_with_batch(4, 32, 2), strategy_named("ddp"));
    EXPECT_EQ(layout.world, 4);
    EXPECT_EQ(layout.dp, 4);
    EXPECT_EQ(layout.micro_batch, 2);
    EXPECT_EQ(layout.micro_batches, 4);
}

TEST(Layout, AutoMicroBatchIsTheWholeShare) {
    const Layout layout = layout_for(scenario_with_batch(4, 32), strategy_named("ddp"));
    EXPECT_EQ(layout.micro_batch, 8);
    EXPECT_EQ(layout.micro_batches, 1);
}

TEST(Layout, AStrategysOwnMicroBatchAndRanksWin) {
    Strategy s = strategy_named("s");
    s.ranks = 2;
    s.micro_batch = 8;
    const Layout layout = layout_for(scenario_with_batch(4, 32, 2), s);
    EXPECT_EQ(layout.world, 2);
    EXPECT_EQ(layout.micro_batches, 2);
}

TEST(Layout, RefusesDegreesThatDoNotDivide) {
    Strategy s = strategy_named("s");
    s.tp = 4;
    s.pp = 3;
    EXPECT_EQ(
        layout_refusal(scenario_with_batch(16, 16), s),
        "world-size: strategy s: tp 4 × pp 3 = 12 does not divide 16 ranks; use pp 1, 2 or 4");
    s.tp = 3;
    EXPECT_EQ(layout_refusal(scenario_with_batch(16, 16), s),
              "world-size: strategy s: tp 3 × pp 3 = 9 does not divide 16 ranks; use tp 1, 2, 4, 8 "
              "or 16 with pp 1, or other degrees whose product divides 16");
    s.pp = 2;
    EXPECT_EQ(layout_refusal(scenario_with_batch(8, 16), s),
              "world-size: strategy s: tp 3 × pp 2 = 6 does not divide 8 ranks; use tp 1, 2 or 4")
        << "not 8: with pp 2 that would be 16";
    s = strategy_named("s");
    s.dp = 3;
    EXPECT_EQ(layout_refusal(scenario_with_batch(4, 12), s),
              "world-size: strategy s: tp 1 × pp 1 × dp 3 = 3 is not the 4 ranks it runs on; use "
              "dp 4, or "
              "ranks: 3");
}

TEST(Layout, RefusesMoreRanksThanTheClusterHas) {
    Strategy s = strategy_named("s");
    s.ranks = 8;
    EXPECT_EQ(layout_refusal(scenario_with_batch(4, 8), s),
              "world-size: strategy s: 8 ranks, but the cluster has 4 (1 × 4); use ranks 4 or "
              "fewer, or a "
              "larger cluster");
}

TEST(Layout, RefusesBatchesThatDoNotDivide) {
    EXPECT_EQ(layout_refusal(scenario_with_batch(3, 32), strategy_named("s")),
              "batch: strategy s: global_batch 32 does not divide over dp 3; use global_batch 33, "
              "or ranks: 2 (dp 2)");
    EXPECT_EQ(layout_refusal(scenario_with_batch(2, 32, 5), strategy_named("s")),
              "batch: strategy s: micro_batch 5 does not divide the 16 samples per rank "
              "(global_batch 32 / "
              "dp 2); use micro_batch 1, 2, 4, 8 or 16");
    EXPECT_TRUE(
        layout_refusal(scenario_with_batch(8, 4), strategy_named("s")).starts_with("batch: "));
    EXPECT_TRUE(
        layout_refusal(scenario_with_batch(1, 0), strategy_named("s")).starts_with("range: "));
}

TEST(Layout, DividesRanksAmongAllDegrees) {
    Strategy s = strategy_named("s");
    s.tp = 2;
    s.pp = 4;
    s.virtual_stages = 3;
    const Layout layout = layout_for(scenario_with_batch(16, 8, 1), s);
    EXPECT_EQ(layout.dp, 2);
    EXPECT_EQ(layout.micro_batches, 4);
    EXPECT_EQ(layout.virtual_stages, 3);
    EXPECT_EQ(layout.chunks(), 12);
}

TEST(Layout, PipelinesTakeAnyNumberOfMicroBatches) {
    for (const Schedule schedule :
         {Schedule::gpipe, Schedule::one_f_one_b, Schedule::zero_bubble, Schedule::zero_bubble_v}) {
        for (const int pp : {1, 2, 4}) {
            for (const std::int64_t batch : {1, 3, 4, 9}) {
                Strategy s = strategy_named("s");
                s.pp = pp;
                s.schedule = schedule;
                EXPECT_EQ(layout_for(scenario_with_batch(pp, batch, 1), s).micro_batches, batch);
            }
        }
    }
}

TEST(Layout, RefusesSequenceParallelismWithoutTensorParallelism) {
    Strategy s = strategy_named("s");
    s.sequence_parallel = true;
    EXPECT_EQ(layout_refusal(scenario_with_batch(4, 8), s),
              "sequence-parallel: strategy s: sequence_parallel with tp 1: it divides rows among "
              "the ranks of a tensor-parallel group; use tp 2 or more, or sequence_parallel: "
              "false");
    s.tp = 2;
    EXPECT_EQ(layout_refusal(scenario_with_batch(4, 8), s), "accepted");
}

TEST(Layout, OnlyOneForwardOneBackwardInterleaves) {
    Strategy s = strategy_named("s");
    s.virtual_stages = 2;
    EXPECT_EQ(layout_refusal(scenario_with_batch(4, 8), s),
              "virtual-stages: strategy s: virtual_stages 2 with pp 1: one stage has nothing to "
              "interleave; use pp 2 or more, or virtual_stages 1");
    s.pp = 2;
    EXPECT_EQ(layout_refusal(scenario_with_batch(4, 8), s), "accepted");
    s.schedule = Schedule::gpipe;
    EXPECT_EQ(layout_refusal(scenario_with_batch(4, 8), s),
              "virtual-stages: strategy s: virtual_stages 2 with schedule gpipe: only 1f1b "
              "interleaves model chunks; use schedule 1f1b, or virtual_stages 1");
    s.schedule = Schedule::zero_bubble;
    EXPECT_TRUE(layout_refusal(scenario_with_batch(4, 8), s).starts_with("virtual-stages: "));
    s.schedule = Schedule::zero_bubble_v;
    EXPECT_EQ(
        layout_refusal(scenario_with_batch(4, 8), s),
        "virtual-stages: strategy s: virtual_stages 2 with schedule zb-v: only 1f1b "
        "interleaves model chunks, zb-v always has two; use schedule 1f1b, or virtual_stages 1");
    s.virtual_stages = 0;
    EXPECT_TRUE(layout_refusal(scenario_with_batch(4, 8), s).starts_with("range: "));
}

TEST(Layout, APartitionHasOneCountPerChunk) {
    Strategy s = strategy_named("s");
    s.pp = 2;
    s.virtual_stages = 2;
    s.partition.kind = Partition::Kind::counts;
    s.partition.counts = {3, 2, 1};
    EXPECT_EQ(layout_refusal(scenario_with_batch(4, 8), s),
              "partition: strategy s: partition lists 3 chunks of layers, but there are pp 2 × "
              "virtual_stages 2 = 4; list 4 counts, or use partition: blocks");
    s.partition.counts = {3, 2, 1, 0};
    EXPECT_EQ(layout_refusal(scenario_with_batch(4, 8), s),
              "partition: strategy s: partition has a chunk of 0 layers; give every chunk 1 layer "
              "or more");
    s.partition.counts = {3, 2, 1, 1};
    EXPECT_EQ(layout_refusal(scenario_with_batch(4, 8), s), "accepted");
}

TEST(Layout, RefusesPatternsAndIntervalsThatMeanNothing) {
    Strategy s = strategy_named("s");
    s.partition.kind = Partition::Kind::pattern;
    s.partition.pattern = "blocks.(";
    const std::string text = layout_refusal(scenario_with_batch(4, 8), s);
    EXPECT_TRUE(text.starts_with("pattern: strategy s: partition pattern is not a regular"))
        << text;
    s.partition.pattern = "^blocks";
    EXPECT_EQ(layout_refusal(scenario_with_batch(4, 8), s), "accepted");
    s.recompute.every = 0;
    EXPECT_TRUE(layout_refusal(scenario_with_batch(4, 8), s)
                    .starts_with("range: strategy s: recompute every is 0"));
    s.recompute = {Recompute::Kind::full, 2, 3};
    EXPECT_TRUE(layout_refusal(scenario_with_batch(4, 8), s)
                    .starts_with("range: strategy s: recompute 3 blocks of every 2"));
}

TEST(Layout, RefusesBoundaryReductionOfShardedGradients) {
    Strategy s = strategy_named("s");
    s.zero = 2;
    s.reduce_at = ReduceAt::boundary;
    EXPECT_TRUE(layout_refusal(scenario_with_batch(4, 8), s).starts_with("reduce-at: "));
    s.zero = 1;
    EXPECT_EQ(layout_refusal(scenario_with_batch(4, 8), s), "accepted");
}

TEST(Layout, ErrorsNameTheStrategysPlace) {
    Strategy s = strategy_named("s");
    s.place = "f.yaml:7:5";
    s.ranks = 9;
    EXPECT_TRUE(layout_refusal(scenario_with_batch(4, 8), s)
                    .starts_with("world-size: f.yaml:7:5: 9 ranks"));
}

TEST(Layout, PropertyBatchArithmeticHoldsWhereAccepted) {
    for (int ranks = 1; ranks <= 9; ++ranks) {
        for (std::int64_t batch = 1; batch <= 40; ++batch) {
            for (std::int64_t micro = 0; micro <= 6; ++micro) {
                const Scenario s = scenario_with_batch(ranks, batch, micro);
                const bool divides =
                    batch % ranks == 0 && (micro == 0 || batch / ranks % micro == 0);
                ASSERT_EQ(layout_refusal(s, strategy_named("s")) == "accepted", divides);
                if (!divides) continue;
                const Layout l = layout_for(s, strategy_named("s"));
                ASSERT_EQ(l.dp * l.micro_batch * l.micro_batches, batch);
                ASSERT_EQ(l.tp * l.pp * l.dp, l.world);
            }
        }
    }
}

TEST(LayoutName, ShowsTheDegreesThatMatter) {
    Strategy s = strategy_named("s");
    EXPECT_EQ(layout_of(s, 4), "dp4");
    s.zero = 3;
    s.tp = 2;
    EXPECT_EQ(layout_of(s, 4), "tp2 dp4 zero3");
    s.pp = 4;
    s.zero = 1;
    s.recompute.kind = Recompute::Kind::full;
    EXPECT_EQ(layout_of(s, 8), "tp2 pp4 dp8 zero1 1f1b, recompute full");
    s.sequence_parallel = true;
    s.virtual_stages = 2;
    s.recompute.every = 3;
    s.attention = AttentionKind::unfused;
    EXPECT_EQ(layout_of(s, 8),
              "tp2 sp pp4 dp8 zero1 1f1b v2, unfused attention, recompute every 3");
}

TEST(LayoutName, SchedulesOfOneStageStayUnsaid) {
    Strategy s = strategy_named("s");
    s.schedule = Schedule::gpipe;
    EXPECT_EQ(layout_of(s, 4), "dp4");
}

}  // namespace
}  // namespace shardscope
