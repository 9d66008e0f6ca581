// `deepspeed:` in a strategy: what the file sets, what the scenario may add, and where they must agree.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/deepspeed/import.h"
#include "core/deepspeed/summary_io.h"
#include "core/error.h"
#include "core/scenario_io.h"
#include "core/strategy/validate.h"

namespace shardscope {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Scenarios and configurations in a folder of their own.
class DeepSpeedScenario : public testing::Test {
protected:
    DeepSpeedScenario()
        : folder_(std::filesystem::temp_directory_path() /
                  ("deepspeed_scenario_" + std::to_string(getpid()))) {
        std::filesystem::create_directories(folder_);
        write("a.json",
              "{\"train_batch_size\": 64, \"gradient_clipping\": 0.5,\n"
              " \"bf16\": {\"enabled\": true},\n"
              " \"optimizer\": {\"type\": \"Adam\", \"params\": {\"lr\": 0.01}},\n"
              " \"zero_optimization\": {\"stage\": 2}}");
        write("open.json",
              "{\"train_batch_size\": \"auto\", \"zero_optimization\": {\"stage\": 1}}");
    }
    ~DeepSpeedScenario() override { std::filesystem::remove_all(folder_); }

    void write(const std::string& name, const std::string& text) const {
        std::ofstream(folder_ / name) << text;
    }
    Scenario parsed(const std::string& training, const std::string& strategies,
                    int gpus = 4) const {
        return parse_scenario(
            "model: gpt2-124m\n" + (training.empty() ? "" : "training: " + training + "\n") +
                "cluster: {gpu: h100-sxm, nodes: 1, gpus_per_node: " + std::to_string(gpus) +
                "}\nstrategies: " + strategies + "\n",
            (folder_ / "s.yaml").string(), {});
    }
    // What is wrong, with the folder left out.
    std::string fault(const std::string& training, const std::string& strategies,
                      int gpus = 4) const {
        try {
            parsed(training, strategies, gpus);
        } catch (const Error& e) {
            EXPECT_EQ(e.exit_code(), 3) << e.what();
            EXPECT_FALSE(e.fix.empty());
            std::string text = e.what();
            const std::string folder = folder_.string() + "/";
            for (std::size_t at; (at = text.find(folder)) != std::string::npos;)
                text.erase(at, folder.size());
            return text;
        }
        return "";
    }

    std::filesystem::path folder_;
};

TEST_F(DeepSpeedScenario, TheFileGivesTrainingAndStrategy) {
    for (const char* training : {"", "{steps: 3}"}) {
        const Scenario s = parsed(training, "[{deepspeed: a.json}]");
        EXPECT_EQ(s.training.global_batch, 64);
        EXPECT_EQ(s.training.clip, 0.5);
        EXPECT_EQ(s.training.precision, DType::bf16);
        EXPECT_EQ(s.training.optimizer.kind, OptimizerKind::adamw);
        EXPECT_EQ(s.training.optimizer.lr, 0.01);
        EXPECT_EQ(s.training.optimizer.weight_decay, 0);
        EXPECT_EQ(s.strategies[0].name, "zero-2");
        EXPECT_EQ(s.strategies[0].zero, 2);
        EXPECT_EQ(s.strategies[0].micro_batch, 16);
        EXPECT_EQ(s.strategies[0].bucket->value, 1'000'000'000);  // 5e8 of bf16
    }
}

TEST_F(DeepSpeedScenario, IsShownInThisProgramsOwnWords) {
    const Scenario first = parsed("", "[{name: x, deepspeed: a.json}, {name: y, zero: 3}]");
    const std::string yaml = scenario_to_yaml(first);
    EXPECT_EQ(yaml.find("deepspeed"), std::string::npos);
    const Scenario again = parse_scenario(yaml, (folder_ / "s.yaml").string(), {});
    EXPECT_EQ(scenario_to_yaml(again), yaml);
}

// What `import deepspeed` prints for a scenario is what `deepspeed:` does.
TEST_F(DeepSpeedScenario, TheImportedTextMeansTheSame) {
    const DeepSpeedSummary summary =
        summarise_deepspeed(load_deepspeed((folder_ / "a.json").string()), 4, 0, 1);
    const std::string text = deepspeed_to_text(summary);
    const std::string head = "In a scenario\n\n";
    const std::string yaml = text.substr(text.find(head) + head.size()) +
                             "model: gpt2-124m\n"
                             "cluster: {gpu: h100-sxm, nodes: 1, gpus_per_node: 4}\n";
    const Scenario native = parse_scenario(yaml, (folder_ / "s.yaml").string(), {});
    Scenario named = parsed("", "[{name: a, deepspeed: a.json}]");
    // A strategy without a pipeline has no use for a partition, and the text leaves it out.
    named.strategies[0].partition = native.strategies[0].partition;
    EXPECT_EQ(scenario_to_yaml(native), scenario_to_yaml(named));
}

TEST_F(DeepSpeedScenario, TheTriadUsesTheDataParallelSize) {
    write("b.json", "{\"train_batch_size\": 64, \"zero_optimization\": {\"stage\": 1}}");
    const Scenario s = parsed("",
                              "[{deepspeed: b.json, pp: 2}, {deepspeed: b.json, tp: 2, pp: 2}, "
                              "{name: two, deepspeed: b.json, ranks: 2}]",
                              8);
    EXPECT_EQ(s.strategies[0].micro_batch, 16);
    EXPECT_EQ(s.strategies[1].micro_batch, 32);
    EXPECT_EQ(s.strategies[2].micro_batch, 32);
    EXPECT_EQ(s.strategies[0].partition.kind, Partition::Kind::parameters);
    for (const Strategy& strategy : s.strategies)
        EXPECT_EQ(layout_for(s, strategy).micro_batches, 1);
}

TEST_F(DeepSpeedScenario, WhatTheFileLeavesOpenTheScenarioFills) {
    const Scenario s = parsed(
        "{global_batch: 32, micro_batch: 2, clip: 0, precision: bf16, "
        "optimizer: {sgd: {lr: 0.1}}}",
        "[{deepspeed: open.json}, {name: m, deepspeed: open.json, "
        "micro_batch: 4, bucket: 1MiB, prefetch: 3}]");
    EXPECT_EQ(s.training.global_batch, 32);
    EXPECT_EQ(s.training.clip, 0);
    EXPECT_EQ(s.training.optimizer.kind, OptimizerKind::sgd);
    EXPECT_EQ(s.strategies[0].micro_batch, 2);
    EXPECT_EQ(s.strategies[0].bucket->value, 1'000'000'000);
    EXPECT_EQ(s.strategies[1].micro_batch, 4);
    EXPECT_EQ(s.strategies[1].bucket->value, 1 << 20);
    EXPECT_EQ(s.strategies[1].prefetch, 3);
    EXPECT_THAT(fault("", "[{deepspeed: open.json}]"),
                AllOf(HasSubstr("batch: open.json"), HasSubstr("Trainer"),
                      HasSubstr("give global_batch in training")));
}

TEST_F(DeepSpeedScenario, ClippingIsDeepSpeedsDefaultUnlessSomeoneSaysOtherwise) {
    EXPECT_EQ(parsed("{global_batch: 32}", "[{deepspeed: open.json}]").training.clip, 1.0);
    EXPECT_EQ(parsed("{global_batch: 32, clip: 2}", "[{deepspeed: open.json}]").training.clip, 2.0);
}

TEST_F(DeepSpeedScenario, AdamAndAdamWAgreeWithoutWeightDecay) {
    const Scenario s = parsed("{optimizer: {adam: {lr: 0.01}}}", "[{deepspeed: a.json}]");
    EXPECT_EQ(s.training.optimizer.kind, OptimizerKind::adam);
    EXPECT_EQ(parsed("{optimizer: adam}", "[{deepspeed: a.json}]").training.optimizer.lr, 0.01);
    EXPECT_THAT(fault("{optimizer: {adam: {weight_decay: 0.1}}}", "[{deepspeed: a.json}]"),
                HasSubstr("optimizer.type is adamw, but s.yaml:2:23: optimizer is adam"));
}

TEST_F(DeepSpeedScenario, DisagreementsNameBothPlaces) {
    const std::string a = "[{deepspeed: a.json}]";
    EXPECT_THAT(fault("{global_batch: 32}", a),
                HasSubstr("disagree: a.json:1:22: train_batch_size is 64, but s.yaml:2:26: "
                          "global_batch is 32"));
    EXPECT_THAT(fault("{clip: 1.0}", a),
                HasSubstr("a.json:1:47: gradient_clipping is 0.5, but s.yaml:2:18: clip is 1"));
    EXPECT_THAT(fault("{precision: fp32}", a),
                HasSubstr("a.json:2:22: bf16.enabled is bf16, but s.yaml:2:23: precision is fp32"));
    EXPECT_THAT(fault("{optimizer: {adamw: {lr: 1}}}", a),
                HasSubstr("a.json:3:49: lr is 0.01, but s.yaml:2:23: optimizer.lr is 1"));
    EXPECT_THAT(fault("{optimizer: sgd}", a), HasSubstr("optimizer.type is adamw"));
    EXPECT_THAT(fault("", "[{deepspeed: a.json, zero: 1}]"),
                HasSubstr("a.json:4:33: zero_optimization.stage is 2, but s.yaml:3:"));
    EXPECT_THAT(fault("", "[{deepspeed: a.json, preset: zero-2}]"), HasSubstr("one-of"));
    write("m.json", "{\"train_batch_size\": 64, \"train_micro_batch_size_per_gpu\": 4}");
    EXPECT_THAT(fault("", "[{deepspeed: m.json, micro_batch: 8}]"),
                HasSubstr("m.json:1:60: train_micro_batch_size_per_gpu is 4, but s.yaml:3:"));
    write("r.json",
          "{\"train_batch_size\": 64, \"pipeline\": {\"activation_checkpoint_interval\": 1}}");
    EXPECT_THAT(fault("", "[{deepspeed: r.json, recompute: none}]"),
                HasSubstr("activation_checkpoint_interval is full, but s.yaml:3:"));
    write("k.json",
          "{\"train_batch_size\": 64, \"zero_optimization\": {\"stage\": 1, "
          "\"reduce_bucket_size\": 1000}}");
    EXPECT_THAT(fault("", "[{deepspeed: k.json, bucket: 1MiB}]"),
                HasSubstr("1000 elements of fp32, 4000 bytes, but s.yaml:3:"));
    EXPECT_EQ(fault("", "[{deepspeed: k.json, bucket: 4000}]"), "");
}

TEST_F(DeepSpeedScenario, FilesOfOneScenarioAgree) {
    write("b.json", "{\"train_batch_size\": 64, \"bf16\": {\"enabled\": true}}");
    // One clips at 0.5, the other at DeepSpeed's default.
    EXPECT_THAT(fault("", "[{deepspeed: a.json}, {deepspeed: b.json}]"),
                HasSubstr("a.json:1:47: gradient_clipping is 0.5, but b.json (DeepSpeed's "
                          "default): gradient_clipping is 1"));
    write("b.json",
          "{\"train_batch_size\": 64, \"gradient_clipping\": \"auto\", \"bf16\": "
          "{\"enabled\": \"auto\"}}");
    EXPECT_EQ(fault("", "[{deepspeed: b.json}, {deepspeed: a.json}]"), "");
    EXPECT_EQ(parsed("", "[{deepspeed: b.json}, {deepspeed: a.json}]").training.clip, 0.5);
    write("b.json",
          "{\"train_batch_size\": 32, \"gradient_clipping\": 0.5, \"bf16\": "
          "{\"enabled\": true}}");
    EXPECT_THAT(fault("", "[{deepspeed: a.json}, {deepspeed: b.json}]"),
                AllOf(HasSubstr("a.json:1:22: strategy zero-2 with 4 data-parallel ranks trains on "
                                "64 samples"),
                      HasSubstr("b.json:1:22: strategy ddp with 4 data-parallel ranks trains on 32 "
                                "samples")));
    // The same file, but as many samples as there are ranks.
    write("m.json", "{\"train_micro_batch_size_per_gpu\": 4}");
    EXPECT_THAT(fault("", "[{deepspeed: m.json}, {name: p, deepspeed: m.json, pp: 2}]"),
                AllOf(HasSubstr("trains on 16 samples"), HasSubstr("trains on 8 samples")));
}

TEST_F(DeepSpeedScenario, DeepSpeedsRefusalsKeepTheirWords) {
    write("m.json",
          "{\"train_batch_size\": 64, \"train_micro_batch_size_per_gpu\": 3, "
          "\"gradient_accumulation_steps\": 4}");
    EXPECT_THAT(fault("", "[{name: x, deepspeed: m.json}]"),
                AllOf(HasSubstr("batch: m.json:1:22: Check batch related parameters."),
                      HasSubstr("64 != 3 * 4 * 4"), HasSubstr("strategy x")));
    EXPECT_THAT(fault("{global_batch: 7}", "[{deepspeed: open.json}]"),
                AllOf(HasSubstr("7 != 1 * 1 * 4"), HasSubstr("global_batch 7 at s.yaml:2:26")));
    EXPECT_THAT(fault("", "[{deepspeed: a.json, pp: 2}]"),
                HasSubstr("ZeRO-2 and ZeRO-3 are incompatible with pipeline parallelism"));
    EXPECT_THAT(fault("", "[{deepspeed: a.json, tp: 3}]"), HasSubstr("world-size: s.yaml:3:"));
}

TEST_F(DeepSpeedScenario, WrongFilesAreNamed) {
    EXPECT_THAT(fault("", "[{deepspeed: }]"), HasSubstr("deepspeed"));
    write("b.json", "{\"train_batch_size\": 64, \"zero\": 1}");
    EXPECT_THAT(fault("", "[{deepspeed: b.json}]"), HasSubstr("unknown-key: b.json:1:26"));
    try {
        parsed("", "[{deepspeed: none.json}]");
        FAIL();
    } catch (const Error& e) {
        EXPECT_EQ(e.exit_code(), 2);
        EXPECT_THAT(e.message, HasSubstr((folder_ / "none.json").string()));
    }
}

}  // namespace
}  // namespace shardscope
