// `shardscope launch` as a user runs it. What ranks execute is mostly a shell (--program).
#include <csignal>
#include <sstream>

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

TEST_F(Launch, RanksAreNotTakenForThoseOfALauncherAround) {
    set_variable("OMPI_COMM_WORLD_RANK", "0");
    set_variable("OMPI_COMM_WORLD_SIZE", "1");
    set_variable("RANK", "7");
    const auto finished =
        shells({"--num_gpus", "2"}, "echo $RANK-$OMPI_COMM_WORLD_RANK > rank$RANK");
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_EQ(test::read(path("rank1")), "1-\n");
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

// The processes whose numbers ranks wrote into the file have ended.
void expect_ended(const std::string& file) {
    std::istringstream numbers(test::read(file));
    int count = 0;
    for (int process = 0; numbers >> process; ++count)
        EXPECT_TRUE(test::ends_soon(process)) << process;
    EXPECT_GT(count, 0) << file;
}

// Rank 0 sends its parent a signal once both ranks are there.
std::string signals_parent(const char* signal) {
    return std::string(
               "echo $$ > pid$RANK; if [ $RANK = 0 ]; then while ! [ -s pid1 ]; do sleep "
               "0.02; done; kill -") +
           signal + " $PPID; fi; sleep 300 & echo $! >> pid$RANK; wait";
}

TEST_F(Launch, WhenItIsAskedToEndItsRanksEnd) {
    for (const auto& [name, number] : {std::pair{"TERM", SIGTERM}, {"INT", SIGINT}}) {
        const auto finished = shells({"--num_gpus", "2"}, signals_parent(name));
        EXPECT_EQ(finished.exit_code, 128 + number);
        EXPECT_THAT(finished.err, HasSubstr("ending the 2 ranks here"));
        expect_ended(path("pid0"));
        expect_ended(path("pid1"));
    }
}

TEST_F(Launch, WhenItIsKilledItsRanksEndToo) {
    const auto finished = shells({"--num_gpus", "2"},
                                 "echo $$ > pid$RANK; if [ $RANK = 0 ]; then "
                                 "while ! [ -s pid1 ]; do sleep 0.02; done; "
                                 "kill -KILL $PPID; fi; sleep 20");
    EXPECT_EQ(finished.exit_code, 128 + SIGKILL);
    expect_ended(path("pid0"));
    expect_ended(path("pid1"));
}

// With programs of the engines' names that print their arguments, first on PATH.
class LaunchEngine : public Launch {
protected:
    LaunchEngine() {
        for (const char* name : {"mpirun", "srun", "torchrun"}) {
            write(name,
                  std::string("#!/bin/sh\necho ") + name + "; printf '<%s>' \"$@\"; exit 9\n");
            std::filesystem::permissions(path(name), std::filesystem::perms::owner_all);
        }
        set_variable("PATH", path("") + ":/usr/bin:/bin");
        write("hosts", "h1 slots=8\nh2 slots=8\n");
    }
    test::Finished launch(const std::vector<std::string>& options) {
        std::vector<std::string> words{"launch"};
        words.insert(words.end(), options.begin(), options.end());
        words.insert(words.end(), {"--", "run", "a b.yaml", "--steps", "3"});
        return shardscope(words);
    }
};

TEST_F(LaunchEngine, IsExecutedWithTheCommandThatIsPrinted) {
    const auto finished = launch({"--num_nodes", "2", "--num_gpus", "8", "--hostfile", "hosts",
                                  "--launcher_args", "--mca pml 'ob1 x'"});
    EXPECT_EQ(finished.exit_code, 9);  // the engine's own
    EXPECT_THAT(finished.out,
                MatchesRegex("mpirun\n<-np><16><-H><h1:8,h2:8><--bind-to><none><-x><MASTER_ADDR=h1>"
                             "<-x><MASTER_PORT=29500><--mca><pml><ob1 x></[^>]*/shardscope><run><a "
                             "b.yaml><--steps><3>"));
    EXPECT_THAT(finished.err, HasSubstr("mpirun -np 16 -H h1:8,h2:8 --bind-to none -x"));
    EXPECT_THAT(finished.err, HasSubstr("--mca pml 'ob1 x' /"));
}

TEST_F(LaunchEngine, IsSrunInsideASlurmAllocation) {
    set_variable("SLURM_JOB_ID", "7");
    set_variable("SLURM_JOB_NUM_NODES", "2");
    set_variable("SLURM_JOB_NODELIST", "n[1-2]");
    const auto finished = launch({"--num-gpus=8"});
    EXPECT_EQ(finished.exit_code, 9) << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("srun\n<-N><2><--ntasks-per-node><8><--export=ALL,"
                                        "MASTER_ADDR=n1,MASTER_PORT=29500></"));
}

TEST_F(LaunchEngine, IsTorchrunWhereItIsNamed) {
    const auto finished = launch({"--launcher", "torchrun", "-H", "hosts", "--node-rank", "1"});
    EXPECT_EQ(finished.exit_code, 9) << finished.err;
    EXPECT_THAT(finished.out,
                HasSubstr("torchrun\n<--nnodes><2><--nproc_per_node><8><--node_rank><1>"
                          "<--master_addr><h1><--master_port><29500><--no_python></"));
}

TEST_F(LaunchEngine, IsPrintedOnlyInADryRun) {
    const auto finished = launch({"-H", "hosts", "--dry-run"});
    EXPECT_EQ(finished.exit_code, 0);
    EXPECT_THAT(finished.out, HasSubstr("mpirun -np 16"));
    EXPECT_EQ(finished.err, "");
}

TEST_F(LaunchEngine, VariablesOfNcclAndUcxGoAlong) {
    set_variable("NCCL_DEBUG", "INFO");
    EXPECT_THAT(launch({"-H", "hosts", "--dry_run"}).out, HasSubstr(" -x NCCL_DEBUG "));
}

struct WrongLaunch {
    std::vector<std::string> words;
    int exit_code;
    std::string message;
};

class WrongLaunches : public Launch, public testing::WithParamInterface<WrongLaunch> {};

TEST_P(WrongLaunches, AreOneLineWithAFix) {
    write("bad", "h1 slots=2\nh2 slots\n");
    write("good", "h1 slots=2\nh2 slots=2\n");
    std::vector<std::string> words{"launch"};
    words.insert(words.end(), GetParam().words.begin(), GetParam().words.end());
    const auto finished = shardscope(words);
    EXPECT_EQ(finished.exit_code, GetParam().exit_code);
    EXPECT_THAT(finished.err, HasSubstr(GetParam().message));
    test::expect_one_line_error(finished);
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongLaunches,
    testing::Values(
        WrongLaunch{{}, 2, "no command to launch; write it behind --"},
        WrongLaunch{{"run", "x.yaml"}, 2, "write it behind --"},
        WrongLaunch{{"run", "--", "x.yaml"}, 2, "unexpected argument \"run\""},
        WrongLaunch{{"--", "rum"}, 2, "unknown command \"rum\" behind --; use \"run\""},
        WrongLaunch{{"--", "launch"}, 2, "launch cannot launch itself"},
        WrongLaunch{{"--num_node", "2", "--", "run"}, 2, "use --num_nodes"},
        WrongLaunch{{"--num_gpus", "0", "--", "run"}, 2, "--num_gpus"},
        WrongLaunch{{"--num_nodes", "2", "--", "run"}, 2, "Num nodes is >1 but no extra nodes"},
        WrongLaunch{{"-H", "missing", "--", "run"}, 2, "missing"},
        WrongLaunch{
            {"-H", "bad", "--", "run"}, 3, "bad:2: Hostfile contains a bad entry: h2 slots"},
        WrongLaunch{{"-H", "good", "-i", "h3", "--", "run"}, 2, "Hostname 'h3' not found in good"},
        WrongLaunch{{"-H", "good", "-e", "h1:2", "--", "run"}, 2, "No slot '2' specified on host"},
        WrongLaunch{{"--launcher", "pdsh", "--", "run"}, 2, "--launcher pdsh is not supported"},
        WrongLaunch{{"--launcher_args", "'x", "--", "run"}, 2, "ends within a quotation"},
        WrongLaunch{{"--program", "nope", "--", "x"}, 2, "--program nope: no such program"}));

}  // namespace
}  // namespace shardscope
