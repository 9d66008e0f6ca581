// Help, wrong command lines and wrong files: what is said, where, and the exit code.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command.h"
#include "tests/cli/process.h"

namespace shardscope {
namespace {

using testing::HasSubstr;
using Usage = test::CommandLine;

TEST_F(Usage, HelpListsEveryCommand) {
    const auto help = shardscope({"--help"});
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_EQ(help.err, "");
    for (const Command& command : commands())
        EXPECT_THAT(help.out, HasSubstr("  " + std::string(command.name) + " "));
}

TEST_F(Usage, EveryCommandHasHelpWithOneExample) {
    for (const Command& command : commands()) {
        const auto help = shardscope({std::string(command.name), "--help"});
        EXPECT_EQ(help.exit_code, 0) << command.name;
        EXPECT_TRUE(help.out.ends_with(fmt::format("Example:\n  {}\n", command.example)));
        EXPECT_EQ(help.out.find("Example:"), help.out.rfind("Example:")) << help.out;
        EXPECT_EQ(help.err, "") << command.name;
    }
}

TEST_F(Usage, VersionIsPrinted) {
    const auto version = shardscope({"--version"});
    EXPECT_EQ(version.exit_code, 0);
    EXPECT_TRUE(version.out.starts_with("shardscope ")) << version.out;
}

struct WrongLine {
    std::vector<std::string> words;
    std::string message;
};

class WrongUsage : public Usage, public testing::WithParamInterface<WrongLine> {};

TEST_P(WrongUsage, IsOneLineWithAFixAndExitCode2) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: ddp}]"));
    write("two.yaml", test::tiny_scenario_text("[{name: a}, {name: b}]"));
    const auto finished = shardscope(GetParam().words);
    EXPECT_EQ(finished.exit_code, 2);
    EXPECT_EQ(finished.out, "");
    EXPECT_THAT(finished.err, HasSubstr(GetParam().message));
    test::expect_one_line_error(finished);
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongUsage,
    testing::Values(
        WrongLine{{}, "no command; see shardscope --help"},
        WrongLine{{"comapre"}, "unknown command \"comapre\"; use \"compare\""},
        WrongLine{{"xyzzy"}, "use one of simulate, run"},
        WrongLine{{"simulate"}, "FILE is required"},
        WrongLine{{"simulate", "tiny.yaml", "--jsn"}, "\"--jsn\"; use --json"},
        WrongLine{{"simulate", "tiny.yaml", "--strat=ddp"}, "use --strategy"},
        WrongLine{{"simulate", "tiny.yaml", "--json", "--csv"}, "--csv"},
        WrongLine{{"simulate", "tiny.yaml", "again.yaml"}, "unexpected argument \"again.yaml\""},
        WrongLine{{"run", "tiny.yaml", "--steps", "many"}, "--steps"},
        WrongLine{{"run", "tiny.yaml", "--steps", "0"}, "--steps"},
        WrongLine{{"run", "tiny.yaml", "--ranks", "-1"}, "--ranks"},
        WrongLine{{"run", "tiny.yaml", "--backend", "cpus"},
                  "unknown backend \"cpus\"; use \"cpu\""},
        WrongLine{{"run", "tiny.yaml", "--strategy", "dpp"}, "no strategy \"dpp\"; use \"ddp\""},
        WrongLine{{"simulate", "missing.yaml"}, "missing.yaml"},
        WrongLine{{"simulate", "."}, "file: "},
        WrongLine{{"simulate", "tiny.yaml"}, "run `shardscope calibrate`"},
        WrongLine{{"import"}, "no format to import; see shardscope import --help"},
        WrongLine{{"import", "hff", "x"}, "unknown format \"hff\"; use \"hf\""},
        WrongLine{{"import", "hf"}, "FILE is required"},
        WrongLine{{"import", "hf", "missing.json"}, "missing.json"},
        WrongLine{{"completion"}, "no shell to complete for; use `completion bash`"},
        WrongLine{{"completion", "fish"}, "no completion for \"fish\""},
        WrongLine{{"calibrate", "--output", "missing/file"}, "missing/file: cannot write"},
        WrongLine{{"run", "tiny.yaml", "--output", "tiny.yaml/file"},
                  "tiny.yaml/file: cannot write"},
        WrongLine{{"run", "tiny.yaml", "--output", "."}, "directory"},
        WrongLine{{"simulate", "two.yaml", "--trace", "t.json"},
                  "--trace shows one strategy, but there are 2; add --strategy \"a\""},
        WrongLine{{"run", "two.yaml", "--trace", "t.json"}, "add --strategy"},
        WrongLine{{"compare", "two.yaml", "--trace", "t.json"}, "add --strategy"},
        WrongLine{{"simulate", "tiny.yaml", "--trace", "missing/t.json"},
                  "missing/t.json: cannot write"},
        WrongLine{{"simulate", "tiny.yaml", "--trace", "t", "--output", "t"}, "both name t"},
        WrongLine{{"run", "tiny.yaml", "--output", ""}, "--output names no file"},
        WrongLine{{"run", "tiny.yaml", "--output", "./tiny.yaml"}, "names the scenario"},
        WrongLine{{"run", "tiny.yaml", "--trace", "tiny.yaml"}, "names the scenario"},
        WrongLine{{"run", "tiny.yaml", "--trace", "o.json", "--output", "./o.json"},
                  "both name o.json"}));

TEST_F(Usage, WrongScenarioNamesFileAndLineWithExitCode3) {
    write("wrong.yaml", "name: wrong\nmodel: {gpt: {layrs: 2}}\n");
    for (const char* command : {"simulate", "run", "compare", "show"}) {
        const auto finished = shardscope({command, "wrong.yaml"});
        EXPECT_EQ(finished.exit_code, 3) << command;
        EXPECT_EQ(finished.out, "") << command;
        EXPECT_THAT(finished.err, HasSubstr("wrong.yaml:2:"));
        EXPECT_THAT(finished.err, HasSubstr("layers"));
        test::expect_one_line_error(finished);
    }
}

TEST_F(Usage, UnwritableOutputLeavesNothingBehind) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: ddp}]"));
    std::filesystem::create_directory(path("folder"));
    const auto finished = shardscope({"run", "tiny.yaml", "--output", "folder"});
    EXPECT_EQ(finished.exit_code, 2);
    EXPECT_EQ(files(), (std::vector<std::string>{"folder", "tiny.yaml"}));
}

TEST_F(Usage, AFailedRunKeepsTheOldReport) {
    write("wrong.yaml", "name: wrong\n");
    write("report.json", "old");
    EXPECT_EQ(shardscope({"simulate", "wrong.yaml", "--output", "report.json"}).exit_code, 3);
    EXPECT_EQ(test::read(path("report.json")), "old");
    EXPECT_EQ(files(), (std::vector<std::string>{"report.json", "wrong.yaml"}));
}

TEST_F(Usage, MissingCorpusIsAFileError) {
    std::string text = test::tiny_scenario_text("[{name: ddp}]");
    write("tiny.yaml", text + "data: {text: missing.txt}\n");
    const auto finished = shardscope({"run", "tiny.yaml", "--json"});
    EXPECT_EQ(finished.exit_code, 2);
    EXPECT_EQ(finished.out, "");
    EXPECT_THAT(finished.err, HasSubstr("missing.txt"));
    test::expect_one_line_error(finished);
}

}  // namespace
}  // namespace shardscope
