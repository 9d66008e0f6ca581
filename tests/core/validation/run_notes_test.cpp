// Words of `assumptions`: what is said, what is denied, and which number is whose.
#include "core/validation/run_notes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/validation/run_scenario.h"
#include "tests/support/measured_rows.h"

namespace shardscope {
namespace {

using enum RunNotes::Said;
using test::full_row;
using testing::Contains;
using testing::Field;
using testing::Not;

struct Note {
    const char* text;
    RunNotes::Said compile, async;
};

class Notes : public testing::TestWithParam<Note> {};

TEST_P(Notes, SayOrDeny) {
    const auto& [text, compile, async] = GetParam();
    EXPECT_EQ(RunNotes(text).said("torch.compile"), compile) << text;
    EXPECT_EQ(RunNotes(text).said("async TP"), async) << text;
}

INSTANTIATE_TEST_SUITE_P(
    All, Notes,
    testing::Values(
        Note{"", nothing, nothing}, Note{"torch.compile", yes, nothing},
        Note{"Torch.Compile; Async TP", yes, yes}, Note{"torch_compile and async-TP", yes, yes},
        Note{"uncompiled, asynchronous TP", nothing, nothing},
        Note{"no torch.compile", denied, nothing}, Note{"not torch.compile", denied, nothing},
        Note{"without torch.compile", denied, nothing}, Note{"w/o torch.compile", denied, nothing},
        Note{"torch.compile disabled", denied, nothing},
        Note{"disabled torch.compile", denied, nothing},
        Note{"torch.compile is off", denied, nothing}, Note{"torch.compile=False", denied, nothing},
        Note{"torch.compile: 0", denied, nothing},
        Note{"torch.compile (disabled)", denied, nothing},
        Note{"torch.compile was not used", denied, nothing},
        Note{"torch.compile: no", denied, nothing},
        Note{"torch.compile isn't in use", denied, nothing},
        Note{"doesn't use torch.compile", denied, nothing},
        Note{"without torch.compile and async TP", denied, denied},
        Note{"neither torch.compile nor async TP", denied, denied},
        // Parts of sentences are by themselves.
        Note{"no torch.compile, async TP", denied, yes},
        Note{"eager (no torch.compile) async TP", denied, yes},
        Note{"no torch.compile but async TP", denied, yes},
        Note{"torch.compile, without async TP", yes, denied},
        Note{"do not use the 700 W peak. torch.compile; async TP", yes, yes},
        Note{"vanilla TP, not async TP", nothing, denied},
        Note{"async TP (not torch.compile)", denied, yes},
        Note{"torch.compile without CUDA graphs", yes, nothing},
        Note{"CUDA graphs disabled and torch.compile", yes, nothing},
        Note{"async TP; off-line data", nothing, yes},
        // What is not known is neither said nor denied.
        Note{"torch.compile not stated", nothing, nothing},
        Note{"torch.compile unknown", nothing, nothing},
        Note{"heads not stated and async TP", nothing, yes},
        Note{"not only torch.compile", yes, nothing},
        Note{"no torch.compile of the loss; torch.compile of blocks", yes, nothing}));

TEST(RunNotes, RatesOfMemoryOnly) {
    const auto rate = [](const char* text) { return RunNotes(text).memory_bandwidth(); };
    for (const char* text :
         {"H100 96GB HBM2e (2.4 TB/s) at 500 W power limit: do not use the 700 W peak",
          "HBM3 2.4 TB/s", "2.4 TB/s memory", "memory 2.4 TB/s measured",
          "memory bandwidth of 2.4 TB/s", "HBM3e: 2.4TB/s", "2.4 TB/s of HBM",
          "80 GB HBM3 80 GB at 2.4 TB/s", "NVLink 1.8 TB/s, HBM 2.4 TB/s"})
        EXPECT_EQ(rate(text), 2.4) << text;
    for (const char* text :
         {"", "2.4 TB/s", "NVLink 1.8 TB/s", "storage 1 TB/s", "25.6 TB/s NVSwitch",
          "network 3.2 TB/s", "80 GB of HBM3, 1.8 TB/s NVLink", "HBM3 80 GB 1.8 TB/s NVLink",
          "host memory 1 TB/s", "not 3.35 TB/s memory", "host memory 2 TB", "HBM at TB/s",
          "memory, TB/s", "TB/s memory"})
        EXPECT_EQ(rate(text), std::nullopt) << text;
}

TEST(RunNotes, PowerLimitsBeforeAndBehindTheirName) {
    const auto watts = [](const char* text) { return RunNotes(text).power_limit(); };
    for (const char* text :
         {"400 W power limit", "power limit 400 W", "Power limit: 400W", "power limit of 400 watts",
          "power-limited to 400 W", "at 400W power limit", "400 W power limit: no 700 W"})
        EXPECT_EQ(watts(text), 400) << text;
    for (const char* text : {"", "400 W", "no 400 W power limit", "no power limit", "power limit",
                             "W power limit", "power limit not 400 W", "power limit, 400 W"})
        EXPECT_EQ(watts(text), std::nullopt) << text;
}

TEST(RunNotes, NumbersThatAreDeniedDoNotCount) {
    EXPECT_EQ(RunNotes("recompute fraction 0.13 of a fwd+bwd (full would be 0.33)")
                  .number_before("of a fwd+bwd"),
              0.13);
    EXPECT_EQ(RunNotes("MLA, 1 dense layer, 2 shared").number_before("dense layer"), 1);
    EXPECT_EQ(RunNotes("3 dense layers").number_before("dense layer"), 3);
    EXPECT_EQ(RunNotes("not 3 dense layers").number_before("dense layer"), std::nullopt);
    EXPECT_EQ(RunNotes("dense layers").number_before("dense layer"), std::nullopt);
    EXPECT_EQ(RunNotes("ETP=2,EP=8").number_after("ETP"), 2);
    EXPECT_EQ(RunNotes("without ETP 2").number_after("ETP"), std::nullopt);
}

TEST(RunNotes, WhatWasTakenIsAmongTheAssumptions) {
    MeasuredRun run = full_row();
    run.framework = "fsdp2";
    run.sequence_parallel = true;
    run.recompute = "selective";
    run.zero_stage = 3;
    const auto taken = [&](const char* note) -> std::string {
        run.assumptions = note;
        for (const Assumption& a : map_run(run).assumed.with(0))
            if (a.column == "assumptions") return a.value;
        return "";
    };
    EXPECT_EQ(taken("Torch.compile; HBM3 at 2.4 TB/s, power limit 500 W; async TP"),
              "torch.compile, power limit 500 W, memory bandwidth 2.4 TB/s, async TP");
    EXPECT_EQ(taken("HFU implies recompute fraction 0.07 of a fwd+bwd"),
              "recompute fraction 0.07 of a fwd+bwd");
    EXPECT_EQ(taken("no torch.compile, no async TP, no 500 W power limit; NVLink 1.8 TB/s"), "");
    run.framework = "megatron";
    run.recompute = "none";
    run.zero_stage = 0;
    EXPECT_EQ(taken("torch.compile"), "") << "which says nothing of Megatron";
    run.mlp = "swiglu";
    run.model = "DeepSeek-V3";
    run.experts = 16;
    run.experts_per_token = 2;
    run.expert_ffn = 2048;
    EXPECT_EQ(taken("1 dense layer; ETP 1"), "1 dense layer, ETP 1");
}

// A degree that was not chosen does not take anything from the notes.
TEST(RunNotes, WhatIsTakenGoesWithTheStrategy) {
    MeasuredRun run = full_row();
    run.framework = "megatron";
    run.sequence_parallel = true;
    run.assumptions = "async TP";
    run.tp.reset();
    run.dp.reset();
    const MappedRun mapped = map_run(run);
    ASSERT_GT(mapped.scenario.strategies.size(), 1u);
    const auto notes = Contains(Field(&Assumption::column, "assumptions"));
    for (std::size_t i = 0; i < mapped.scenario.strategies.size(); ++i) {
        if (mapped.scenario.strategies[i].tp > 1)
            EXPECT_THAT(mapped.assumed.with(i), notes) << i;
        else
            EXPECT_THAT(mapped.assumed.with(i), Not(notes)) << i;
    }
}

}  // namespace
}  // namespace shardscope
