// `shardscope import` and models that scenarios take from a config.json, as a user meets them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/cli/process.h"
#include "tests/support/golden.h"

namespace shardscope {
namespace {

using testing::HasSubstr;
using Import = test::CommandLine;

TEST_F(Import, ListsItsFormats) {
    const auto help = shardscope({"import", "--help"});
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_THAT(help.out, HasSubstr("\n  hf "));
    EXPECT_THAT(shardscope({"import", "hf", "--help"}).out,
                HasSubstr("Example:\n  shardscope import hf"));
}

TEST_F(Import, PrintsATableOfAModel) {
    for (const char* name : {"gpt2", "qwen3-8b", "gemma-2b"}) {
        const auto finished = shardscope(
            {"import", "hf", test::source(std::string("tests/data/hf/") + name + ".json")});
        EXPECT_EQ(finished.exit_code, 0);
        EXPECT_EQ(finished.err, "");
        test::expect_golden(std::string("import_hf_") + name + ".txt", finished.out);
    }
}

TEST_F(Import, JsonHasTypeAndParameters) {
    const auto finished =
        shardscope({"import", "hf", test::source("tests/data/hf/llama-3-70b.json"), "--json",
                    "--seq", "4096"});
    EXPECT_EQ(finished.exit_code, 0);
    const auto json = nlohmann::json::parse(finished.out);
    EXPECT_EQ(json["model_type"], "llama");
    EXPECT_EQ(json["parameters"], 70553706496);
    EXPECT_EQ(json["seq"], 4096);
}

TEST_F(Import, RefusesInOneLine) {
    write("broken.json", "{\"model_type\": \"llama\", ");
    for (const std::string& file :
         {test::source("tests/data/hf/opt-350m.json"), std::string("broken.json")}) {
        const auto finished = shardscope({"import", "hf", file});
        EXPECT_EQ(finished.exit_code, 3);
        EXPECT_EQ(finished.out, "");
        test::expect_one_line_error(finished);
    }
    EXPECT_EQ(shardscope({"import", "hf", "missing.json"}).exit_code, 2);
}

constexpr const char* kTiny =
    "{\"model_type\": \"qwen3\", \"num_hidden_layers\": 2, \"hidden_size\": 24,\n"
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 8,\n"
    "\"intermediate_size\": 36, \"vocab_size\": 64, \"max_position_embeddings\": 64}";

std::string scenario(const std::string& model) {
    return "name: imported\nmodel: " + model +
           "\ntraining: {global_batch: 4, micro_batch: 2, steps: 2}\n"
           "cluster: {this_machine: {ranks: 2}}\n"
           "strategies: [{name: ddp}, {name: split, tp: 2, sequence_parallel: true}]\n";
}

TEST_F(Import, AScenarioRunsSimulatesAndComesBackFromShow) {
    std::filesystem::create_directory(path("models"));
    write("models/config.json", kTiny);
    write("s.yaml", scenario("{hf: models/config.json, seq: 8, name: small}"));
    const std::string measured = calibration();
    EXPECT_EQ(shardscope({"run", "s.yaml"}).exit_code, 0);
    EXPECT_EQ(shardscope({"simulate", "s.yaml", "--calibration", measured}).exit_code, 0);
    const auto shown = shardscope({"show", "s.yaml", "--calibration", measured});
    EXPECT_EQ(shown.exit_code, 0);
    EXPECT_THAT(shown.out, HasSubstr("qk_norm: true"));
    EXPECT_THAT(shown.out, HasSubstr("name: small"));
    write("shown.yaml", shown.out);
    EXPECT_EQ(shardscope({"show", "shown.yaml", "--calibration", measured}).out, shown.out);
}

TEST_F(Import, AScenarioNamesTheFileThatIsWrong) {
    write("config.json", "{\"model_type\": \"qwen3\",\n \"num_hidden_layers\": 0}");
    write("s.yaml", scenario("{hf: config.json}"));
    const auto wrong = shardscope({"show", "s.yaml"});
    EXPECT_EQ(wrong.exit_code, 3);
    EXPECT_THAT(wrong.err, HasSubstr("config.json:2:23"));
    write("missing.yaml", scenario("{hf: no.json}"));
    EXPECT_EQ(shardscope({"show", "missing.yaml"}).exit_code, 2);
    write("config.json", kTiny);
    write("both.yaml", scenario("{hf: config.json, catalogue: gpt2-124m}"));
    EXPECT_THAT(shardscope({"show", "both.yaml"}).err, HasSubstr("keep one of the two"));
}

}  // namespace
}  // namespace shardscope
