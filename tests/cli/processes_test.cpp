// Commands whose ranks are processes, started by `launch` and by mpirun, as a user sees them.
#include <chrono>
#include <csignal>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/cli/process.h"

namespace shardscope {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;
using testing::Not;

const char* const kProcessStrategies = "[{name: ddp}, {name: zero-3, zero: 3}, {name: pp2, pp: 2}]";

class ProcessesSlow : public test::CommandLine {
protected:
    test::Finished launch(int ranks, std::vector<std::string> words) const {
        words.insert(words.begin(), {"launch", "--num_gpus", std::to_string(ranks), "--"});
        return shardscope(words);
    }
    test::Finished mpirun(int ranks, std::vector<std::string> words) {
        set_variable("OMPI_ALLOW_RUN_AS_ROOT", "1");
        set_variable("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        words.insert(words.begin(), {SHARDSCOPE_MPIRUN, "--oversubscribe", "--bind-to", "none",
                                     "-n", std::to_string(ranks), SHARDSCOPE_BINARY});
        return execute(words);
    }
    // Rank 0's one report, of the same losses and bytes as that of threads.
    void expect_same_as_threads(const test::Finished& processes) {
        ASSERT_EQ(processes.exit_code, 0) << processes.err;
        const Json mine = Json::parse(processes.out);
        const Json threads = Json::parse(shardscope({"run", "tiny.yaml", "--json"}).out);
        ASSERT_EQ(mine["strategies"].size(), threads["strategies"].size());
        for (std::size_t i = 0; i < mine["strategies"].size(); ++i) {
            const Json& a = mine["strategies"][i]["measured"];
            const Json& b = threads["strategies"][i]["measured"];
            EXPECT_EQ(a["losses"], b["losses"]);
            EXPECT_EQ(a["memory"]["peak_bytes"], b["memory"]["peak_bytes"]);
            EXPECT_EQ(a["memory"]["ranks"].size(), b["memory"]["ranks"].size());
        }
    }
    void write_tiny() { write("tiny.yaml", test::tiny_scenario_text(kProcessStrategies)); }
};

TEST_F(ProcessesSlow, LaunchedRanksTrainLikeThreads) {
    write_tiny();
    expect_same_as_threads(launch(2, {"run", "tiny.yaml", "--json"}));
}

// As mpiexec of MPICH and Intel start them, without MPI, by a file that an earlier run has left.
TEST_F(ProcessesSlow, RanksThatMeetByAFileTrainLikeThreads) {
    write_tiny();
    write("meeting", "shardscope meeting 1\n99 1\n127.0.0.1\n");
    set_variable("SHARDSCOPE_RENDEZVOUS", "file://" + path("meeting"));
    const std::string program = SHARDSCOPE_BINARY " run tiny.yaml --json";
    const auto processes = execute({"/bin/sh", "-c",
                                    "PMI_SIZE=2 PMI_RANK=1 " + program +
                                        " & sleep 0.2; "
                                        "PMI_SIZE=2 PMI_RANK=0 " +
                                        program + " && wait $!"});
    expect_same_as_threads(processes);
    EXPECT_FALSE(std::filesystem::exists(path("meeting")));
}

TEST_F(ProcessesSlow, RanksUnderMpirunMeetByAFile) {
    if (std::string(SHARDSCOPE_MPIRUN).empty()) GTEST_SKIP() << "this build has no MPI module";
    write_tiny();
    set_variable("SHARDSCOPE_RENDEZVOUS", "file://" + path("meeting"));
    const auto processes = mpirun(2, {"run", "tiny.yaml", "--json"});
    expect_same_as_threads(processes);
    EXPECT_THAT(processes.out, HasSubstr("they communicate over tcp"));
}

TEST_F(ProcessesSlow, RanksUnderMpirunTrainLikeThreads) {
    if (std::string(SHARDSCOPE_MPIRUN).empty()) GTEST_SKIP() << "this build has no MPI module";
    write_tiny();
    expect_same_as_threads(mpirun(2, {"run", "tiny.yaml", "--json"}));
}

TEST_F(ProcessesSlow, OtherCommandsAreRank0sAlone) {
    const auto one = shardscope({"simulate", test::source("scenarios/gpt2-h100.yaml"), "--csv"});
    const auto three = launch(3, {"simulate", test::source("scenarios/gpt2-h100.yaml"), "--csv"});
    EXPECT_EQ(three.exit_code, 0);
    EXPECT_EQ(three.out, one.out);
}

TEST_F(ProcessesSlow, BadInputIsToldOnce) {
    write("bad.yaml", "model: nothing\n");
    const auto finished = launch(3, {"run", "bad.yaml"});
    EXPECT_EQ(finished.exit_code, 3);
    const std::size_t first = finished.err.find("bad.yaml:1:8");
    ASSERT_NE(first, std::string::npos) << finished.err;
    EXPECT_EQ(finished.err.find("bad.yaml:1:8", first + 1), std::string::npos) << finished.err;
}

TEST_F(ProcessesSlow, TheNumberOfProcessesMustBeTheScenarios) {
    write_tiny();
    const auto refused = launch(4, {"run", "tiny.yaml"});
    EXPECT_EQ(refused.exit_code, 3);
    EXPECT_THAT(refused.err, HasSubstr("4 processes were started, but the scenario's cluster asks "
                                       "for 2 ranks; start 2, or add --ranks 4"));
    EXPECT_EQ(launch(1, {"run", "tiny.yaml", "--ranks", "1", "--strategy", "ddp"}).exit_code, 0);
}

// Files are rank 0's: the others neither write nor truncate them.
TEST_F(ProcessesSlow, OneReportAndOneTrace) {
    write_tiny();
    const auto finished = launch(2, {"run", "tiny.yaml", "--json", "--output", "report.json",
                                     "--trace", "trace.json", "--strategy", "pp2"});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_EQ(finished.out, "");
    EXPECT_EQ(Json::parse(test::read(path("report.json")))["strategies"].size(), 1u);
    const std::string trace = Json::parse(test::read(path("trace.json"))).dump();
    EXPECT_THAT(trace, HasSubstr("rank 0"));
    EXPECT_THAT(trace, HasSubstr("rank 1"));
}

TEST_F(ProcessesSlow, CalibrationAddsTheTransport) {
    calibration();
    const auto finished = launch(2, {"calibrate", "--quick", "--output", "calibration.yaml"});
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("processes over tcp"));
    EXPECT_THAT(finished.out, HasSubstr("all_reduce"));
    EXPECT_THAT(finished.out, HasSubstr("transfer"));
    const std::string file = test::read(path("calibration.yaml"));
    EXPECT_THAT(file, HasSubstr("date: \"2026-01-01\"")) << "what was known is kept";
    EXPECT_THAT(file, HasSubstr("tcp:"));
    write("tiny.yaml", test::tiny_scenario_text(kProcessStrategies));
    const auto compared =
        launch(2, {"compare", "tiny.yaml", "--calibration", "calibration.yaml", "--json"});
    ASSERT_EQ(compared.exit_code, 0) << compared.err;
    for (const Json& strategy : Json::parse(compared.out)["strategies"]) {
        EXPECT_FALSE(strategy["simulated"].is_null());
        EXPECT_EQ(strategy["simulated"]["memory"]["peak_bytes"],
                  strategy["measured"]["memory"]["peak_bytes"]);
    }
}

TEST_F(ProcessesSlow, AnUncalibratedTransportIsNamed) {
    calibration();
    std::string text = test::tiny_scenario_text(kProcessStrategies);
    text.replace(text.find("ranks: 2"), 8, "ranks: 2, transport: tcp");
    write("tiny.yaml", text);
    const auto finished =
        shardscope({"simulate", "tiny.yaml", "--calibration", "calibration.yaml"});
    EXPECT_EQ(finished.exit_code, 2);
    EXPECT_THAT(finished.err, HasSubstr("over tcp has not been measured"));
    EXPECT_THAT(finished.err, HasSubstr("shardscope launch --num_gpus 4 -- calibrate"));
}

// A rank that dies in the middle: everybody ends, the report says what became of each strategy, and
// nobody is left.
TEST_F(ProcessesSlow, AKilledRankEndsTheRun) {
    write_tiny();
    // Rank 1 is known by its variables, and as this test's by its home.
    std::thread killer([home = path("")] {
        std::this_thread::sleep_for(std::chrono::milliseconds(1500));
        for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
            const std::string variables = '\0' + test::read(entry.path() / "environ");
            const std::string mine = home.substr(0, home.size() - 1);
            if (variables.find(std::string("\0RANK=1\0", 8)) != variables.npos &&
                variables.find("HOME=" + mine + '\0') != variables.npos)
                kill(std::stoi(entry.path().filename()), SIGKILL);
        }
    });
    const auto finished = launch(2, {"run", "tiny.yaml", "--steps", "1000000000"});
    killer.join();
    EXPECT_NE(finished.exit_code, 0);
    EXPECT_THAT(finished.err, HasSubstr("rank 1"));
    EXPECT_THAT(finished.err, HasSubstr("signal 9"));
}

TEST_F(ProcessesSlow, ALonelyProcessSaysWhoIsMissing) {
    set_variable("RANK", "0");
    set_variable("WORLD_SIZE", "2");
    write_tiny();
    const auto finished = shardscope({"run", "tiny.yaml"});
    EXPECT_EQ(finished.exit_code, 2);
    EXPECT_THAT(finished.err, HasSubstr("MASTER_ADDR"));
    test::expect_one_line_error(finished);
}

}  // namespace
}  // namespace shardscope
