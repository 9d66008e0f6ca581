// Ranks as processes: their output, what happens on a failure, and that nothing is left over. The
// ranks are shells.
#include "cli/launch/process_group.h"

#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/cli/process.h"

namespace shardscope {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// A group whose ranks run one script each.
class Shells : public testing::Test {
protected:
    int run(const std::vector<std::string>& scripts, std::chrono::milliseconds grace = 10s) {
        ProcessGroup group(
            {out_, err_, 0s, grace, [this](const std::optional<RankEnd>& end, int signal) {
                 verdict_ = end ? end->text() : fmt::format("signal {}", signal);
                 err_at_verdict_ = err_.str();
             }});
        int rank = 0;
        for (const std::string& script : scripts)
            group.start({rank++, {"/bin/sh", "-c", script}, {"PATH=/usr/bin:/bin"}, false, false});
        return group.wait();
    }

    std::ostringstream out_, err_;
    std::string verdict_, err_at_verdict_;
};

TEST_F(Shells, LinesAreLabelledAndWhole) {
    EXPECT_EQ(run({"printf 'a\\nb\\nend without newline'", "printf c >&2; sleep 0.1; echo d >&2"}),
              0);
    EXPECT_EQ(out_.str(), "[rank 0] a\n[rank 0] b\n[rank 0] end without newline\n");
    EXPECT_EQ(err_.str(), "[rank 1] cd\n");
    EXPECT_EQ(verdict_, "");
}

TEST_F(Shells, ALineWithoutEndIsPassedOnInPieces) {
    EXPECT_EQ(run({"head -c 300000 /dev/zero | tr '\\0' x"}), 0);
    const std::string text = out_.str();
    EXPECT_EQ(std::count(text.begin(), text.end(), 'x'), 300'000);
}

TEST_F(Shells, TheFirstFailureEndsAllAndIsNamed) {
    const auto start = Clock::now();
    EXPECT_EQ(run({"sleep 60", "echo last words >&2; exit 7", "sleep 60"}), 7);
    EXPECT_LT(Clock::now() - start, 9s);  // SIGTERM was enough
    EXPECT_THAT(verdict_,
                testing::MatchesRegex("rank 1 \\(process [0-9]+\\) ended with exit code 7"));
    EXPECT_EQ(err_at_verdict_, "[rank 1] last words\n");
}

TEST_F(Shells, ASignalIsNamed) {
    EXPECT_EQ(run({"sleep 60", "kill -9 $$"}), 128 + 9);
    EXPECT_THAT(verdict_, HasSubstr("ended by signal 9 (killed)"));
    EXPECT_THAT(verdict_, HasSubstr("rank 1 "));
}

TEST_F(Shells, WhoIgnoresSigtermIsKilledAfterTheGrace) {
    const auto start = Clock::now();
    EXPECT_EQ(run({"trap '' TERM; while :; do sleep 0.05; done", "sleep 0.2; exit 3"}, 300ms), 3);
    const auto time = Clock::now() - start;
    EXPECT_GE(time, 500ms);
    EXPECT_LT(time, 9s);
}

TEST_F(Shells, WhatRanksStartedEndsWithThem) {
    run({"sleep 300 & echo $!; wait", "sleep 300 & echo $!; sleep 0.3; exit 1"});
    std::istringstream lines(out_.str());
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count)
        EXPECT_TRUE(test::ends_soon(std::stoi(line.substr(line.rfind(' ') + 1)))) << line;
    EXPECT_EQ(count, 2);
}

TEST_F(Shells, AGroupThatIsLeftKillsItsRanks) {
    pid_t rank = 0;
    {
        ProcessGroup group({out_, err_, 0s, 10s, {}});
        group.start(
            {0, {"/bin/sh", "-c", "echo $$ > /dev/stderr; exec sleep 300"}, {}, true, false});
        std::ifstream children(fmt::format("/proc/self/task/{}/children", getpid()));
        for (pid_t child = 0; children >> child;) rank = child;
    }
    ASSERT_GT(rank, 0);
    EXPECT_TRUE(test::ends_soon(rank));
}

TEST_F(Shells, AProgramThatIsNotThereIsAnError) {
    ProcessGroup group({out_, err_, 0s, 10s, {}});
    try {
        group.start({0, {"/nowhere/program"}, {}, true, true});
        FAIL();
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("cannot start /nowhere/program: No such file"));
        EXPECT_EQ(error.exit_code(), 2);
    }
}

TEST_F(Shells, RanksReadNothingAndStartUnblocked) {
    // Blocked signals would be inherited: a rank could then not be interrupted.
    EXPECT_EQ(run({"cat; grep SigBlk /proc/self/status"}), 0);
    EXPECT_EQ(out_.str(), "[rank 0] SigBlk:\t0000000000000000\n");
}

}  // namespace
}  // namespace shardscope
