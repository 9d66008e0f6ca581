// `shardscope launch` as a user runs it. What ranks execute is mostly a shell (--program).
#include <csignal>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/process.h"

namespace shardscope {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

class Launch : public test::CommandLine {
protected:
    // Ranks that run `script`.
    test::Finished shells(std::vector<std::string> words, const std::string& script) const {
        words.insert(words.begin(), "launch");
        words.insert(words.end(), {"--program", "sh", "--", "-c", script});
        return shardscope(words);
    }
};

TEST_F(Launch, RanksGetTheirVariables) {
    const auto finished = shells({"--num_gpus", "2", "--master_port", "1234"},
                                 "echo $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE $LOCAL_SIZE "
                                 "$CROSS_RANK $CROSS_SIZE $MASTER_ADDR:$MASTER_PORT > rank$RANK");
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_EQ(test::read(path("rank0")), "0 0 2 2 2 0 1 127.0.0.1:1234\n");
    EXPECT_EQ(test::read(path("rank1")), "1 1 2 2 2 0 1 127.0.0.1:1234\n");
}

TEST_F(Launch, Rank0PrintsAsIfAlone) {
    const auto finished = shells({"--num_gpus", "2"},
                                 "[ $RANK = 1 ] && sleep 0.2; echo out $RANK; echo err $RANK >&2");
    EXPECT_EQ(finished.out, "out 0\n[rank 1] out 1\n");
    EXPECT_EQ(finished.err, "[rank 0] err 0\n[rank 1] err 1\n");
}

TEST_F(Launch, OneRankHasNoLabel) {
    const auto finished = shells({"--num_gpus", "1"}, "echo err >&2");
    EXPECT_EQ(finished.err, "err\n");
}

TEST_F(Launch, ShardscopeItselfIsWhatRanksRun) {
    const auto finished = shardscope({"launch", "--num_gpus", "1", "--", "show", "--help"});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("shardscope show"));
}

TEST_F(Launch, EveryMachineWithoutAPortGetsAFreeOne) {
    const auto finished = shells({"--num_gpus", "2"}, "echo $MASTER_PORT > port$RANK");
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_EQ(test::read(path("port0")), test::read(path("port1")));
    EXPECT_GT(std::stoi(test::read(path("port0"))), 0);
}

TEST_F(Launch, AFailureIsNamedAndItsExitCodeIsOurs) {
    const auto finished = shells({"--num-gpus", "3"}, "[ $RANK = 1 ] && kill -9 $$; sleep 60");
    EXPECT_EQ(finished.exit_code, 128 + 9);
    EXPECT_THAT(finished.err,
                MatchesRegex("shardscope: launch: rank 1 \\(process [0-9]+\\) ended by signal 9 "
                             "\\(killed\\); ending the other 2 ranks here\n"));
    EXPECT_EQ(shells({"--num_gpus", "2"}, "exit 5").exit_code, 5);
}

TEST_F(Launch, HostfileOfThisMachineGivesTheRanks) {
    write("hosts", "# one machine\nlocalhost slots=3\n");
    auto finished = shells({"-H", "hosts"}, "echo > $RANK.$WORLD_SIZE");
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_EQ(files(), (std::vector<std::string>{"0.3", "1.3", "2.3", "hosts"}));
    finished = shells({"-H", "hosts", "--include", "localhost:0,2"},
                      "echo $CUDA_VISIBLE_DEVICES > devices.$RANK");
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_EQ(test::read(path("devices.1")), "0,2\n");
}

}  // namespace
}  // namespace shardscope
