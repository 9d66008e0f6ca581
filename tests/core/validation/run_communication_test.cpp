// What ranks send each other, and beside what: recipes of products, and words in a row's notes.
#include "core/validation/run_communication.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/lowering/profile_rules.h"
#include "core/validation/run_scenario.h"
#include "tests/support/measured_rows.h"

namespace shardscope {
namespace {

using test::full_row;
using testing::Contains;

// The row of a product that says nothing of how it trains.
MeasuredRun silent_row(const char* framework, const char* notes = "") {
    MeasuredRun run = full_row();
    run.framework = framework;
    run.assumptions = notes;
    run.grad_dtype = "";
    run.sequence_parallel.reset();
    run.zero_stage.reset();
    return run;
}

// Of a strategy, in words: "sp, pieces, late reduction, gather".
std::string communication_of(const MeasuredRun& run, std::size_t strategy = 0) {
    const Strategy s = map_run(run).scenario.strategies.at(strategy);
    std::string text = "zero " + std::to_string(s.zero);
    if (s.sequence_parallel) text += ", sp";
    if (s.tp_overlap) text += ", " + std::string(name_of(*s.tp_overlap));
    if (s.overlap_reduce) text += *s.overlap_reduce ? ", reduces beside" : ", reduces after";
    if (s.overlap_gather) text += ", gathers beside";
    return text;
}

constexpr const char* kAll = "zero 1, sp, pieces, reduces beside, gathers beside";

TEST(RunCommunication, RecipesOfNemoAndMegatronBridge) {
    for (const char* framework : {"NeMo 2.0", "nemo", "Megatron-Bridge", "Megatron Bridge 0.2"}) {
        const MeasuredRun run = silent_row(framework);
        const MappedRun mapped = map_run(run);
        EXPECT_EQ(mapped.scenario.strategies.size(), 1u) << framework;
        EXPECT_EQ(communication_of(run), kAll) << framework;
        EXPECT_EQ(mapped.scenario.strategies[0].profile, RuntimeProfile::megatron);
        EXPECT_EQ(mapped.scenario.training.gradient_dtype, DType::bf16);
        const auto assumed = mapped.assumed.with(0);
        const std::string name = framework[0] == 'M' ? "megatron-bridge" : "nemo";
        EXPECT_THAT(assumed,
                    Contains((Assumption{"framework",
                                         name + "'s recipes, TP comm overlap, overlapped gradient "
                                                "reduction, overlapped parameter gather"})));
        EXPECT_THAT(assumed, Contains((Assumption{"grad_dtype", "bf16"})));
        EXPECT_THAT(assumed, Contains((Assumption{"sequence_parallel", "1"})));
        EXPECT_THAT(assumed, Contains((Assumption{"zero_stage", "1"})));
    }
    EXPECT_EQ(communication_of(silent_row("Megatron-LM")), "zero 0") << "its command line's";
}

TEST(RunCommunication, WhatIsStatedIsNotTheRecipes) {
    MeasuredRun run = silent_row("nemo");
    run.sequence_parallel = false;
    EXPECT_EQ(communication_of(run), "zero 1, reduces beside, gathers beside");
    run.zero_stage = 0;
    EXPECT_EQ(communication_of(run), "zero 0, reduces beside") << "every rank has what it updates";
    run = silent_row("nemo");
    run.grad_dtype = "fp32";
    EXPECT_EQ(map_run(run).scenario.training.gradient_dtype, DType::fp32);
    EXPECT_EQ(communication_of(silent_row("nemo", "no TP comm overlap")),
              "zero 1, sp, reduces beside, gathers beside");
    EXPECT_EQ(communication_of(silent_row("nemo", "overlap_param_gather=False")),
              "zero 1, sp, pieces, reduces beside");
    EXPECT_EQ(communication_of(silent_row("nemo", "without overlapped DP communication")),
              "zero 1, sp, pieces");
}

TEST(RunCommunication, RecipesByPrecisionRanksAndExperts) {
    MeasuredRun run = silent_row("nemo");
    run.gpu = "B200";
    run.gpu_memory_gb.reset();
    run.precision = "mxfp8";
    EXPECT_EQ(communication_of(run), "zero 1, sp, pieces, reduces beside")
        << "the gradients' buffer is that of the gather";
    run.framework = "megatron-bridge";
    EXPECT_EQ(communication_of(run), kAll);
    run.precision = "nvfp4";
    EXPECT_EQ(communication_of(run), "zero 1, sp, reduces beside, gathers beside");
    run = silent_row("nemo");
    run.gpus = 4;
    run.dp = 1;
    EXPECT_EQ(communication_of(run), "zero 1, sp, pieces") << "there are no replicas";
    run = silent_row("nemo");
    run.tp = 1;
    run.dp = 8;
    EXPECT_EQ(communication_of(run), "zero 1, reduces beside, gathers beside");
    run = silent_row("nemo");
    run.experts = 8;
    run.experts_per_token = 2;
    EXPECT_EQ(communication_of(run), "zero 1, sp, reduces beside, gathers beside");
}

TEST(RunCommunication, WordsForTensorParallelOverlap) {
    for (const char* words :
         {"async TP", "TP comm overlap", "tp_comm_overlap=True", "with userbuffers", "UB overlap",
          "TP communication overlap", "--tp-comm-overlap", "TP overlap on"}) {
        const MeasuredRun run = silent_row("megatron", words);
        EXPECT_EQ(communication_of(run), "zero 0, sp, pieces") << words << ", which needs sp";
        EXPECT_THAT(map_run(run).assumed.with(0),
                    Contains(testing::Field(&Assumption::column, "assumptions")))
            << words;
    }
    for (const char* words : {"no TP comm overlap", "tp_comm_overlap=False", "without userbuffers"})
        EXPECT_EQ(communication_of(silent_row("megatron", words)), "zero 0") << words;
}

TEST(RunCommunication, WordsForDataParallelOverlap) {
    const auto said = [](const char* words) {
        MeasuredRun run = silent_row("megatron", words);
        run.zero_stage = 1;
        return communication_of(run);
    };
    for (const char* words : {"overlap-grad-reduce", "overlap_grad_reduce=True",
                              "overlapped gradient reduction", "--overlap-grad-reduce"})
        EXPECT_EQ(said(words), "zero 1, reduces beside") << words;
    for (const char* words :
         {"overlap_param_gather", "overlap-grad-reduce, overlap-param-gather",
          "overlapped parameter gather", "overlapped DP communication", "DP comm overlap"})
        EXPECT_EQ(said(words), "zero 1, reduces beside, gathers beside") << words;
    for (const char* words : {"", "no overlap-grad-reduce", "overlap_grad_reduce=False",
                              "overlap_param_gather: off", "DP overlap not stated"})
        EXPECT_EQ(said(words), "zero 1") << words;
}

TEST(RunCommunication, DeepSpeedsWordForIt) {
    const auto said = [](const char* words, std::int64_t pp = 1) {
        MeasuredRun run = silent_row("deepspeed", words);
        run.tp = 1;
        run.pp = pp;
        run.dp = 16 / pp;
        run.zero_stage = 1;
        return communication_of(run);
    };
    EXPECT_EQ(said(""), "zero 1");
    EXPECT_EQ(said("overlap_comm"), "zero 1, reduces beside");
    EXPECT_EQ(said("overlap_comm: false"), "zero 1, reduces after");
    EXPECT_EQ(said("overlap_comm", 2), "zero 1") << "its pipelines turn it off";
}

// The dispatcher of a row with experts among sixteen ranks.
std::string dispatch_of(const char* framework, const char* gpu, const char* model,
                        const char* notes = "") {
    MeasuredRun run = silent_row(framework, notes);
    run.gpu = gpu;
    run.gpu_memory_gb.reset();
    run.model = model;
    run.mlp = "swiglu";
    run.experts = 64;
    run.experts_per_token = 2;
    run.expert_ffn = 512;
    run.tp = run.pp = 1;
    run.dp = run.ep = 16;
    const MappedRun mapped = map_run(run);
    const Strategy& s = mapped.scenario.strategies.front();
    const bool told = s.dispatcher == Dispatcher::all_to_all ||
                      std::ranges::any_of(mapped.assumed.with(0), [](const Assumption& a) {
                          return a.column == "dispatcher" || a.column == "assumptions";
                      });
    EXPECT_TRUE(told) << framework;
    return std::string(name_of(s.dispatcher)) +
           (s.overlap_shared_experts ? ", shared experts beside" : "");
}

TEST(RunCommunication, DispatchersByProductAndGpu) {
    EXPECT_EQ(dispatch_of("megatron", "H100", "DeepSeek-V3"), "alltoall");
    EXPECT_EQ(dispatch_of("nemo", "H100", "DeepSeek-V3"), "deepep");
    EXPECT_EQ(dispatch_of("nemo", "B200", "DeepSeek-V3"), "alltoall, shared experts beside");
    EXPECT_EQ(dispatch_of("nemo", "H100", "Mixtral 8x7B"), "alltoall");
    EXPECT_EQ(dispatch_of("nemo", "H100", "Qwen3-30B-A3B"), "alltoall");
    EXPECT_EQ(dispatch_of("Megatron-Bridge", "H100", "DeepSeek-V3"), "deepep");
    EXPECT_EQ(dispatch_of("Megatron-Bridge", "B200", "DeepSeek-V3"), "deepep");
    EXPECT_EQ(dispatch_of("Megatron-Bridge", "H100", "Qwen3-30B-A3B"), "deepep");
    EXPECT_EQ(dispatch_of("Megatron-Bridge", "H100", "Qwen3 235B-A22B"), "alltoall");
    EXPECT_EQ(dispatch_of("Megatron-Bridge", "B200", "Qwen3 235B-A22B"), "alltoall");
    EXPECT_EQ(dispatch_of("Megatron-Bridge", "B300", "Qwen3 235B-A22B"), "deepep");
    EXPECT_EQ(dispatch_of("Megatron-Bridge", "H100", "Kimi-K2"), "alltoall");
    EXPECT_EQ(dispatch_of("Megatron-Bridge", "H100", "gpt-oss-120b"), "alltoall");
}

TEST(RunCommunication, WordsForDispatchers) {
    for (const char* words : {"HybridEP", "flex dispatcher", "hybrid-ep", "flex token dispatcher",
                              "moe_token_dispatcher_type=flex", "--moe-token-dispatcher-type flex",
                              "dispatcher: flex", "DeepEP"})
        EXPECT_EQ(dispatch_of("megatron", "H100", "Mixtral 8x7B", words), "deepep") << words;
    for (const char* words : {"alltoall dispatcher", "all-to-all dispatcher", "no DeepEP",
                              "without HybridEP", "shared expert overlap"})
        EXPECT_THAT(dispatch_of("Megatron-Bridge", "H100", "DeepSeek-V3", words),
                    testing::StartsWith("alltoall"))
            << words;
}

// HybridEP sends within a rack, where DeepEP's groups would lie unevenly.
TEST(RunCommunication, FlexDispatchersThatDeepEpCannotBeAreAllToAll) {
    MeasuredRun run = silent_row("megatron-bridge", "HybridEP");
    run.gpu = "H100";
    run.model = "DeepSeek-V3";
    run.mlp = "swiglu";
    run.experts = 240;
    run.experts_per_token = 2;
    run.expert_ffn = 512;
    run.tp = run.pp = 1;
    run.gpus = 48;
    run.dp = 48;
    run.global_batch = 96;
    run.ep = 12;
    const MappedRun mapped = map_run(run);
    EXPECT_EQ(mapped.scenario.strategies.front().dispatcher, Dispatcher::all_to_all);
    EXPECT_THAT(mapped.assumed.with(0), Contains((Assumption{"dispatcher", "alltoall"})));
    run.assumptions = "";
    EXPECT_EQ(map_run(run).scenario.strategies.front().dispatcher, Dispatcher::all_to_all);
}

// As rows of measurements without any overlap have it; a part that is denied is that part alone.
TEST(RunCommunication, AllOverlapIsDeniedTogether) {
    const auto overlaps = [](const char* notes) {
        MeasuredRun run = full_row();
        run.framework = "nemo";
        run.tp = 2;
        run.pp = 1;
        run.dp.reset();
        run.zero_stage = 1;
        run.sequence_parallel = true;
        run.assumptions = notes;
        const Strategy s = map_run(run).scenario.strategies.at(0);
        return std::tuple(s.tp_overlap.has_value(), s.overlap_reduce.value_or(false),
                          s.overlap_gather);
    };
    EXPECT_EQ(overlaps(""), std::tuple(true, true, true));
    for (const char* notes : {"layer-truncated model, all comm overlap off", "no comm overlap",
                              "without communication overlap", "communication overlap disabled"})
        EXPECT_EQ(overlaps(notes), std::tuple(false, false, false)) << notes;
    EXPECT_EQ(overlaps("no TP comm overlap"), std::tuple(false, true, true));
    EXPECT_EQ(overlaps("DP comm overlap off"), std::tuple(true, false, false));
}

TEST(RunCommunication, OverlappedExpertsAreNotModelledWhichIsSaid) {
    MeasuredRun run = full_row();
    run.experts = 8;
    run.experts_per_token = 2;
    run.assumptions = "DualPipe";
    EXPECT_THAT(map_run(run).assumed.with(0),
                testing::Contains(Assumption{"assumptions", "DualPipe is not modelled"}));
}

}  // namespace
}  // namespace shardscope
