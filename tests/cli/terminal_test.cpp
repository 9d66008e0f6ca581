// What a terminal shows and files and pipes do not have: progress and colours.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/progress.h"
#include "tests/cli/process.h"

namespace shardscope {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using Terminal = test::CommandLine;

const char* const kGreen = "\033[32m";
const char* const kRed = "\033[31m";

TEST_F(Terminal, RunShowsStepRateAndWhatIsLeft) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: zero-1, zero: 1}]"));
    const auto finished = shardscope_on_terminal({"run", "tiny.yaml", "--steps", "2000"});
    EXPECT_EQ(finished.exit_code, 0) << finished.out;
    EXPECT_THAT(finished.out,
                ContainsRegex("zero-1: step [0-9]+/2000, loss [0-9.]+, [0-9,]+ tokens/s, [0-9]+ s "
                              "left"));
    EXPECT_THAT(finished.out, HasSubstr("zero-1: 2000 steps done"));
}

TEST_F(Terminal, RunIsQuietElsewhere) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: zero-1, zero: 1}]"));
    EXPECT_EQ(shardscope({"run", "tiny.yaml"}).err, "");
}

TEST_F(Terminal, VerdictsAreGreenOrRed) {
    write("c.yaml",
          "nodes: 1\ngpus_per_node: 2\n"
          "device: {name: small, memory: 1MiB, peak: {fp32: 1e12}, memory_bandwidth: 1e11}\n"
          "intra_node: {bandwidth: 1e9, latency: 1e-5}\n");
    write("s.yaml",
          "model: {gpt: {layers: 2, hidden: 64, heads: 2, vocab: 64, seq: 8}}\n"
          "training: {global_batch: 2}\n"
          "cluster: {file: c.yaml}\n"
          "strategies: [{name: whole}, {name: sharded, zero: 3, tp: 2}]\n");
    const auto terminal = shardscope_on_terminal({"simulate", "s.yaml"});
    const auto plain = shardscope({"simulate", "s.yaml"});
    ASSERT_THAT(plain.out, HasSubstr("does not fit")) << plain.err;
    EXPECT_THAT(terminal.out, HasSubstr(std::string(kRed) + "does not fit\033[0m"));
    EXPECT_THAT(plain.out, Not(HasSubstr("\033")));

    set_variable("NO_COLOR", "1");
    EXPECT_THAT(shardscope_on_terminal({"simulate", "s.yaml"}).out, Not(HasSubstr(kRed)));
    set_variable("NO_COLOR", "");
    set_variable("TERM", "dumb");
    EXPECT_THAT(shardscope_on_terminal({"simulate", "s.yaml"}).out, Not(HasSubstr(kRed)));
}

TEST_F(Terminal, WhatFitsIsGreenAndFilesStayPlain) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: ddp}]"));
    EXPECT_THAT(shardscope_on_terminal({"run", "tiny.yaml"}).out,
                HasSubstr(std::string(kGreen) + "fits\033[0m"));
    shardscope_on_terminal({"run", "tiny.yaml", "--output", "report.txt"});
    EXPECT_THAT(test::read(path("report.txt")), HasSubstr("fits"));
    EXPECT_THAT(test::read(path("report.txt")), Not(HasSubstr("\033")));
}

TEST_F(Terminal, ErrorsAreRed) {
    EXPECT_THAT(shardscope_on_terminal({"simulate", "missing.yaml"}).out,
                HasSubstr(std::string(kRed) + "shardscope:\033[0m file: "));
    EXPECT_THAT(shardscope({"simulate", "missing.yaml"}).err, Not(HasSubstr("\033")));
}

TEST(Durations, AreReadable) {
    EXPECT_EQ(duration_text(Seconds(-1)), "0 s");
    EXPECT_EQ(duration_text(Seconds(11.2)), "12 s");
    EXPECT_EQ(duration_text(Seconds(200)), "3 min 20 s");
    EXPECT_EQ(duration_text(Seconds(7500)), "2 h 5 min");
    EXPECT_EQ(remaining_text(Seconds(10), 0.25), "30 s left");
    EXPECT_EQ(remaining_text(Seconds(10), 0), "");
    EXPECT_EQ(remaining_text(Seconds(10), 1), "0 s left");
}

}  // namespace
}  // namespace shardscope
