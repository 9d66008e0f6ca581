// How layers are divided over pipeline stages, and in which order a stage works.
#include "core/lowering/stages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/model/model_source.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::size_t> sizes(const Model& model, const Strategy& strategy) {
    std::vector<std::size_t> result;
    std::size_t next = 0;
    for (const LayerRange& range : partition_layers(model, strategy)) {
        EXPECT_EQ(range.first, next) << "chunks follow each other";
        EXPECT_LT(range.first, range.last) << "no chunk is empty";
        result.push_back(range.last - range.first);
        next = range.last;
    }
    EXPECT_EQ(next, model.layers.size());
    return result;
}

Strategy stages(int pp, Partition::Kind kind = Partition::Kind::blocks) {
    Strategy s;
    s.name = "test";
    s.pp = pp;
    s.partition.kind = kind;
    return s;
}

// Embedding, 6 blocks, head.
TEST(Partition, BlocksAreDividedEvenlyAndTheRestGoesAlong) {
    const Model model = build_model(test::deep_gpt());
    EXPECT_THAT(sizes(model, stages(1)), ElementsAre(8));
    EXPECT_THAT(sizes(model, stages(2)), ElementsAre(4, 4));
    EXPECT_THAT(sizes(model, stages(3)), ElementsAre(3, 2, 3));
    EXPECT_THAT(sizes(model, stages(6)), ElementsAre(2, 1, 1, 1, 1, 2));
}

TEST(Partition, WhereBlocksDoNotDivideEmbeddingAndHeadCountAsLayers) {
    const Model model = build_model(test::deep_gpt());
    EXPECT_THAT(sizes(model, stages(4)), ElementsAre(2, 2, 2, 2));
    EXPECT_THAT(sizes(model, stages(5)), ElementsAre(1, 1, 2, 2, 2));
    EXPECT_THAT(sizes(model, stages(8)), ElementsAre(1, 1, 1, 1, 1, 1, 1, 1));
}

// Llama 3 405B has 126 blocks, so that embedding and head make them 128 (Llama 3's report, section 3.3.2).
TEST(Partition, Of126BlocksOn16StagesOf8Chunks) {
    LlamaSpec spec;
    spec.layers = 126;
    spec.hidden = spec.ffn = spec.vocab = 8;
    spec.heads = spec.kv_heads = 2;
    spec.seq = 4;
    const Model model = build_model({"llama", spec});
    Strategy strategy = stages(16);
    EXPECT_THAT(sizes(model, strategy), Each(8)) << "the first and the last have 7 blocks";
    strategy.virtual_stages = 8;
    EXPECT_THAT(sizes(model, strategy), Each(1)) << "embedding and head have a chunk of their own";
}

TEST(Partition, OtherMeasures) {
    const Model model = build_model(test::deep_gpt());
    EXPECT_THAT(sizes(model, stages(3, Partition::Kind::uniform)), ElementsAre(2, 3, 3));
    // The embedding has 1,584 parameters, a block 7,224, the head 48 and a copy of the embedding's 1,200.
    EXPECT_THAT(sizes(model, stages(3, Partition::Kind::parameters)), ElementsAre(3, 2, 3));
    // GPT-2's table weighs as much as five and a half blocks, on both stages.
    EXPECT_THAT(
        sizes(build_model(catalogue_model("gpt2-124m")), stages(2, Partition::Kind::parameters)),
        ElementsAre(7, 7));
    Strategy s = stages(2, Partition::Kind::pattern);
    s.partition.pattern = "blocks\\.[45]";
    EXPECT_THAT(sizes(model, s), ElementsAre(6, 2));
    s.partition = {Partition::Kind::counts, "", {7, 1}};
    EXPECT_THAT(sizes(model, s), ElementsAre(7, 1));
}

void expect_partition_refused(const Strategy& strategy, const char* text) {
    try {
        partition_layers(build_model(test::deep_gpt()), strategy);
        ADD_FAILURE() << "not refused";
    } catch (const Error& e) {
        EXPECT_EQ(e.rule, "partition");
        EXPECT_THAT(e.message, HasSubstr(text));
        EXPECT_FALSE(e.fix.empty());
    }
}

TEST(Partition, RefusesWhatCannotBe) {
    expect_partition_refused(stages(9), "9 chunks, but the model has 8 layers");
    Strategy s = stages(2, Partition::Kind::pattern);
    s.partition.pattern = "conv";
    expect_partition_refused(s, "no layer's name matches \"conv\"");
    // Trying one way of matching after the other would take longer than the universe has stood.
    s.partition.pattern = "(.*.*.*.*)*(a|a|aa)*x";
    expect_partition_refused(s, "no layer's name matches");
    s.partition = {Partition::Kind::counts, "", {4, 5}};
    expect_partition_refused(s, "9 layers together, the model has 8");
}

std::string text(const std::vector<StageTask>& tasks) {
    std::string result;
    for (const StageTask& t : tasks) {
        result += "FBIW"[static_cast<int>(t.kind)];
        if (t.chunk > 0) result += std::string(static_cast<std::size_t>(t.chunk), '\'');
        result += std::to_string(t.micro_batch) + " ";
    }
    return result;
}

TEST(StageSchedule, IsThePapersOne) {
    Strategy s = stages(3);
    EXPECT_EQ(text(stage_schedule(s, 0, 3, 4)), "F0 F1 F2 B0 F3 B1 B2 B3 ");
    EXPECT_EQ(text(stage_schedule(s, 2, 3, 4)), "F0 B0 F1 B1 F2 B2 F3 B3 ");
    s.schedule = Schedule::gpipe;
    EXPECT_EQ(text(stage_schedule(s, 1, 3, 2)), "F0 F1 B0 B1 ");
    s.schedule = Schedule::zero_bubble;
    EXPECT_EQ(text(stage_schedule(s, 0, 3, 3)), "F0 F1 F2 I0 W0 I1 W1 I2 W2 ");
    EXPECT_EQ(text(stage_schedule(s, 2, 3, 4)), "F0 I0 F1 I1 F2 I2 W0 F3 I3 W1 W2 W3 ");
}

TEST(StageSchedule, InterleavesInRoundsOfStages) {
    Strategy s = stages(2);
    s.virtual_stages = 2;
    EXPECT_EQ(text(stage_schedule(s, 1, 2, 4)),
              "F0 F1 F'0 B'0 F'1 B'1 F2 B0 F3 B1 F'2 B'2 F'3 B'3 B2 B3 ");
    EXPECT_EQ(text(stage_schedule(s, 1, 2, 3)), "F0 F1 F'0 B'0 F'1 B'1 F2 B0 B1 F'2 B'2 B2 ")
        << "micro-batch 3 is left out";
}

// Down the stages and up again: the turn is on the last stage, the model's ends are on the first.
TEST(StageChunks, LieRoundRobinOrInAV) {
    Strategy s = stages(3);
    s.virtual_stages = 2;
    EXPECT_EQ(chunks_of_stage(s, 0), (std::vector{0, 3}));
    EXPECT_EQ(chunks_of_stage(s, 2), (std::vector{2, 5}));
    s.virtual_stages = 1;
    s.schedule = Schedule::zero_bubble_v;
    EXPECT_EQ(chunks_of_stage(s, 0), (std::vector{0, 5}));
    EXPECT_EQ(chunks_of_stage(s, 1), (std::vector{1, 4}));
    EXPECT_EQ(chunks_of_stage(s, 2), (std::vector{2, 3}));
    for (int chunk = 0; chunk < 6; ++chunk)
        EXPECT_EQ(stage_of_chunk(s, chunk), std::min(chunk, 5 - chunk));
}

TEST(StageSchedule, GoesThroughAV) {
    Strategy s = stages(2);
    s.schedule = Schedule::zero_bubble_v;
    EXPECT_EQ(text(stage_schedule(s, 0, 2, 3)),
              "F0 F1 F2 F'0 I'0 W'0 F'1 I'1 W'1 I0 W0 F'2 I'2 W'2 I1 W1 I2 W2 ");
    EXPECT_EQ(text(stage_schedule(s, 1, 2, 3)),
              "F0 F'0 F1 F'1 I'0 W'0 F2 I0 W0 F'2 I'1 W'1 I1 I'2 I2 W1 W'2 W2 ");
}

// Chunks whose activations are kept, from their forward to their weight gradients: of 2p of them each is half of
// a stage, so that it is what 1F1B's first stage keeps (Qi et al. 2024, section 6).
TEST(StageSchedule, VKeepsTwiceAsManyHalfChunksAsStages) {
    for (int p = 2; p <= 8; ++p)
        for (const int m : {1, p, 2 * p - 1, 5 * p})
            for (int stage = 0; stage < p; ++stage) {
                Strategy s = stages(p);
                s.schedule = Schedule::zero_bubble_v;
                int kept = 0, most = 0;
                for (const StageTask& t : stage_schedule(s, stage, p, m)) {
                    if (t.kind == StageTask::Kind::forward) most = std::max(most, ++kept);
                    if (t.kind == StageTask::Kind::weight_gradient) --kept;
                }
                EXPECT_EQ(kept, 0);
                if (m >= 2 * p - 1)
                    EXPECT_EQ(most, 2 * p) << p << " stages, stage " << stage;
                else
                    EXPECT_LE(most, 2 * std::min(p, m)) << p << " stages, stage " << stage;
            }
}

TEST(StageSchedule, EveryMicroBatchGoesThroughEveryChunkOnce) {
    for (const Schedule schedule :
         {Schedule::gpipe, Schedule::one_f_one_b, Schedule::zero_bubble, Schedule::zero_bubble_v})
        for (int p = 1; p <= 5; ++p)
            for (int m = 1; m <= 11; ++m) {
                Strategy s = stages(p);
                s.schedule = schedule;
                s.virtual_stages = schedule == Schedule::one_f_one_b && p > 1 ? 3 : 1;
                std::map<std::pair<int, int>, std::string> seen;
                for (int stage = 0; stage < p; ++stage) {
                    seen.clear();
                    for (const StageTask& t : stage_schedule(s, stage, p, m))
                        seen[{t.chunk, t.micro_batch}] += "FBIW"[static_cast<int>(t.kind)];
                    EXPECT_EQ(seen.size(), static_cast<std::size_t>(s.chunks_per_stage() * m));
                    const bool parted = p > 1 && (schedule == Schedule::zero_bubble ||
                                                  schedule == Schedule::zero_bubble_v);
                    for (const auto& [key, order] : seen) EXPECT_EQ(order, parted ? "FIW" : "FB");
                }
            }
}

}  // namespace
}  // namespace shardscope
