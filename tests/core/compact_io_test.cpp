#include "core/compact_io.h"

#include <filesystem>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "core/error.h"
#include "tests/support/scenario_edits.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;

const std::string kScenarios = SHARDSCOPE_SOURCE_DIR "/scenarios";

std::vector<std::string> shipped() {
    std::vector<std::string> files;
    for (const char* const folder : {"", "/tutorial", "/gpu"})
        for (const auto& entry : fs::directory_iterator(kScenarios + folder))
            if (entry.path().extension() == ".yaml") files.push_back(entry.path().string());
    return files;
}

// Both forms read back to the scenario.
void expect_reads_back(const Scenario& scenario, const ParseOptions& options) {
    const std::string yaml = scenario_to_compact_yaml(scenario, options);
    SCOPED_TRACE(yaml);
    EXPECT_EQ(parse_scenario(yaml, scenario.file, options), scenario);
    EXPECT_EQ(parse_scenario(scenario_to_compact_json(scenario, options), scenario.file, options),
              scenario);
}

TEST(CompactIoSlow, ShippedScenariosReadBack) {
    ParseOptions options;
    options.cores = 4;
    options.memory = Bytes(std::int64_t{8} << 30);
    for (const std::string& file : shipped()) {
        SCOPED_TRACE(file);
        expect_reads_back(load_scenario(file, options), options);
    }
}

TEST(CompactIoSlow, RandomScenariosReadBack) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    const ParseOptions options;
    for (const char* const name : {"gpt-13b-16-gpus.yaml", "gpt2-h100.yaml"}) {
        Scenario scenario = load_scenario(kScenarios + "/" + name, options);
        for (int i = 0; i < 40; ++i) {
            test::change(scenario, random);
            expect_reads_back(scenario, options);
            if (HasFailure()) return;
        }
    }
}

// As a person would write it.
TEST(CompactIo, WritesCatalogueNamesAndNoDefaults) {
    const Scenario scenario = parse_scenario(
        "model: {catalogue: gpt2-xl, seq: 512}\n"
        "training: {global_batch: 64, steps: 20, optimizer: {adamw: {lr: 1e-3}}}\n"
        "cluster: {gpu: h100-sxm, nodes: 4, device: {memory: 40GiB}}\n"
        "strategies: [ddp, {name: zero-3, zero: 3}, {name: mine, tp: 2, pp: 1, recompute: full},\n"
        "  {name: zero-1, zero: 0}]\n",
        "study.yaml", {});
    EXPECT_EQ(scenario_to_compact_yaml(scenario, {}),
              "model: {catalogue: gpt2-xl, seq: 512}\n"
              "training: {global_batch: 64}\n"
              "cluster: {gpu: h100-sxm, nodes: 4, device: {memory: 42949672960}}\n"
              "strategies: [ddp, zero-3, {name: mine, tp: 2, recompute: full}, {name: zero-1, "
              "zero: 0}]\n");
}

TEST(CompactIo, ThisMachineStaysThisMachine) {
    const std::string text =
        "model: mlp-784-128-10\ntraining: {global_batch: 64}\n"
        "cluster: {this_machine: {ranks: 2}}\nstrategies: [ddp]\n";
    ParseOptions options;
    options.cores = 2;
    options.memory = Bytes(std::int64_t{8} << 30);
    Scenario scenario = parse_scenario(text, "here.yaml", options);
    EXPECT_THAT(scenario_to_compact_yaml(scenario, options),
                testing::HasSubstr("cluster: {this_machine: {ranks: 2}}\n"));
    // Of another machine: its description is written, and reads back here.
    scenario.cluster.cores = 16;
    expect_reads_back(scenario, options);
}

TEST(CompactIo, DataInTheFoldersAreRelative) {
    const std::string text =
        "model: gpt2-124m\ndata: {text: sub/corpus.txt}\ntraining: {global_batch: 8}\n"
        "cluster: h100-sxm\nstrategies: [ddp]\n";
    const Scenario scenario = parse_scenario(text, "/data/s.yaml", {});
    EXPECT_EQ(std::get<TextData>(scenario.data).path, "/data/sub/corpus.txt");
    EXPECT_THAT(scenario_to_compact_yaml(scenario, {}), testing::HasSubstr("text: sub/corpus.txt"));
    Scenario moved = scenario;
    moved.file = "/other/s.yaml";
    EXPECT_THAT(scenario_to_compact_yaml(moved, {}),
                testing::HasSubstr("text: /data/sub/corpus.txt"));
}

}  // namespace
}  // namespace shardscope
