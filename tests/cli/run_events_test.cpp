// `run --events` as another program reads it.
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/cli/process.h"

namespace shardscope {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

class RunEventsCommand : public test::CommandLine {
protected:
    // Starts the command in the background, tells its process `signals` once the first step is over
    // ("TERM", or several), and prints its exit code.
    test::Finished signalled(const std::string& words, const std::string& signals) const {
        return execute({"/bin/sh", "-c",
                        std::string(SHARDSCOPE_BINARY) + " " + words +
                            " > events & child=$!\n"
                            "until grep -q '\"step\":2,' events; do sleep 0.02; done\n"
                            "for signal in " +
                            signals +
                            "; do kill -$signal $child; sleep 0.3; done\n"
                            "wait $child; echo $?"});
    }
};

std::vector<Json> events_of(const std::string& text) {
    std::vector<Json> events;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) events.push_back(Json::parse(line));
    return events;
}

std::vector<std::string> kinds_of(const std::vector<Json>& events) {
    std::vector<std::string> kinds;
    for (const Json& event : events) {
        const std::string strategy = event.value("strategy", "");
        kinds.push_back(event["event"].get<std::string>() + (strategy.empty() ? "" : " ") +
                        strategy);
    }
    return kinds;
}

TEST_F(RunEventsCommand, TellsEveryStepInOrderAndWhatBecameOfEachStrategy) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: zero-3, zero: 3}, {name: bad, dp: 7}]"));
    const auto finished =
        shardscope({"run", "tiny.yaml", "--events", "--json", "--output", "report.json"});
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
    const auto events = events_of(finished.out);
    EXPECT_THAT(kinds_of(events),
                ElementsAre("started zero-3", "step zero-3", "step zero-3", "step zero-3",
                            "finished zero-3", "failed bad", "ended"));
    const Json report = Json::parse(test::read(path("report.json")));
    EXPECT_EQ(events[0]["layout"], report["strategies"][0]["layout"]);
    EXPECT_EQ(events[0]["ranks"], 2);
    EXPECT_EQ(events[0]["steps"], 3);
    EXPECT_EQ(events[0]["backend"], "cpu");
    EXPECT_EQ(events[0]["rate"], "tokens");
    EXPECT_EQ(events[4]["result"], report["strategies"][0]["measured"]);
    EXPECT_EQ(events[5]["rule"], report["strategies"][1]["error"]["rule"]);
    EXPECT_EQ(events[5]["fix"], report["strategies"][1]["error"]["fix"]);
    EXPECT_EQ(events[5]["status"], "invalid");
    EXPECT_EQ(events[6], Json({{"event", "ended"},
                               {"exit_code", 0},
                               {"cancelled", false},
                               {"report", "report.json"},
                               {"error", nullptr}}));
}

TEST_F(RunEventsCommand, StepsHaveTheReportsLossesAndMemory) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: zero-1, zero: 1}]"));
    const auto finished =
        shardscope({"run", "tiny.yaml", "--events", "--json", "--output", "report.json"});
    const auto events = events_of(finished.out);
    const Json measured = Json::parse(test::read(path("report.json")))["strategies"][0]["measured"];
    double before = 0;
    for (std::size_t step = 1; step <= 3; ++step) {
        EXPECT_EQ(events[step]["step"], step);
        EXPECT_EQ(events[step]["loss"], measured["losses"][step - 1]);
        EXPECT_GT(events[step]["elapsed_s"], before);
        // 4 samples of 8 tokens, since the step before; as exact as 64-bit division.
        EXPECT_NEAR(events[step]["tokens_per_s"].get<double>(),
                    32 / (events[step]["elapsed_s"].get<double>() - before), 1e-3);
        before = events[step]["elapsed_s"];
    }
    for (std::size_t rank = 0; rank < 2; ++rank) {
        const Json& memory = measured["memory"]["ranks"][rank];
        EXPECT_EQ(events[3]["memory_bytes"][rank],
                  memory["peak_bytes"].get<std::int64_t>() +
                      memory["outside_plan_bytes"].get<std::int64_t>());
    }
}

TEST_F(RunEventsCommand, SigtermEndsAfterTheStepWithAPartialReport) {
    write("tiny.yaml",
          test::tiny_scenario_text("[{name: ddp}, {name: zero-1, zero: 1}, {name: bad, dp: 7}]"));
    const auto finished =
        signalled("run tiny.yaml --steps 100000000 --events --json --output report.json", "TERM");
    EXPECT_EQ(finished.out, "143\n") << finished.err;
    const auto events = events_of(test::read(path("events")));
    const auto kinds = kinds_of(events);
    ASSERT_GT(kinds.size(), 6u);
    EXPECT_THAT(std::vector<std::string>(kinds.end() - 4, kinds.end()),
                ElementsAre("cancelled ddp", "cancelled zero-1", "failed bad", "ended"));
    const Json& cut = events[events.size() - 4];
    EXPECT_EQ(cut["step"], events[events.size() - 5]["step"]);
    EXPECT_EQ(cut["steps"], 100000000);
    EXPECT_EQ(events[events.size() - 3]["step"], 0);
    EXPECT_TRUE(events[events.size() - 3]["result"].is_null());
    EXPECT_EQ(events.back()["exit_code"], 143);
    EXPECT_EQ(events.back()["cancelled"], true);
    const Json report = Json::parse(test::read(path("report.json")));
    EXPECT_EQ(report["strategies"][0]["measured"], cut["result"]);
    EXPECT_EQ(report["strategies"][0]["measured"]["losses"].size(), cut["step"]);
    EXPECT_TRUE(report["strategies"][1]["measured"].is_null());
    EXPECT_THAT(report["context"]["notes"].dump(), HasSubstr("zero-1: not run, cancelled"));
    EXPECT_THAT(report["context"]["notes"].dump(), HasSubstr("ddp: cancelled after step"));
}

// A step that takes minutes: nothing but a second signal ends it soon.
TEST_F(RunEventsCommand, ASecondSigtermEndsAtOnceAndSigintAlways) {
    write("slow.yaml",
          "model: {gpt: {layers: 4, hidden: 512, heads: 8, vocab: 256, seq: 512}}\n"
          "training: {global_batch: 4000, micro_batch: 2, steps: 3}\n"
          "cluster: {this_machine: {ranks: 2}}\n"
          "strategies: [{name: ddp}]\n");
    for (const auto& [signals, code] : {std::pair("TERM TERM", "143\n"), {"INT", "130\n"}}) {
        // A shell's background children ignore SIGINT unless told otherwise.
        const auto finished = execute(
            {"/usr/bin/env", "--default-signal=INT", "/bin/sh", "-c",
             // An earlier round's events must not be taken for this one's.
             std::string("rm -f events; env --default-signal=INT ") + SHARDSCOPE_BINARY +
                 " run slow.yaml --events --output report.txt > events & child=$!\n"
                 "until grep -qs started events; do sleep 0.02; done\n"
                 "for signal in " +
                 signals + "; do kill -$signal $child; sleep 0.3; done\nwait $child; echo $?"});
        EXPECT_EQ(finished.out, code);
        EXPECT_THAT(kinds_of(events_of(test::read(path("events")))), ElementsAre("started ddp"));
        EXPECT_EQ(test::read(path("report.txt")), "");
    }
}

TEST_F(RunEventsCommand, SigtermReachesTheRanksOfLaunch) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: ddp}, {name: zero-1, zero: 1}]"));
    const auto finished = signalled(
        "launch --num_gpus 2 -- run tiny.yaml --steps 100000000 --events --json --output "
        "report.json",
        "TERM");
    EXPECT_EQ(finished.out, "143\n") << finished.err;
    const auto kinds = kinds_of(events_of(test::read(path("events"))));
    ASSERT_GT(kinds.size(), 4u);
    EXPECT_THAT(std::vector<std::string>(kinds.end() - 3, kinds.end()),
                ElementsAre("cancelled ddp", "cancelled zero-1", "ended"));
    const Json report = Json::parse(test::read(path("report.json")));
    EXPECT_EQ(report["strategies"][0]["measured"]["memory"]["ranks"].size(), 2u);
}

TEST_F(RunEventsCommand, WhatDoesNotFitIsToldAsFailed) {
    write("huge.yaml",
          "model: {gpt: {layers: 90, hidden: 40960, heads: 8, vocab: 50000, seq: 8}}\n"
          "training: {global_batch: 4, micro_batch: 2, steps: 3}\n"
          "cluster: {this_machine: {ranks: 2}}\n"
          "strategies: [{name: ddp}]\n");
    const auto finished = shardscope({"run", "huge.yaml", "--events", "--output", "report.txt"});
    EXPECT_EQ(finished.exit_code, 3);
    const auto events = events_of(finished.out);
    EXPECT_THAT(kinds_of(events), ElementsAre("failed ddp", "ended"));
    EXPECT_EQ(events[0]["rule"], "does-not-fit");
    EXPECT_THAT(events[0]["message"].get<std::string>(), HasSubstr("GiB are there: not run"));
    EXPECT_EQ(events[1]["exit_code"], 3);
}

TEST_F(RunEventsCommand, AnErrorOfTheWholeRunIsTheLastEvent) {
    const auto finished = shardscope({"run", "no.yaml", "--events", "--output", "report.json"});
    EXPECT_EQ(finished.exit_code, 2);
    const auto events = events_of(finished.out);
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0]["event"], "ended");
    EXPECT_EQ(events[0]["exit_code"], 2);
    EXPECT_EQ(events[0]["error"]["rule"], "file");
    EXPECT_TRUE(events[0]["report"].is_null());
    test::expect_one_line_error(finished);
}

TEST_F(RunEventsCommand, NeedsAPlaceForTheReport) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: ddp}]"));
    const auto none = shardscope({"run", "tiny.yaml", "--events"});
    EXPECT_EQ(none.exit_code, 2);
    EXPECT_EQ(none.out, "");
    EXPECT_THAT(none.err, HasSubstr("add --output FILE"));
    const auto same = shardscope({"run", "tiny.yaml", "--events", "--output", "/dev/stdout"});
    EXPECT_EQ(same.exit_code, 2);
    EXPECT_EQ(same.out, "");
    for (const char* other : {"simulate", "compare"})
        EXPECT_THAT(shardscope({other, "tiny.yaml", "--events"}).err, HasSubstr("usage: "));
}

}  // namespace
}  // namespace shardscope
