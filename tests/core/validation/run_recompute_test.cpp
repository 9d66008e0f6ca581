// What rows say of recomputation: whole blocks, some of them, modules, and words of one product.
#include "core/validation/run_recompute.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/validation/run_scenario.h"
#include "tests/support/measured_rows.h"

namespace shardscope {
namespace {

using test::full_row;
using testing::HasSubstr;

// A model of 32 blocks.
struct Row {
    const char* recompute;
    const char* note = "";
    RuntimeProfile profile = RuntimeProfile::megatron;
    int pp = 1;
    int virtual_stages = 1;
};

// "5 of 8", and behind ';' what was assumed; the message of an error.
std::string reading(const Row& row) {
    MeasuredRun run = full_row();
    run.layers = 32;
    run.recompute = row.recompute;
    run.recompute_note = row.note;
    Strategy strategy;
    strategy.profile = row.profile;
    strategy.pp = row.pp;
    strategy.virtual_stages = row.virtual_stages;
    std::vector<Assumption> assumed;
    try {
        const auto recompute = recompute_of(run, strategy, assumed);
        std::string text = recompute ? recompute_text(*recompute) : "open";
        for (const Assumption& a : assumed) {
            EXPECT_EQ(a.column, "recompute");
            text += "; " + a.value;
        }
        return text;
    } catch (const Error& error) {
        EXPECT_EQ(error.rule, "unknown-name");
        EXPECT_THAT(error.fix, HasSubstr("\"N of M layers\""));
        return error.message;
    }
}

TEST(RunRecompute, WordsOfPeople) {
    for (const char* full :
         {"full", "full AC", "yes (full)", "all layers", "uniform", "uniform 1",
          "uniform (1 layer)", "full (1 layer)", "full (all 32 layers)", "full (per block)",
          "gradient_checkpointing=True", "full, FlashAttention 2"})
        EXPECT_EQ(reading({full}), "full") << full;
    for (const char* something : {"activation recomputation", "AC", "activation checkpointing",
                                  "activation ckpt", "checkpointing", "yes", "Y", "true"})
        EXPECT_EQ(reading({something}), "full; full") << something;
    for (const char* none : {"no recompute", "no AC", "none (no AC)", "w/o", "n", "without",
                             "none (full/block/0 layers)", "gradient_checkpointing=False"})
        EXPECT_EQ(reading({none}), "none") << none;
    for (const char* selective : {"sac", "SAC", "selective", "attention", "core_attn"})
        EXPECT_EQ(reading({selective}), "selective") << selective;
    EXPECT_EQ(reading({""}), "open");
    EXPECT_EQ(reading({"unstated", "whatever fits"}), "open");
    for (const char* open : {"partial", "layers", "50%", "half", "ZeRO-R", "some"})
        EXPECT_EQ(reading({open}), "unknown recompute \"" + std::string(open) + "\"");
}

// Megatron's method "block" counts layers of every chunk; "uniform" is every layer.
TEST(RunRecompute, SomeBlocksOfEveryChunk) {
    for (const char* five : {"block 5", "full (block, 5 layers)", "full/block/5",
                             "recompute_method=block recompute_num_layers=5",
                             "--recompute-num-layers 5 --recompute-method block"}) {
        EXPECT_EQ(reading({five}), "5 of 32; 5 of 32") << five;
        EXPECT_EQ(reading({.recompute = five, .pp = 4}), "5 of 8; 5 of 8") << five;
        EXPECT_EQ(reading({.recompute = five, .pp = 2, .virtual_stages = 2}), "5 of 8; 5 of 8");
        EXPECT_EQ(reading({.recompute = five, .pp = 4, .virtual_stages = 2}), "full; full");
    }
    EXPECT_EQ(reading({"block 32"}), "full; full");
    EXPECT_EQ(reading({"full (block, 0 layers)"}), "none; none");
    EXPECT_EQ(reading({"full (uniform, 2 layers)"}), "full; full") << "keeps every second input";
    EXPECT_EQ(reading({.recompute = "3 layers per stage", .pp = 4, .virtual_stages = 2}),
              "3 of 8; 3 of 8");
    EXPECT_EQ(reading({.recompute = "1 layer of each chunk", .pp = 4, .virtual_stages = 2}),
              "every 4; every 4");
    EXPECT_EQ(reading({"full (5 layers)"}),
              "recompute \"full (5 layers)\" does not say what its layers are a part of");
}

TEST(RunRecompute, SomeBlocksOfAll) {
    EXPECT_EQ(reading({"10 of 32 layers"}), "5 of 16; 5 of 16");
    EXPECT_EQ(reading({"full (10/32 layers)"}), "5 of 16; 5 of 16");
    EXPECT_EQ(reading({"1 of every 4 blocks"}), "every 4; every 4");
    EXPECT_EQ(
        reading({.recompute = "selective (10 of 32 layers)", .profile = RuntimeProfile::fsdp}),
        "5 of 16; 5 of 16");
    EXPECT_THAT(reading({"5 of 4 layers"}), HasSubstr("has more blocks than there are"));
    EXPECT_THAT(reading({"5 of 9999999999 layers"}), HasSubstr("has more blocks"));
}

TEST(RunRecompute, TheNoteSaysWhichBlocks) {
    EXPECT_EQ(reading({"full", "block, 1 of 4 layers per chunk"}), "every 4; every 4");
    EXPECT_EQ(reading({.recompute = "yes", .note = "block, 5 layers", .pp = 4}), "5 of 8; 5 of 8");
    EXPECT_EQ(reading({"", "block, 1 of 4 layers per chunk"}), "every 4; every 4");
    EXPECT_EQ(reading({"full", "full (per block)"}), "full");
    EXPECT_EQ(reading({"none", "none (full/block/5 layers)"}), "none");
    EXPECT_EQ(reading({.recompute = "selective",
                       .note = "selective op (save every 2nd matmul + sdpa)",
                       .profile = RuntimeProfile::fsdp}),
              "every 2; every 2");
}

TEST(RunRecompute, ModulesThatAreNotModelledAreSaid) {
    EXPECT_EQ(reading({"selective (mla_up_proj, mlp, moe_act)"}),
              "none; none: recomputation of mla-up-proj, mlp, moe-act is not modelled");
    EXPECT_EQ(reading({"selective", "core_attn, moe_act"}),
              "selective; selective: recomputation of moe-act is not modelled");
    EXPECT_EQ(reading({"core_attn, mlp"}),
              "selective; selective: recomputation of mlp is not modelled");
    EXPECT_EQ(reading({"moe_act"}), "none; none: recomputation of moe-act is not modelled");
    EXPECT_EQ(reading({"selective", "as in the recipe"}), "selective");
}

// torchtitan's selective_ac_option.
TEST(RunRecompute, WordsOfTorchtitan) {
    EXPECT_EQ(reading({.recompute = "op", .profile = RuntimeProfile::fsdp}), "every 2; every 2");
    EXPECT_EQ(reading({.recompute = "2", .profile = RuntimeProfile::fsdp_compile}), "every 2");
    EXPECT_EQ(reading({.recompute = "sac", .profile = RuntimeProfile::fsdp}), "every 2; every 2");
    for (const char* word : {"op", "2"})
        EXPECT_EQ(reading({word}), "recompute \"" + std::string(word) +
                                       "\" is a word of torchtitan's, which means nothing with "
                                       "megatron");
    EXPECT_THAT(reading({.recompute = "33", .profile = RuntimeProfile::fsdp}),
                HasSubstr("no number of the model's blocks"));
}

// Chunks are those of the strategy that the row makes.
TEST(RunRecompute, GoesIntoTheScenario) {
    MeasuredRun run = full_row();  // two stages
    run.recompute = "block 1";
    const MappedRun mapped = map_run(run);
    EXPECT_EQ(mapped.scenario.strategies.at(0).recompute,
              (Recompute{Recompute::Kind::full, static_cast<int>(*run.layers / 2)}));
    EXPECT_THAT(mapped.assumed.with(0),
                testing::Contains(testing::Field(&Assumption::column, "recompute")));
}

}  // namespace
}  // namespace shardscope
