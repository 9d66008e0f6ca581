// Products as people name them, and what their names say of how they were told to train.
#include "core/validation/run_framework.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/lowering/profile_rules.h"
#include "core/validation/run_scenario.h"
#include "tests/support/measured_rows.h"

namespace shardscope {
namespace {

using test::full_row;
using testing::Contains;
using testing::Field;
using testing::Not;

TEST(RunFramework, IsAProfile) {
    const auto profile = [](const char* framework, const char* assumptions = "",
                            const char* source = "") {
        MeasuredRun run = full_row();
        run.source = source;
        run.framework = framework;
        run.assumptions = assumptions;
        return map_run(run).scenario.strategies.front().profile;
    };
    EXPECT_EQ(profile("megatron"), RuntimeProfile::megatron);
    EXPECT_EQ(profile("megatron-deepspeed"), RuntimeProfile::megatron_deepspeed);
    EXPECT_EQ(profile("deepspeed"), RuntimeProfile::deepspeed);
    EXPECT_EQ(profile("deepspeed", "", "a figure of SC21 Table 2"), RuntimeProfile::deepspeed_2021);
    EXPECT_EQ(profile("megatron", "", "cases_jan2021.png"), RuntimeProfile::megatron_2021);
    EXPECT_EQ(profile("megatron-deepspeed", "", "2021"), RuntimeProfile::megatron_deepspeed);
    EXPECT_EQ(profile("deepspeed-2021"), RuntimeProfile::deepspeed_2021);
    EXPECT_EQ(profile("fsdp1"), RuntimeProfile::fsdp);
    EXPECT_EQ(profile("fsdp2"), RuntimeProfile::fsdp);
    EXPECT_EQ(profile("fsdp2", "500 W; torch.compile"), RuntimeProfile::fsdp_compile);
    EXPECT_EQ(profile("fsdp2", "torch.compile", "llama3_h100_202412_torchtitan.md"),
              RuntimeProfile::fsdp_compile_blocks);
    EXPECT_EQ(profile("fsdp1", "", "foundation-model-stack/fms-fsdp README.md"),
              RuntimeProfile::fsdp_compile_blocks);
    EXPECT_EQ(profile("fsdp1", "", "mosaicml/llm-foundry README.md"), RuntimeProfile::llm_foundry);
    EXPECT_EQ(profile("llm-foundry"), RuntimeProfile::llm_foundry);
    EXPECT_EQ(profile("megatron", "torch.compile"), RuntimeProfile::megatron);
}

RunFramework named(const char* framework) {
    MeasuredRun run = full_row();
    run.framework = framework;
    std::vector<Assumption> assumed;
    return framework_of(run, assumed);
}

// FSDP on 64 GPUs of 8 nodes, unless told otherwise.
MappedRun sharded(const char* framework, const char* assumptions, std::int64_t gpus = 64) {
    MeasuredRun run = full_row();
    run.framework = framework;
    run.assumptions = assumptions;
    run.gpus = gpus;
    run.tp = run.pp = 1;
    run.dp = gpus;
    run.zero_stage.reset();
    return map_run(run);
}

TEST(RunFramework, VersionsDoNotCount) {
    for (const char* name :
         {"Megatron-Core 0.8", "Megatron-LM v3", "megatron-core-v0.12", "Megatron-LM 3",
          "megatron_core r0.8.0", "Megatron-Core 0.14.0rc1", "megatron-core 0.12.1-fork"})
        EXPECT_EQ(named(name).name, "megatron") << name;
    EXPECT_EQ(named("DeepSpeed 0.9.5").name, "deepspeed");
    EXPECT_EQ(named("torchtitan v0.1").name, "fsdp2");
    EXPECT_EQ(named("FSDP 2").name, "fsdp2") << "no version";
    EXPECT_EQ(named("DeepSpeed 2021").name, "deepspeed-2021");
    for (const char* name : {"megatron-lm-2019", "megatron-8b", "v3", "0.8"})
        EXPECT_THROW(named(name), Error) << name;
}

TEST(RunFramework, NamesWithAStageOfZero) {
    struct Name {
        const char* written;
        const char* name;
        int zero;
    };
    for (const Name& expected : {Name{"DeepSpeed ZeRO-3", "deepspeed", 3},
                                 {"deepspeed zero-1", "deepspeed", 1},
                                 {"DeepSpeed-ZeRO2", "deepspeed", 2},
                                 {"zero3", "deepspeed", 3},
                                 {"ZeRO stage 2", "deepspeed", 2},
                                 {"DeepSpeed (ZeRO-0)", "deepspeed", 0},
                                 {"deepspeed z2", "deepspeed", 2},
                                 {"DeepSpeed 0.9.5 ZeRO-3", "deepspeed", 3},
                                 {"Megatron-DeepSpeed, ZeRO-1", "megatron-deepspeed", 1}}) {
        const RunFramework framework = named(expected.written);
        EXPECT_EQ(framework.name, expected.name) << expected.written;
        EXPECT_EQ(framework.zero, expected.zero) << expected.written;
        EXPECT_TRUE(framework.names_zero) << expected.written;
    }
    for (const char* plain : {"deepspeed", "DeepSpeed ZeRO", "deepspeed-2021"})
        EXPECT_FALSE(named(plain).names_zero) << plain;
}

// Thin layers: the name says what is below them.
TEST(RunFramework, ProgramsAroundOthers) {
    struct Name {
        const char* written;
        const char* name;
        int zero;
    };
    for (const Name& expected : {Name{"accelerate + FSDP", "fsdp", 3},
                                 {"HF Accelerate (FSDP2)", "fsdp2", 3},
                                 {"Accelerate 1.2 with DeepSpeed ZeRO-2", "deepspeed", 2},
                                 {"HF Trainer (DeepSpeed ZeRO-3)", "deepspeed", 3},
                                 {"transformers/deepspeed", "deepspeed", 0},
                                 {"axolotl, zero3", "deepspeed", 3},
                                 {"LLaMA-Factory DeepSpeed stage 2", "deepspeed", 2},
                                 {"PyTorch Lightning FSDP", "fsdp", 3},
                                 {"Lightning DDP strategy", "ddp", 0},
                                 {"TRL (accelerate, FSDP2)", "fsdp2", 3},
                                 {"torchtune 0.5", "fsdp2", 3},
                                 {"litgpt", "fsdp1", 3},
                                 {"OLMo-core", "fsdp2", 3},
                                 {"DeepSpeed-Megatron", "megatron-deepspeed", 0},
                                 {"Megatron-LM + TE", "megatron", 0},
                                 {"Primus (torchtitan)", "fsdp2", 3},
                                 {"DeepSpeed ZeRO-3 (no offload)", "deepspeed", 3},
                                 {"fairseq FSDP", "fsdp", 3},
                                 {"FSDP2 + TP", "fsdp2", 3},
                                 {"DeepSpeed (Ulysses), ZeRO 3", "deepspeed", 3},
                                 {"DeepSpeed-MoE ZeRO-2", "deepspeed", 2},
                                 {"Megatron-Bridge 0.2", "megatron-bridge", 1},
                                 {"NVIDIA NeMo Megatron-Bridge", "megatron-bridge", 1},
                                 {"NeMo 25.04", "nemo", 1},
                                 {"NeMo AutoModel", "fsdp2", 3},
                                 {"Nemotron (Megatron)", "megatron", 0}}) {
        const RunFramework framework = named(expected.written);
        EXPECT_EQ(framework.name, expected.name) << expected.written;
        EXPECT_EQ(framework.zero, expected.zero) << expected.written;
        EXPECT_FALSE(framework.open) << expected.written;
    }
    for (const char* unknown : {"accelerate with oneflow", "Lightning TPU", "factory", "llama"})
        EXPECT_THROW(named(unknown), Error) << unknown;
}

// A program and its engine, and a product by two names, are one.
TEST(RunFramework, NamesOfSeveralProducts) {
    struct Name {
        const char* written;
        const char* name;
        int zero;
    };
    for (const Name& expected : {Name{"TorchTitan (FSDP2)", "fsdp2", 3},
                                 {"torchtitan (FSDP2 + TP)", "fsdp2", 3},
                                 {"torchtitan FSDP2+TP+PP", "fsdp2", 3},
                                 {"torchtitan, HSDP (FSDP2)", "fsdp2", 3},
                                 {"LitGPT (FSDP)", "fsdp1", 3},
                                 {"LitGPT (DDP)", "ddp", 0},
                                 {"LitGPT (DeepSpeed ZeRO-2)", "deepspeed", 2},
                                 {"MosaicML Composer + FSDP", "llm-foundry", 3},
                                 {"MosaicML LLM Foundry", "llm-foundry", 3},
                                 {"LLM Foundry / Composer", "llm-foundry", 3},
                                 {"llmfoundry", "llm-foundry", 3},
                                 {"Megatron-Core (MCore v0.12)", "megatron", 0},
                                 {"Megatron-LM (core 0.9)", "megatron", 0},
                                 {"Megatron-LM FSDP", "megatron-fsdp", 3},
                                 {"DeepSpeed with Megatron-LM, stage 1", "megatron-deepspeed", 1},
                                 {"Megatron-DeepSpeed (DeepSpeed)", "megatron-deepspeed", 0},
                                 {"NVIDIA Megatron-LM", "megatron", 0},
                                 {"Microsoft DeepSpeed ZeRO-3", "deepspeed", 3},
                                 {"PyTorch native FSDP", "fsdp", 3},
                                 {"nanoGPT (DDP)", "ddp", 0},
                                 {"nanoGPT", "ddp", 0}}) {
        MeasuredRun run = full_row();
        run.framework = expected.written;
        run.assumptions = "no torch.compile";
        std::vector<Assumption> assumed;
        const RunFramework framework = framework_of(run, assumed);
        EXPECT_EQ(framework.name, expected.name) << expected.written;
        EXPECT_EQ(framework.zero, expected.zero) << expected.written;
        EXPECT_EQ(assumed.empty(), !framework.stands_in) << expected.written;
    }
    EXPECT_EQ(named("Megatron-Core (NeMo)").name, "nemo");
    EXPECT_EQ(named("NeMo Megatron-Bridge").name, "megatron-bridge");
    for (const char* several :
         {"FSDP + Megatron TP", "DeepSpeed (FSDP)", "LitGPT / torchtitan", "nanotron (Megatron)"})
        try {
            named(several);
            ADD_FAILURE() << several;
        } catch (const Error& error) {
            EXPECT_EQ(error.rule, "framework");
            EXPECT_THAT(error.message, testing::StartsWith("framework names both "));
        }
}

// What is made from a product is taken for it, which is said.
TEST(RunFramework, ProductsMadeFromOthers) {
    for (const auto& [written, name] :
         {std::pair{"Megatron-LM-based", "megatron"},
          {"Megatron-DeepSpeed (BigScience fork)", "megatron-deepspeed"}}) {
        MeasuredRun run = full_row();
        run.framework = written;
        std::vector<Assumption> assumed;
        EXPECT_EQ(framework_of(run, assumed).name, name);
        EXPECT_THAT(assumed, testing::ElementsAre(Assumption{"framework", name}));
    }
}

// Its train.py does unless told otherwise.
TEST(RunFramework, NanoGptCompiles) {
    const auto profile = [](const char* notes) {
        return sharded("nanoGPT (DDP)", notes).scenario.strategies.front().profile;
    };
    EXPECT_EQ(profile(""), RuntimeProfile::fsdp_compile);
    EXPECT_EQ(profile("torch.compile=False"), RuntimeProfile::fsdp);
}

// Their FSDP reduces in the type that it computes in; PyTorch's by itself in fp32, and so does DDP.
TEST(RunFramework, GradientsAreReducedAsTheProgramAroundFsdpSays) {
    const auto gradients = [](const char* framework, const char* column = "") {
        MeasuredRun run = full_row();
        run.framework = framework;
        run.grad_dtype = column;
        run.zero_stage.reset();
        run.tp = run.pp = 1;
        run.dp = run.gpus;
        const MappedRun mapped = map_run(run);
        const bool said = std::ranges::find(mapped.assumed.always, "grad_dtype",
                                            &Assumption::column) != mapped.assumed.always.end();
        EXPECT_EQ(said, *column == '\0');
        return std::string(name_of(mapped.scenario.training.gradient_dtype.value_or(
            default_gradient(mapped.scenario.training, mapped.scenario.strategies.front()))));
    };
    for (const char* narrow : {"HF Accelerate (FSDP2)", "accelerate + FSDP", "HF Trainer FSDP",
                               "Axolotl (FSDP)", "LLaMA-Factory FSDP", "PyTorch Lightning FSDP",
                               "TRL (accelerate, FSDP2)", "fsdp1", "llm-foundry"})
        EXPECT_EQ(gradients(narrow), "bf16") << narrow;
    for (const char* wide :
         {"PyTorch FSDP", "fsdp2", "torchtitan", "accelerate DDP", "Lightning DDP", "accelerate"})
        EXPECT_EQ(gradients(wide), "fp32") << wide;
    EXPECT_EQ(gradients("accelerate + FSDP", "fp32"), "fp32");
    EXPECT_EQ(gradients("accelerate DeepSpeed ZeRO-3"), gradients("DeepSpeed ZeRO-3"));
}

TEST(RunFramework, ZeroPlusPlusIsAllOfIt) {
    for (const char* name : {"DeepSpeed ZeRO++", "ZeRO++", "deepspeed zeropp"}) {
        const MappedRun run = sharded(name, "");
        ASSERT_FALSE(run.scenario.strategies.empty()) << name;
        const Strategy& s = run.scenario.strategies.front();
        EXPECT_EQ(s.profile, RuntimeProfile::deepspeed);
        EXPECT_EQ(s.zero, 3);
        EXPECT_TRUE(s.quantized_weights && s.quantized_gradients);
        EXPECT_EQ(s.secondary_shard, Strategy::kWholeNode);
        EXPECT_THAT(run.assumed.with(0),
                    Contains((Assumption{"framework", "ZeRO++: qwZ, hpZ within nodes, qgZ"})));
    }
}

TEST(RunFramework, CompiledByItsName) {
    const MappedRun run = sharded("torchtitan + torch.compile", "");
    EXPECT_EQ(run.scenario.strategies.front().profile, RuntimeProfile::fsdp_compile);
    EXPECT_THAT(run.assumed.with(0), Contains((Assumption{"framework", "torch.compile"})));
    EXPECT_EQ(sharded("torchtitan + torch.compile", "no torch.compile")
                  .scenario.strategies.front()
                  .profile,
              RuntimeProfile::fsdp);
}

// Without a word for it: by the notes, by the stage, else DDP, or FSDP for what does not fit.
TEST(RunFramework, ProgramsAroundPyTorchThatDoNotSayWhatBy) {
    const auto run_of = [](std::optional<int> zero, const char* notes) {
        MeasuredRun run = full_row();
        run.framework = "accelerate";
        run.zero_stage = zero;
        run.assumptions = notes;
        run.tp = run.pp = 1;
        run.dp = run.gpus;
        return map_run(run);
    };
    const auto first = [&](std::optional<int> zero, const char* notes = "") {
        const Strategy s = run_of(zero, notes).scenario.strategies.front();
        return std::pair(s.profile, s.zero);
    };
    EXPECT_EQ(first(0), std::pair(RuntimeProfile::fsdp, 0));
    EXPECT_EQ(first(1), std::pair(RuntimeProfile::deepspeed, 1));
    EXPECT_EQ(first(3), std::pair(RuntimeProfile::fsdp, 3));
    EXPECT_EQ(first(3, "DeepSpeed, offload not used"), std::pair(RuntimeProfile::deepspeed, 3));
    EXPECT_EQ(first(2, "no DeepSpeed"), std::pair(RuntimeProfile::fsdp, 2));
    const MappedRun open = run_of({}, "");
    std::vector<int> stages;
    for (const Strategy& s : open.scenario.strategies)
        if (stages.empty() || stages.back() != s.zero) stages.push_back(s.zero);
    EXPECT_THAT(stages, testing::ElementsAre(0, 3));
    EXPECT_THAT(open.assumed.with(0),
                Contains((Assumption{"framework", "ddp, or fsdp where that does not fit"})));
    EXPECT_THAT(run_of(3, "").assumed.with(0), Contains((Assumption{"framework", "fsdp"})));
}

// Engines of their own that are like a product's, which the row's assumptions name.
TEST(RunFramework, TheNearestProductStandsIn) {
    const auto run_of = [](const char* framework) {
        MeasuredRun run = full_row();
        run.framework = framework;
        run.zero_stage.reset();
        run.attention = "";
        return map_run(run);
    };
    const MappedRun nanotron = run_of("nanotron");
    EXPECT_THAT(nanotron.assumed.with(0), Contains((Assumption{"framework", "megatron-2021"})));
    EXPECT_EQ(nanotron.scenario.strategies.front().profile, RuntimeProfile::megatron_2021);
    EXPECT_EQ(nanotron.scenario.strategies.front().attention, AttentionKind::flash);
    EXPECT_EQ(nanotron.scenario.strategies.front().zero, 0);
    EXPECT_EQ(nanotron.scenario.strategies.back().zero, 1) << "it has ZeRO 1";
    EXPECT_EQ(run_of("Megatron-FSDP").scenario.strategies.front().zero, 3);
    EXPECT_THAT(run_of("MegaBlocks").assumed.with(0),
                Contains((Assumption{"framework", "megatron"})));
    EXPECT_THAT(run_of("megatron").assumed.with(0),
                Not(Contains(Field(&Assumption::column, "framework"))));
}

// What a column states goes before what a name says; the name before what memory would decide.
TEST(RunFramework, TheStageOfANameFillsAnEmptyCell) {
    MeasuredRun run = full_row();
    run.framework = "DeepSpeed ZeRO-1";
    run.zero_stage.reset();
    const MappedRun open = map_run(run);
    ASSERT_EQ(open.scenario.strategies.size(), 1u);
    EXPECT_EQ(open.scenario.strategies[0].zero, 1);
    EXPECT_THAT(open.assumed.with(0), Contains((Assumption{"zero_stage", "1"})));
    run.zero_stage = 0;
    const MappedRun stated = map_run(run);
    EXPECT_EQ(stated.scenario.strategies[0].zero, 0);
    EXPECT_THAT(stated.assumed.with(0), Not(Contains(Field(&Assumption::column, "zero_stage"))));
}

TEST(RunFramework, DdpIsFsdpThatShardsNothing) {
    for (const char* name : {"ddp", "pytorch-ddp", "torch-ddp", "PyTorch DDP", "torch DDP 2.1"}) {
        MeasuredRun run = full_row();
        run.framework = name;
        run.zero_stage.reset();
        const MappedRun mapped = map_run(run);
        ASSERT_EQ(mapped.scenario.strategies.size(), 1u) << name;
        EXPECT_EQ(mapped.scenario.strategies[0].profile, RuntimeProfile::fsdp);
        EXPECT_EQ(mapped.scenario.strategies[0].zero, 0);
        EXPECT_THAT(mapped.assumed.with(0), Contains((Assumption{"zero_stage", "0"})));
    }
}

TEST(RunFramework, HybridShardingIsWithinNodes) {
    const auto group = [](auto... row) {
        return sharded(row...).scenario.strategies.at(0).shard_group;
    };
    for (const char* name : {"HSDP", "fsdp-hsdp", "FSDP2 HSDP", "PyTorch HSDP"})
        EXPECT_EQ(group(name, ""), Strategy::kWholeNode) << name;
    for (const char* note : {"HSDP", "HSDP over 8 GPUs", "Hybrid sharding", "hybrid_shard"})
        EXPECT_EQ(group("fsdp2", note), Strategy::kWholeNode) << note;
    for (const char* note : {"", "no HSDP", "FSDP, not HSDP", "hybrid sharding: off"})
        EXPECT_EQ(group("fsdp2", note), 0) << note;
    EXPECT_EQ(group("HSDP", "", 8), 0) << "one node has all";
    EXPECT_EQ(group("ddp", "HSDP"), 0) << "nothing is sharded";
    EXPECT_EQ(sharded("HSDP", "").scenario.strategies[0].zero, 3);
}

TEST(RunFramework, ShardGroupsAreAsStated) {
    const auto group = [](const char* framework, const char* notes, int gpus = 64, int tp = 1) {
        MeasuredRun run = full_row();
        run.framework = framework;
        run.assumptions = notes;
        run.gpus = gpus;
        run.tp = tp;
        run.pp = 1;
        run.dp.reset();
        run.zero_stage.reset();
        const MappedRun mapped = map_run(run);
        std::vector<int> groups;
        for (const Strategy& s : mapped.scenario.strategies)
            if (groups.empty() || groups.back() != s.shard_group) groups.push_back(s.shard_group);
        return groups;
    };
    using testing::ElementsAre;
    for (const char* notes :
         {"HSDP, shard group of 16", "HSDP with dp_shard=16", "dp_replicate=4",
          "hybrid shard, 16 GPUs per shard group", "dp_shard 16, dp_replicate 4"})
        EXPECT_THAT(group("fsdp2", notes), ElementsAre(16)) << notes;
    EXPECT_THAT(group("fsdp2", "HSDP, shard group of 32 GPUs", 64, 2), ElementsAre(16));
    EXPECT_THAT(group("fsdp2", "dp_shard=64"), ElementsAre(0)) << "one group has all";
    EXPECT_THROW(group("fsdp2", "HSDP, dp_shard=24"), Error);
    // Where nothing is stated, more nodes are tried until it fits.
    EXPECT_THAT(group("HSDP", ""), ElementsAre(Strategy::kWholeNode, 16, 32, 0));
    EXPECT_THAT(group("DeepSpeed MiCS", ""), ElementsAre(Strategy::kWholeNode, 16, 32, 0));
    EXPECT_THAT(group("fsdp2", "HSDP", 64, 8), ElementsAre(0)) << "a node has one rank";
}

// A group has all experts: of 16 expert-parallel ranks two nodes are one.
TEST(RunFramework, HybridShardingHoldsAllExperts) {
    const auto group = [](std::int64_t ep) {
        MeasuredRun run = full_row();
        run.framework = "torchtitan HSDP";
        run.gpus = 64;
        run.tp = run.pp = 1;
        run.dp = 64;
        run.zero_stage.reset();
        run.experts = 64;
        run.experts_per_token = 2;
        run.ep = ep;
        const MappedRun mapped = map_run(run);
        const Strategy& s = mapped.scenario.strategies.at(0);
        const auto all = mapped.assumed.with(0);
        const auto said = std::ranges::find(all, "shard_group", &Assumption::column);
        return std::pair(s.shard_group, said == all.end() ? "" : said->value);
    };
    EXPECT_EQ(group(4), std::pair(Strategy::kWholeNode, std::string("node")));
    EXPECT_EQ(group(16), std::pair(16, std::string("16")));
    EXPECT_EQ(group(64), std::pair(0, std::string()));
}

TEST(RunFramework, HybridShardingIsAmongTheAssumptions) {
    const auto node = Contains(Assumption{"shard_group", "node"});
    EXPECT_THAT(sharded("HSDP", "").assumed.with(0), node);
    EXPECT_THAT(sharded("fsdp2", "HSDP").assumed.with(0), node);
    EXPECT_THAT(sharded("fsdp2", "HSDP").assumed.with(0),
                Contains((Assumption{"assumptions", "HSDP"})));
    EXPECT_THAT(sharded("fsdp2", "HSDP", 8).assumed.with(0),
                Not(Contains(Field(&Assumption::column, "assumptions"))));
}

// A program that compiles unless told otherwise can be told otherwise.
TEST(RunFramework, NotesThatDenyTorchCompile) {
    const auto profile = [](const char* note, const char* source = "") {
        MeasuredRun run = full_row();
        run.framework = "fsdp1";
        run.assumptions = note;
        run.source = source;
        return map_run(run).scenario.strategies.at(0).profile;
    };
    EXPECT_EQ(profile("torch.compile, no async TP"), RuntimeProfile::fsdp_compile);
    for (const char* note :
         {"no torch.compile", "not torch.compile", "torch.compile disabled", "torch.compile off",
          "torch.compile=False", "eager (no torch.compile)"})
        EXPECT_EQ(profile(note), RuntimeProfile::fsdp) << note;
    const char* const fms = "foundation-model-stack/fms-fsdp README.md";
    EXPECT_EQ(profile("no torch.compile", fms), RuntimeProfile::fsdp);
    EXPECT_EQ(profile("torch.compile not stated", fms), RuntimeProfile::fsdp_compile_blocks);
}

}  // namespace
}  // namespace shardscope
