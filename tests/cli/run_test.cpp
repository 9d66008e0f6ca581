#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/speed_check.h"
#include "core/machine.h"
#include "tests/cli/process.h"

namespace shardscope {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;
using RunCommand = test::CommandLine;

const char* const kStrategies = "[{name: ddp}, {name: zero-1, zero: 1}, {name: zero-3, zero: 3}]";

// Removes what legitimately differs between two runs: the clock's readings and the place.
void mask(Json& value) {
    if (value.is_array())
        for (Json& item : value) mask(item);
    if (!value.is_object()) return;
    for (auto& [key, item] : value.items()) {
        const bool timed = key.ends_with("_s") || key.find("_per_s") != key.npos || key == "mfu";
        const bool place = key == "date" || key == "host";
        if (timed || place || key == "outside_plan_bytes") {
            item = "masked";
        } else {
            mask(item);
        }
    }
}

TEST_F(RunCommand, TrainsEveryStrategyAndReportsIt) {
    write("tiny.yaml", test::tiny_scenario_text(kStrategies));
    const auto finished = shardscope({"run", "tiny.yaml", "--json"});
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
    const Json report = Json::parse(finished.out);
    EXPECT_EQ(report["context"]["backend"], "cpu");
    for (const Json& strategy : report["strategies"]) {
        EXPECT_EQ(strategy["status"], "fits");
        EXPECT_TRUE(strategy["simulated"].is_null());
        const Json& result = strategy["measured"];
        EXPECT_EQ(result["losses"].size(), 3u);
        EXPECT_EQ(result["memory"]["ranks"].size(), 2u);
        EXPECT_GT(result["tokens_per_s"], 0.0);
    }
    EXPECT_EQ(finished.err, "");  // no terminal: no progress
}

TEST_F(RunCommand, SameScenarioAndSeedGiveTheSameReport) {
    write("tiny.yaml", test::tiny_scenario_text(kStrategies));
    Json first = Json::parse(shardscope({"run", "tiny.yaml", "--json"}).out);
    Json second = Json::parse(shardscope({"run", "tiny.yaml", "--json"}).out);
    mask(first);
    mask(second);
    EXPECT_EQ(first.dump(1), second.dump(1));
}

TEST_F(RunCommand, StepsAndRanksReplaceTheScenarios) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: ddp}]"));
    const auto finished =
        shardscope({"run", "tiny.yaml", "--steps", "5", "--ranks", "1", "--json"});
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
    const Json report = Json::parse(finished.out);
    EXPECT_EQ(report["scenario"]["training"]["steps"], 5);
    EXPECT_EQ(report["strategies"][0]["measured"]["losses"].size(), 5u);
    EXPECT_EQ(report["strategies"][0]["measured"]["memory"]["ranks"].size(), 1u);
}

// What cuda_states_test.cpp tests of a backend that is missing; here, what nobody has.
TEST_F(RunCommand, AnUnknownBackendIsToldTheNearest) {
    write("tiny.yaml", test::tiny_scenario_text(kStrategies));
    const auto finished = shardscope({"run", "tiny.yaml", "--backend", "cude"});
    EXPECT_EQ(finished.exit_code, 2);
    EXPECT_THAT(finished.err, HasSubstr("unknown backend \"cude\"; use \"cuda\""));
}

TEST_F(RunCommand, OptionsOfAnotherBackendAreRefused) {
    write("tiny.yaml", test::tiny_scenario_text(kStrategies));
    for (const std::vector<std::string>& option : {std::vector<std::string>{"--tf32"},
                                                   {"--attention", "own"},
                                                   {"--no-graphs"},
                                                   {"--ranks-per-gpu", "2"},
                                                   {"--timeout", "5"}}) {
        std::vector<std::string> words{"run", "tiny.yaml"};
        words.insert(words.end(), option.begin(), option.end());
        const auto finished = shardscope(words);
        EXPECT_EQ(finished.exit_code, 2);
        EXPECT_THAT(finished.err, HasSubstr(option[0] + " has no effect with --backend cpu"));
    }
    const auto threads = shardscope({"run", "tiny.yaml", "--backend", "cuda", "--threads", "2"});
    EXPECT_EQ(threads.exit_code, 2);
    EXPECT_THAT(threads.err, HasSubstr("--threads has no effect with --backend cuda"));
}

TEST_F(RunCommand, OnlyInvalidStrategiesExitWith3AfterTheObject) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: bad, dp: 7}]"));
    const auto finished = shardscope({"run", "tiny.yaml", "--json"});
    EXPECT_EQ(finished.exit_code, 3);
    EXPECT_EQ(Json::parse(finished.out)["strategies"][0]["status"], "invalid");
}

TEST_F(RunCommand, CompareShowsBothSidesWithEqualMemory) {
    write("tiny.yaml", test::tiny_scenario_text(kStrategies));
    const auto finished =
        shardscope({"compare", "tiny.yaml", "--json", "--calibration", calibration()});
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
    const Json report = Json::parse(finished.out);
    for (const Json& strategy : report["strategies"]) {
        const Json &simulated = strategy["simulated"], &measured = strategy["measured"];
        EXPECT_EQ(simulated["memory"]["peak_bytes"], measured["memory"]["peak_bytes"]);
        EXPECT_EQ(simulated["memory"]["ranks"].size(), measured["memory"]["ranks"].size());
        EXPECT_EQ(simulated["memory"]["ranks"][0]["categories"],
                  measured["memory"]["ranks"][0]["categories"]);
        EXPECT_GT(simulated["step_time_s"], 0.0);
    }
    const auto text = shardscope({"compare", "tiny.yaml", "--calibration", calibration()});
    EXPECT_THAT(text.out, HasSubstr("predicted"));
    EXPECT_THAT(text.out, HasSubstr("optimizer"));
}

// Calibrations of this machine whose rates no machine has, too high and too low; one of another machine, whose
// rates say nothing of this one.
TEST_F(RunCommand, CompareSaysThatTheMachineIsNotAsFastAsItWas) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: ddp}]"));
    const std::string text = test::read(calibration());
    const auto notes = [&](const std::string& host, const std::string& rates) {
        std::string changed = text;
        changed.replace(changed.find("elsewhere"), std::string("elsewhere").size(), host);
        const auto start = changed.find("matmul:");
        changed.replace(start, changed.find('\n', start) - start, "matmul: " + rates);
        write("speed.yaml", changed);
        const auto finished =
            shardscope({"compare", "tiny.yaml", "--json", "--calibration", "speed.yaml"});
        EXPECT_EQ(finished.exit_code, 0) << finished.err;
        return Json::parse(finished.out)["context"]["notes"].dump();
    };
    const std::string here = describe_machine().host;
    EXPECT_THAT(notes(here, "[[fp32, 128, 128, 128, 1e14]]"), HasSubstr("100 % slower now"));
    EXPECT_THAT(notes(here, "[[fp32, 128, 128, 128, 1e7]]"), HasSubstr("faster now"));
    EXPECT_THAT(notes("elsewhere", "[[fp32, 128, 128, 128, 1e14]]"),
                testing::Not(HasSubstr("slower now")));
}

TEST(SpeedNote, NamesWhatIsOffByMoreThanTheTolerance) {
    Calibration calibration;
    calibration.date = "2026-01-31";
    EXPECT_EQ(speed_note(calibration, 1), std::nullopt);
    EXPECT_EQ(speed_note(calibration, 0.86), std::nullopt);
    EXPECT_EQ(speed_note(calibration, 1.14), std::nullopt);
    EXPECT_THAT(speed_note(calibration, 0.7).value_or(""),
                HasSubstr("30 % slower now than when it was calibrated on 2026-01-31"));
    EXPECT_THAT(speed_note(calibration, 1.25).value_or(""), HasSubstr("25 % faster now"));
    EXPECT_EQ(speed_now({}), std::nullopt);
}

TEST_F(RunCommand, TracesShowBothSidesInOneFile) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: ddp}]"));
    const auto names_in = [&](const std::string& file) {
        std::map<std::string, int> events;  // by process: complete ones
        std::map<int, std::string> names;
        const Json trace = Json::parse(test::read(path(file)));
        for (const Json& event : trace["traceEvents"]) {
            if (event["name"] == "process_name") names[event["pid"]] = event["args"]["name"];
            if (event["ph"] == "X") ++events[names[event["pid"]]];
        }
        return events;
    };
    const auto both = shardscope(
        {"compare", "tiny.yaml", "--trace", "both.json", "--calibration", calibration()});
    ASSERT_EQ(both.exit_code, 0) << both.err;
    const auto events = names_in("both.json");
    EXPECT_THAT(events, testing::UnorderedElementsAre(
                            testing::Pair("simulated rank 0 (stands for 2 ranks)", testing::Gt(0)),
                            testing::Pair("measured rank 0", testing::Gt(0)),
                            testing::Pair("measured rank 1", testing::Gt(0))));
    const auto run = shardscope({"run", "tiny.yaml", "--trace", "run.json"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(names_in("run.json").size(), 2u);
}

TEST_F(RunCommand, AScenarioForAClusterRunsHereAndSaysSo) {
    write("gpu.yaml",
          "name: gpu\nmodel: {gpt: {layers: 1, hidden: 16, heads: 2, vocab: 64, seq: 8}}\n"
          "training: {global_batch: 4, micro_batch: 2, steps: 2}\n"
          "cluster: {gpu: h100-sxm, nodes: 1, gpus_per_node: 2}\nstrategies: [{name: ddp}]\n");
    const auto finished =
        shardscope({"compare", "gpu.yaml", "--json", "--calibration", calibration()});
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
    const Json report = Json::parse(finished.out);
    EXPECT_THAT(report["context"]["notes"].dump(),
                HasSubstr("2 ranks are threads of this machine"));
    EXPECT_EQ(report["scenario"]["cluster"]["this_machine"], true);
    EXPECT_EQ(report["strategies"][0]["measured"]["memory"]["ranks"].size(), 2u);
}

TEST_F(RunCommand, WhatDoesNotFitIsNotRun) {
    write("large.yaml",
          "name: large\nmodel: llama-3-8b\ntraining: {global_batch: 512, micro_batch: 1}\n"
          "cluster: {this_machine: {ranks: 512}}\nstrategies: [{name: ddp}]\n");
    const auto finished = shardscope({"run", "large.yaml", "--json"});
    EXPECT_EQ(finished.exit_code, 3) << finished.err;
    const Json report = Json::parse(finished.out);
    EXPECT_EQ(report["strategies"][0]["status"], "does_not_fit");
    EXPECT_TRUE(report["strategies"][0]["measured"].is_null());
    EXPECT_THAT(report["context"]["notes"].dump(), HasSubstr("GiB are there: not run"));
}

using RunCommandSlow = test::CommandLine;

TEST_F(RunCommandSlow, CalibrateWritesAFileThatCompareUses) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: ddp}]"));
    const auto calibrated = shardscope({"calibrate", "--quick", "--output", "measured.yaml"});
    ASSERT_EQ(calibrated.exit_code, 0) << calibrated.err;
    EXPECT_THAT(calibrated.out, HasSubstr("GFLOP/s"));
    const auto finished =
        shardscope({"compare", "tiny.yaml", "--json", "--calibration", "measured.yaml"});
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_NE(Json::parse(finished.out)["context"]["calibration"], "");
    EXPECT_EQ(files(), (std::vector<std::string>{"measured.yaml", "tiny.yaml"}));
}

TEST_F(RunCommandSlow, CompareCalibratesAMachineThatIsNew) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: ddp}]"));
    const auto finished = shardscope({"compare", "tiny.yaml"});
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_THAT(finished.err, HasSubstr("calibrating"));
    EXPECT_TRUE(std::filesystem::exists(path(".cache/shardscope/this-machine.yaml")));
    EXPECT_EQ(shardscope({"simulate", "tiny.yaml"}).exit_code, 0);
    EXPECT_THAT(shardscope({"devices"}).out, HasSubstr("this-machine.yaml"));
}

}  // namespace
}  // namespace shardscope
