// `shardscope validate` as a user runs it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/cli/process.h"

namespace shardscope {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Validate = test::CommandLine;

std::string runs() { return test::source("tests/data/measured_runs.csv"); }

TEST_F(Validate, PrintsErrorsByFamilyAndWhatItLeftOut) {
    const auto finished = shardscope({"validate", runs()});
    EXPECT_EQ(finished.exit_code, 0);
    EXPECT_EQ(finished.err, "");
    EXPECT_THAT(finished.out, HasSubstr("10 runs, 8 predicted, 2 skipped\n"));
    for (const char* family : {"\ndense ", "\npipeline ", "\nsharded ", "\nall "})
        EXPECT_THAT(finished.out, HasSubstr(family));
    EXPECT_THAT(finished.out, HasSubstr("experts compute swiglu"));
    EXPECT_THAT(finished.out, HasSubstr("(experts-1)\n"));
    EXPECT_THAT(finished.out, HasSubstr("12 GPUs do not fill nodes of 8 GPUs"));
}

TEST_F(Validate, JsonIsTheSameForAnyNumberOfThreads) {
    const auto of = [&](const char* threads) {
        const auto finished = shardscope({"validate", runs(), "--json", "--threads", threads});
        EXPECT_EQ(finished.exit_code, 0) << finished.err;
        Json j = Json::parse(finished.out);
        EXPECT_EQ(j["rows"], 10);
        EXPECT_EQ(j["skipped"].size(), 2u);
        EXPECT_EQ(j["details"].size(), 10u);
        j.erase("context");  // its date
        return j.dump();
    };
    EXPECT_EQ(of("1"), of("3"));
}

TEST_F(Validate, FamilyAndIdChooseRows) {
    const auto ids = [&](std::vector<std::string> options) {
        options.insert(options.begin(), {"validate", runs(), "--json"});
        const auto finished = shardscope(options);
        EXPECT_EQ(finished.exit_code, 0) << finished.err;
        std::vector<std::string> found;
        const Json result = Json::parse(finished.out);
        for (const Json& row : result["details"]) found.push_back(row["id"]);
        return found;
    };
    EXPECT_THAT(ids({"--family", "pipeline"}), ElementsAre("pipeline-1", "pipeline-2"));
    EXPECT_THAT(ids({"--id", "sharded-2", "--id", "dense-1"}), ElementsAre("dense-1", "sharded-2"));
    EXPECT_THAT(ids({"--family", "dense", "--family", "sharded", "--id", "sharded-1"}),
                ElementsAre("sharded-1"));
}

TEST_F(Validate, WritesATableAndAPicture) {
    const auto finished =
        shardscope({"validate", runs(), "--csv", "out.csv", "--plot", "out.svg", "--times"});
    EXPECT_EQ(finished.exit_code, 0);
    EXPECT_THAT(finished.err, HasSubstr("simulate"));
    EXPECT_THAT(test::read(path("out.csv")), HasSubstr("\ndense-1,dense,gpt-small,megatron,"));
    EXPECT_THAT(test::read(path("out.svg")), HasSubstr("<title>dense-1: predicted "));
    EXPECT_EQ(finished.out, shardscope({"validate", runs()}).out);
}

TEST_F(Validate, ExitCode3WhereNoRowCanBePredicted) {
    const auto finished = shardscope({"validate", runs(), "--family", "experts"});
    EXPECT_EQ(finished.exit_code, 3);
    EXPECT_THAT(finished.out, HasSubstr("2 runs, 0 predicted, 2 skipped"));
}

// In text, JSON and CSV; other rows are predicted as if it were not there.
TEST_F(Validate, ARowWithAMalformedCellIsLeftOut) {
    std::string text = test::read(runs());
    text.replace(text.find(",0.21,"), 6, ",fast,");
    const std::string file = write("runs.csv", text);
    const char* reason = "runs.csv:2: column \"step_time_s\": \"fast\" is no number; write one";
    const auto finished = shardscope({"validate", file, "--csv", "out.csv"});
    EXPECT_EQ(finished.exit_code, 0);
    EXPECT_EQ(finished.err, "");
    EXPECT_THAT(finished.out, HasSubstr("10 runs, 7 predicted, 3 skipped\n"));
    EXPECT_THAT(finished.out, HasSubstr(reason));
    EXPECT_THAT(test::read(path("out.csv")), HasSubstr("runs.csv:2: column \"\"step_time_s\"\""));
    const Json j = Json::parse(shardscope({"validate", file, "--json"}).out);
    EXPECT_EQ(j["skipped"][0]["id"], "dense-1");
    EXPECT_THAT(j["skipped"][0]["reason"].get<std::string>(), HasSubstr(reason));
    const Json before = Json::parse(shardscope({"validate", runs(), "--json"}).out);
    EXPECT_EQ(j["details"][1], before["details"][1]);
    const auto alone = shardscope({"validate", file, "--id", "dense-1"});
    EXPECT_EQ(alone.exit_code, 3);
    EXPECT_THAT(alone.out, HasSubstr("1 runs, 0 predicted, 1 skipped"));
}

TEST_F(Validate, ARunThatRanOutOfMemoryHasAVerdictAlone) {
    std::string text = test::read(runs());
    text.replace(text.find(",0.21,,11.5,"), 12, ",oom,,OOM,");
    const std::string file = write("runs.csv", text);
    const auto finished = shardscope({"validate", file});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("10 runs, 8 predicted, 2 skipped\n"));
    EXPECT_THAT(finished.out, HasSubstr("\nRan out of memory, but said to fit: 1 (dense-1)\n"));
    const Json j = Json::parse(shardscope({"validate", file, "--json"}).out);
    EXPECT_EQ(j["time"]["n"], 7);
    EXPECT_EQ(j["verdicts"]["out_of_memory"]["fits"], 1);
    EXPECT_TRUE(j["details"][0]["measured_step_time_s"].is_null());
    EXPECT_TRUE(j["details"][0]["measured_peak_gib"].is_null());
}

TEST_F(Validate, ColumnsWithoutAMeaningAreNamed) {
    std::string text = test::read(runs());
    for (std::size_t end = 0; (end = text.find('\n', end)) != text.npos;) {
        const std::string more = end == text.find('\n') ? ",notes,mfu" : ",none,40";
        text.insert(end, more);
        end += more.size() + 1;
    }
    const std::string file = write("runs.csv", text);
    const auto finished = shardscope({"validate", file});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("10 runs, 8 predicted, 2 skipped\n"
                                        "Columns that are not read: notes, mfu\n"));
    const Json j = Json::parse(shardscope({"validate", file, "--json"}).out);
    EXPECT_EQ(j["columns_not_read"].dump(), R"(["notes","mfu"])");
}

TEST_F(Validate, WrongFilesAreNamedWithLineAndColumn) {
    const std::string text = test::read(runs());
    const auto refused = [&](const std::string& content, int exit_code, const char* message) {
        const auto finished = shardscope({"validate", write("bad.csv", content)});
        EXPECT_EQ(finished.exit_code, exit_code);
        EXPECT_EQ(finished.out, "");
        EXPECT_THAT(finished.err, HasSubstr(message));
        test::expect_one_line_error(finished);
    };
    std::string renamed = text;
    renamed.replace(renamed.find(",hidden,"), 8, ",hiden,");
    refused(renamed, 3, "bad.csv:1: unknown column \"hiden\"; use \"hidden\"");
    refused(text + text.substr(text.find("dense-1,")), 3, "is also in line 2");
    refused(text + "dense-9,dense\n", 3, "2 fields, but there are");
    refused("", 3, "no line with column names");
    refused(text.substr(0, text.find('\n') + 1), 3, "no-rows: ");
    const auto missing = shardscope({"validate", "none.csv"});
    EXPECT_EQ(missing.exit_code, 2);
    EXPECT_THAT(missing.err, HasSubstr("none.csv: there is no such CSV file"));
}

TEST_F(Validate, WrongWordsHaveAFix) {
    const auto refused = [&](const std::vector<std::string>& options, const char* message) {
        std::vector<std::string> words{"validate", runs()};
        words.insert(words.end(), options.begin(), options.end());
        const auto finished = shardscope(words);
        EXPECT_EQ(finished.exit_code, 2);
        EXPECT_EQ(finished.out, "");
        EXPECT_THAT(finished.err, HasSubstr(message));
        test::expect_one_line_error(finished);
    };
    refused({"--family", "dens"}, "has no family \"dens\"; use \"dense\"");
    refused({"--id", "dense-7"}, "has no row \"dense-7\"; use \"dense-");
    refused({"--family", "dense", "--id", "sharded-1"}, "no row is both");
    refused({"--csv", ""}, "--csv names no file");
    refused({"--plot", runs()}, "the file to read");
    refused({"--csv", "a", "--plot", "./a"}, "both name");
    refused({"--plot", "none/a.svg"}, "cannot write");
    refused({"--threads", "0"}, "--threads");
    EXPECT_THAT(files(), IsEmpty());
}

TEST_F(Validate, TellsHowFarItIsOnATerminal) {
    const auto finished = shardscope_on_terminal({"validate", runs()});
    EXPECT_EQ(finished.exit_code, 0);
    EXPECT_THAT(finished.out, HasSubstr(" of 10 runs"));
}

}  // namespace
}  // namespace shardscope
