// What stands for what a row does not say of how it was trained, where that depends on the rest of the row.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/validation/run_scenario.h"
#include "tests/support/measured_rows.h"

namespace shardscope {
namespace {

using test::full_row;
using testing::Contains;
using testing::ElementsAre;

std::string value_of(const std::vector<Assumption>& assumed, std::string_view column) {
    for (const Assumption& a : assumed)
        if (a.column == column) return a.value;
    return "none";
}

// "zero 1, 2 samples, full"
std::vector<std::string> strategies_of(const MeasuredRun& run) {
    std::vector<std::string> texts;
    for (const Strategy& s : map_run(run).scenario.strategies)
        texts.push_back("zero " + std::to_string(s.zero) + ", " + std::to_string(*s.micro_batch) +
                        " samples, " + recompute_text(s.recompute));
    return texts;
}

TEST(RunChoices, MemoryDecidesWhatIsOpen) {
    MeasuredRun run = full_row();
    run.micro_batch.reset();
    run.recompute = "unstated";
    run.framework = "shardscope";
    // 16 samples per rank, and each of the two stages has one micro-batch at least.
    EXPECT_THAT(
        strategies_of(run),
        ElementsAre("zero 0, 8 samples, none", "zero 0, 4 samples, none", "zero 0, 2 samples, none",
                    "zero 0, 1 samples, none", "zero 0, 8 samples, full", "zero 0, 4 samples, full",
                    "zero 0, 2 samples, full", "zero 0, 1 samples, full"));
    const auto last = map_run(run).assumed.with(7);
    EXPECT_EQ(value_of(last, "micro_batch"), "1");
    EXPECT_EQ(value_of(last, "recompute"), "full");
}

// "sp, every 4": what saves memory, in the order in which it is tried.
std::vector<std::string> savings_of(const MeasuredRun& run) {
    std::vector<std::string> texts;
    const MappedRun mapped = map_run(run);
    for (std::size_t i = 0; i < mapped.scenario.strategies.size(); ++i) {
        const Strategy& s = mapped.scenario.strategies[i];
        texts.push_back((s.sequence_parallel ? "sp, " : "") + recompute_text(s.recompute));
        if (!run.sequence_parallel && s.tp > 1) {
            EXPECT_EQ(value_of(mapped.assumed.with(i), "sequence_parallel"),
                      s.sequence_parallel ? "1" : "0");
        }
        if (run.recompute.empty()) {
            EXPECT_EQ(value_of(mapped.assumed.with(i), "recompute"), recompute_text(s.recompute));
        }
    }
    return texts;
}

TEST(RunChoices, MegatronSavesAPartBeforeItRecomputesEverything) {
    MeasuredRun run = full_row();
    run.recompute = "";
    run.layers = 16;  // eight of a stage
    EXPECT_THAT(savings_of(run),
                ElementsAre("none", "every 8", "every 4", "every 2", "3 of 4", "full"));
    run.sequence_parallel.reset();
    EXPECT_THAT(savings_of(run), ElementsAre("none", "sp, none", "sp, every 8", "sp, every 4",
                                             "sp, every 2", "sp, 3 of 4", "sp, full"));
    run.attention = "unfused";
    EXPECT_EQ(savings_of(run)[2], "sp, selective") << "which keeps no probabilities";
    run.recompute = "none";
    EXPECT_THAT(savings_of(run), ElementsAre("none")) << "nothing is open";
}

// Megatron recomputes so many layers of every chunk, so that no stage does more than another.
TEST(RunChoices, SharesOfBlocksAreThoseOfAChunk) {
    const auto of = [](std::int64_t layers, std::int64_t chunks) {
        MeasuredRun run = full_row();
        run.recompute = "";
        run.layers = layers;
        run.schedule = "interleaved-1f1b";
        run.virtual_stages = chunks;
        return savings_of(run);
    };
    EXPECT_THAT(of(20, 2), ElementsAre("none", "every 5", "2 of 5", "3 of 5", "4 of 5", "full"));
    EXPECT_THAT(of(12, 2), ElementsAre("none", "every 3", "2 of 3", "full"));
    EXPECT_THAT(of(8, 2), ElementsAre("none", "every 2", "full"));
    EXPECT_THAT(of(4, 2), ElementsAre("none", "full")) << "a chunk is one layer";
}

TEST(RunChoices, OtherProductsSaveWhatTheyCan) {
    const auto of = [](const char* framework) {
        MeasuredRun run = full_row();
        run.framework = framework;
        run.recompute = "";
        run.tp = run.pp = 1;
        run.dp = run.gpus;
        run.zero_stage = 3;
        run.layers = 15;
        return savings_of(run);
    };
    EXPECT_THAT(of("torchtitan"), ElementsAre("none", "every 8", "every 4", "every 2", "full"));
    EXPECT_THAT(of("deepspeed"), ElementsAre("none", "full"));
    EXPECT_THAT(of("HF Accelerate FSDP"), ElementsAre("none", "full"));
}

// What ran out of memory is not what fits, but what one tries first.
TEST(RunChoices, OfARunThatRanOutOfMemoryTheFirst) {
    MeasuredRun run = full_row();
    run.step_time_s.reset();
    run.out_of_memory = true;
    EXPECT_TRUE(map_run(run).assumed.with(0).empty()) << "nothing is open";
    run.micro_batch.reset();
    run.zero_stage.reset();
    run.recompute = "";
    EXPECT_THAT(strategies_of(run), ElementsAre("zero 0, 8 samples, none"));
    const auto assumed = map_run(run).assumed.with(0);
    EXPECT_EQ(value_of(assumed, "micro_batch"), "8");
    EXPECT_EQ(value_of(assumed, "zero_stage"), "0");
    EXPECT_EQ(value_of(assumed, "out_of_memory"),
              "what is open is as one tries it first, whether it fits or not");
}

// Optimizer states are sharded before anything is recomputed.
TEST(RunChoices, AnOpenStageIsZeroThenOne) {
    MeasuredRun run = full_row();
    run.zero_stage.reset();
    EXPECT_THAT(strategies_of(run),
                ElementsAre("zero 0, 2 samples, none", "zero 1, 2 samples, none"));
    EXPECT_EQ(value_of(map_run(run).assumed.with(0), "zero_stage"), "0");
    EXPECT_EQ(value_of(map_run(run).assumed.with(1), "zero_stage"), "1");
    run.recompute = "full";
    EXPECT_THAT(strategies_of(run),
                ElementsAre("zero 0, 2 samples, full", "zero 1, 2 samples, full"));
    run.recompute = "";
    for (const char* framework : {"deepspeed", "megatron-deepspeed", "deepspeed-2021"}) {
        run.framework = framework;
        EXPECT_THAT(strategies_of(run),
                    ElementsAre("zero 0, 2 samples, none", "zero 1, 2 samples, none",
                                "zero 1, 2 samples, full"))
            << framework;
    }
    run.framework = "megatron";
    run.assumptions = "overlap_param_gather";
    EXPECT_EQ(strategies_of(run).front(), "zero 1, 2 samples, none")
        << "only the distributed optimizer has it";
}

// Its engine brings no tensor parallelism, and its pipelines take other models.
TEST(RunChoices, DeepSpeedShardsMoreInPlaceOfDividingLayers) {
    MeasuredRun run = full_row();
    run.tp.reset();
    run.pp.reset();
    run.dp.reset();
    run.zero_stage.reset();
    run.recompute = "";
    const auto degrees = [&](const char* framework) {
        run.framework = framework;
        std::vector<std::string> texts;
        for (const Strategy& s : map_run(run).scenario.strategies) {
            EXPECT_EQ(s.tp * s.pp, 1) << framework;
            texts.push_back(std::to_string(s.zero) + " " + recompute_text(s.recompute));
        }
        return texts;
    };
    EXPECT_THAT(degrees("deepspeed"),
                ElementsAre("0 none", "1 none", "2 none", "3 none", "3 full"));
    EXPECT_THAT(degrees("DeepSpeed ZeRO-1"), ElementsAre("1 none", "1 full"));
    EXPECT_THAT(degrees("ZeRO-3"), ElementsAre("3 none", "3 full"));
    EXPECT_THAT(degrees("Megatron-DeepSpeed ZeRO-2"), ElementsAre("2 none", "2 full"));
    run.zero_stage = 3;
    EXPECT_THAT(degrees("megatron-deepspeed"), ElementsAre("3 none", "3 full"));
    run.zero_stage = 1;
    run.framework = "megatron-deepspeed";
    EXPECT_GT(map_run(run).scenario.strategies.back().tp, 1) << "which has Megatron's layers";
    run.framework = "deepspeed";
    run.dp = 8;
    EXPECT_EQ(map_run(run).scenario.strategies.front().tp, 2)
        << "there are fewer replicas than GPUs";
}

TEST(RunChoices, StagesAreTriedWithEveryMicroBatch) {
    MeasuredRun run = full_row();
    run.zero_stage.reset();
    run.recompute = "";
    run.micro_batch.reset();
    run.global_batch = 16;
    run.framework = "megatron-deepspeed";
    EXPECT_THAT(strategies_of(run),
                ElementsAre("zero 0, 2 samples, none", "zero 0, 1 samples, none",
                            "zero 1, 2 samples, none", "zero 1, 1 samples, none",
                            "zero 1, 2 samples, full", "zero 1, 1 samples, full"));
}

TEST(RunChoices, TheStageIsNotOpenWhereNothingCanBeShardedOrTheProductHasOne) {
    MeasuredRun run = full_row();
    run.zero_stage.reset();
    for (const auto& [framework, zero] :
         {std::pair{"shardscope", 0}, {"megatron-2021", 0}, {"fsdp2", 3}, {"ddp", 0}}) {
        run.framework = framework;
        EXPECT_THAT(strategies_of(run),
                    ElementsAre("zero " + std::to_string(zero) + ", 2 samples, none"))
            << framework;
    }
    run.framework = "megatron";
    run.gpus = 4;
    run.dp = 1;
    EXPECT_THAT(strategies_of(run), ElementsAre("zero 0, 2 samples, none"))
        << "there are no replicas";
}

TEST(RunChoices, InterleavedStagesHaveTheFewestChunksThatDivideTheirLayers) {
    const auto chunks = [](std::int64_t layers, std::int64_t pp) {
        MeasuredRun run = full_row();
        run.layers = layers;
        run.gpus = pp * 8;
        run.pp = pp;
        run.tp = 8;
        run.dp = 1;
        run.schedule = "interleaved-1f1b";
        run.virtual_stages.reset();
        const MappedRun mapped = map_run(run);
        const int assumed = mapped.scenario.strategies.at(0).virtual_stages;
        EXPECT_EQ(value_of(mapped.assumed.with(0), "virtual_stages"), std::to_string(assumed));
        return assumed;
    };
    EXPECT_EQ(chunks(8, 2), 2);
    EXPECT_EQ(chunks(105, 35), 3);
    EXPECT_EQ(chunks(80, 16), 5);
    EXPECT_EQ(chunks(126, 6), 3);
    EXPECT_EQ(chunks(32, 32), 1) << "one layer is one chunk";
    EXPECT_EQ(chunks(126, 8), 2) << "uneven anyway";
    EXPECT_EQ(chunks(32, 20), 1) << "fewer layers than 40 chunks";
}

TEST(RunChoices, ChunksAreThoseOfTheStrategysStages) {
    MeasuredRun run = full_row();
    run.layers = 12;
    run.gpus = 64;
    run.schedule = "interleaved-1f1b";
    run.virtual_stages.reset();
    run.tp.reset();
    run.pp.reset();
    run.dp.reset();
    const MappedRun mapped = map_run(run);
    std::vector<std::string> chunks;
    for (std::size_t i = 0; i < mapped.scenario.strategies.size(); ++i)
        chunks.push_back(std::to_string(mapped.scenario.strategies[i].pp) + ": " +
                         value_of(mapped.assumed.with(i), "virtual_stages"));
    // Tensor-parallel ranks first; then 6, 3 and one or two layers per stage.
    EXPECT_THAT(chunks,
                ElementsAre("1: none", "1: none", "1: none", "1: none", "2: 2", "4: 3", "8: 1"));
}

TEST(RunChoices, AttentionBeforeFlashAttentionIsUnfused) {
    const auto attention = [](const char* gpu, const char* framework, const char* source = "",
                              std::int64_t cp = 1) {
        MeasuredRun run = full_row();
        run.gpu = gpu;
        run.gpu_memory_gb.reset();
        run.framework = framework;
        run.source = source;
        run.precision = "";
        run.grad_dtype = "";
        run.attention = "";
        run.cp = cp;
        run.dp = 4 / cp;
        const MappedRun mapped = map_run(run);
        const bool unfused = mapped.scenario.strategies.at(0).attention == AttentionKind::unfused;
        const std::string assumed = value_of(mapped.assumed.with(0), "attention");
        EXPECT_EQ(assumed, unfused ? "unfused" : "flash");
        return assumed;
    };
    EXPECT_EQ(attention("A100", "megatron"), "flash");
    EXPECT_EQ(attention("A100", "megatron-deepspeed", "2021"), "flash");
    EXPECT_EQ(attention("V100", "megatron"), "unfused");
    EXPECT_EQ(attention("V100", "megatron", "", 2), "flash") << "which context parallelism needs";
    EXPECT_EQ(attention("A100", "megatron", "SC21"), "unfused");
    EXPECT_EQ(attention("A100", "deepspeed-2021"), "unfused");
    MeasuredRun stated = full_row();
    stated.framework = "megatron-2021";
    stated.attention = "flash";
    EXPECT_EQ(map_run(stated).scenario.strategies[0].attention, AttentionKind::flash);
}

TEST(RunChoices, NodesOfMoreThanEightV100HaveSwitches) {
    const auto switched = [](const char* gpu, std::optional<std::int64_t> per_node,
                             std::int64_t gpus) {
        MeasuredRun run = full_row();
        run.gpu = gpu;
        run.gpu_memory_gb.reset();
        run.precision = "fp16";
        run.gpus_per_node = per_node;
        run.gpus = gpus;
        run.dp = gpus / 4;
        return map_run(run).scenario.cluster.intra_node.switched;
    };
    EXPECT_TRUE(switched("V100", 16, 32));
    EXPECT_TRUE(switched("V100", 16, 8)) << "half a node";
    EXPECT_FALSE(switched("V100", 8, 32));
    EXPECT_FALSE(switched("V100", {}, 32));
    EXPECT_FALSE(switched("V100", 4, 32));
    EXPECT_TRUE(switched("A100", 8, 32));
}

TEST(RunChoices, SegmentsByTheNotes) {
    const auto segments = [](const char* note) {
        MeasuredRun run = full_row();
        run.assumptions = note;
        return map_run(run).scenario.strategies.at(0).expandable_segments;
    };
    EXPECT_EQ(segments(""), std::nullopt);
    EXPECT_EQ(segments("PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"), true);
    EXPECT_EQ(segments("with expandable segments"), true);
    EXPECT_EQ(segments("expandable_segments:False"), false);
    EXPECT_EQ(segments("expandable segments not stated"), std::nullopt);
}

TEST(RunChoices, WordsForRecomputation) {
    const auto recompute = [](const char* word) {
        MeasuredRun run = full_row();
        run.recompute = word;
        const MappedRun mapped = map_run(run);
        EXPECT_EQ(mapped.scenario.strategies.size(), 1u) << word;
        EXPECT_EQ(value_of(mapped.assumed.with(0), "recompute"), "none") << word;
        return recompute_text(mapped.scenario.strategies.at(0).recompute);
    };
    for (const char* none : {"0", "none", "0.0", "no"}) EXPECT_EQ(recompute(none), "none") << none;
    for (const char* full :
         {"1", "1.0", "per-layer", "per layer", "every layer", "every 1", "full"})
        EXPECT_EQ(recompute(full), "full") << full;
    for (const char* half :
         {"every 2", "every 2 blocks", "Every_2_layers", "every other block", "every 2nd layer"})
        EXPECT_EQ(recompute(half), "every 2") << half;
    EXPECT_EQ(recompute("every 3"), "every 3");
    for (const char* wrong : {"2", "every", "every 0", "every 9", "every -1", "every two"})
        EXPECT_THROW(recompute(wrong), Error) << wrong;
}

}  // namespace
}  // namespace shardscope
