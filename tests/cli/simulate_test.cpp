#include <filesystem>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/csv_reader.h"
#include "core/strategy/runtime_profile.h"
#include "tests/cli/process.h"

namespace shardscope {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;
using Simulate = test::CommandLine;

std::vector<std::string> shipped_scenarios(const std::vector<std::string>& folders) {
    std::vector<std::string> paths;
    for (const std::string& folder : folders)
        for (const auto& entry :
             std::filesystem::directory_iterator(test::source("scenarios/" + folder)))
            if (entry.path().extension() == ".yaml")
                paths.push_back(folder + entry.path().stem().string());
    std::sort(paths.begin(), paths.end());
    return paths;
}

// Of scenarios/gpt-13b-16-gpus.yaml, which shows what an invalid strategy looks like.
constexpr const char* kInvalidOnPurpose = "TP8 × PP3";

class ShippedScenario : public Simulate, public testing::WithParamInterface<std::string> {
protected:
    std::string file() const { return test::source("scenarios/" + GetParam() + ".yaml"); }
};

TEST_P(ShippedScenario, Simulates) {
    const auto finished =
        shardscope({"simulate", file(), "--json", "--calibration", calibration()});
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
    const Json report = Json::parse(finished.out);
    EXPECT_EQ(report["schema_version"], 1);
    EXPECT_FALSE(report["strategies"].empty());
    for (const Json& strategy : report["strategies"]) {
        if (strategy["name"] == kInvalidOnPurpose) {
            EXPECT_EQ(strategy["status"], "invalid");
            continue;
        }
        EXPECT_THAT(strategy["status"], testing::AnyOf("fits", "does_not_fit"));
        EXPECT_TRUE(strategy["measured"].is_null());
        EXPECT_TRUE(strategy["error"].is_null());
        const Json& result = strategy["simulated"];
        EXPECT_GT(result["step_time_s"], 0.0);
        const Json& time = result["time"];
        const double parts = time["compute_s"].get<double>() + time["bubble_s"].get<double>() +
                             time["exposed_communication_s"].get<double>() +
                             time["optimizer_s"].get<double>();
        EXPECT_NEAR(parts, result["step_time_s"], 1e-9 * parts);
        std::int64_t sum = 0;
        for (const Json& bytes : result["memory"]["ranks"][0]["categories"])
            sum += bytes.get<std::int64_t>();
        EXPECT_EQ(sum, result["memory"]["ranks"][0]["peak_bytes"]);
    }
}

TEST_P(ShippedScenario, IsShownAndReadBackTheSame) {
    const auto shown = shardscope({"show", file()});
    ASSERT_EQ(shown.exit_code, 0) << shown.err;
    const auto again = shardscope({"show", write("shown.yaml", shown.out)});
    EXPECT_EQ(again.exit_code, 0) << again.err;
    EXPECT_EQ(again.out, shown.out);
    const auto parts = shardscope({"show", file(), "--model", "--program", "--memory"});
    EXPECT_EQ(parts.exit_code, 0) << parts.err;
    EXPECT_THAT(parts.out, HasSubstr("parameters"));
}

std::string test_name(const testing::TestParamInfo<std::string>& scenario) {
    std::string name = scenario.param;
    std::replace_if(
        name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
    return name;
}

INSTANTIATE_TEST_SUITE_P(All, ShippedScenario,
                         testing::ValuesIn(shipped_scenarios({"", "gpu/", "tutorial/"})),
                         test_name);
// Thousands of GPUs: half a minute each under the sanitizers.
INSTANTIATE_TEST_SUITE_P(PublishedSlow, ShippedScenario,
                         testing::ValuesIn(shipped_scenarios({"published/"})), test_name);

TEST_F(Simulate, OneInvalidStrategyDoesNotHideTheOthers) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: good}, {name: bad, dp: 7}]"));
    const auto finished =
        shardscope({"simulate", "tiny.yaml", "--json", "--calibration", calibration()});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    const Json strategies = Json::parse(finished.out)["strategies"];
    EXPECT_EQ(strategies[0]["status"], "fits");
    EXPECT_EQ(strategies[1]["status"], "invalid");
    EXPECT_TRUE(strategies[1]["simulated"].is_null());
    for (const char* member : {"rule", "message", "fix"})
        EXPECT_NE(strategies[1]["error"][member], "") << member;
}

// One strategy beside itself as every product would do it; DeepSpeed's buckets are seen.
TEST_F(Simulate, ProfilesAreComparedOrChosen) {
    write("gpt2.yaml",
          "name: profiles\nmodel: gpt2-124m\ntraining: {global_batch: 64, micro_batch: 1, "
          "precision: bf16}\ncluster: h100-sxm\nstrategies: [{name: z2, zero: 2}]\n");
    const auto peaks = [&](const std::string& profile) {
        const auto finished = shardscope({"simulate", "gpt2.yaml", "--profile", profile, "--json"});
        EXPECT_EQ(finished.exit_code, 0) << finished.err;
        std::map<std::string, std::int64_t> bytes;
        const Json report = Json::parse(finished.out);
        for (const Json& strategy : report["strategies"])
            bytes[strategy["name"]] = strategy["simulated"]["memory"]["peak_bytes"];
        return bytes;
    };
    const auto all = peaks("all");
    EXPECT_EQ(all.size(), kRuntimeProfiles.size());
    EXPECT_GT(all.at("z2, deepspeed"), all.at("z2, shardscope"));
    EXPECT_EQ(peaks("deepspeed").at("z2"), all.at("z2, deepspeed"));
    const auto unknown = shardscope({"simulate", "gpt2.yaml", "--profile", "horovod"});
    EXPECT_EQ(unknown.exit_code, 2);
    EXPECT_THAT(unknown.err, HasSubstr("horovod"));
}

// The scenario of a report can be simulated again, with what was published of the strategies that are in it.
TEST_F(Simulate, TheScenarioOfAReportIsOne) {
    write("gpt2.yaml",
          "name: published\nmodel: gpt2-124m\ntraining: {global_batch: 64, micro_batch: 1, "
          "precision: bf16}\ncluster: h100-sxm\n"
          "strategies: [{name: z2, zero: 2, profile: deepspeed}, {name: z1, zero: 1}]\n"
          "published: [{strategy: z2, quantity: step_time, value: 1, source: x}, "
          "{strategy: z1, quantity: step_time, value: 1, source: x}]\n");
    const std::pair<std::vector<std::string>, std::size_t> kChoices[] = {
        {{"--strategy", "z1"}, 1}, {{"--profile", "all"}, 2}, {{"--profile", "megatron"}, 2}};
    for (const auto& [words, published] : kChoices) {
        std::vector<std::string> line{"simulate", "gpt2.yaml", "--json"};
        line.insert(line.end(), words.begin(), words.end());
        const auto finished = shardscope(line);
        ASSERT_EQ(finished.exit_code, 0) << finished.err;
        const Json report = Json::parse(finished.out);
        EXPECT_EQ(report["published"].size(), published) << words[0];
        write("again.yaml", report["scenario"].dump());
        const auto again = shardscope({"show", "again.yaml"});
        EXPECT_EQ(again.exit_code, 0) << words[0] << " " << again.err;
    }
    const auto twice = shardscope({"simulate", "gpt2.yaml", "--strategy", "z1", "--strategy=z1"});
    EXPECT_EQ(twice.exit_code, 2);
    EXPECT_THAT(twice.err, HasSubstr("there twice"));
}

// --csv has columns for what the options ask for.
TEST_F(Simulate, CsvHasDisturbedStepsAndTheRun) {
    write("gpt2.yaml",
          "name: run\nmodel: gpt2-124m\ntraining: {global_batch: 64, micro_batch: 1, precision: "
          "bf16, tokens: 1e9}\ncluster: {gpu: h100-sxm, operation: {price_per_gpu_hour: 2}}\n"
          "strategies: [{name: z2, zero: 2}]\n");
    const auto fields = [&](const std::vector<std::string>& more) {
        std::vector<std::string> line{"simulate", "gpt2.yaml", "--csv"};
        line.insert(line.end(), more.begin(), more.end());
        const CsvTable table = parse_csv(shardscope(line).out, "out.csv");
        std::map<std::string, std::string> found;
        for (std::size_t c = 0; c < table.columns.size(); ++c)
            found[table.columns[c]] = table.rows.at(0).fields.at(c);
        return found;
    };
    auto alike = fields({}), disturbed = fields({"--rank-jitter", "0.1", "--jitter-steps", "5"});
    EXPECT_EQ(alike.at("mean_s"), "");
    EXPECT_EQ(alike.at("goodput"), "");
    EXPECT_GT(std::stod(alike.at("price")), 0);
    EXPECT_GT(std::stod(disturbed.at("mean_s")), std::stod(disturbed.at("step_time_s")));
    EXPECT_GT(std::stod(disturbed.at("run_s")), std::stod(alike.at("run_s")));
}

TEST_F(Simulate, OnlyInvalidStrategiesExitWith3AfterTheObject) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: bad, dp: 7}]"));
    const auto finished =
        shardscope({"simulate", "tiny.yaml", "--json", "--calibration", calibration()});
    EXPECT_EQ(finished.exit_code, 3);
    EXPECT_EQ(Json::parse(finished.out)["strategies"][0]["status"], "invalid");
    const auto text = shardscope({"simulate", "tiny.yaml", "--calibration", calibration()});
    EXPECT_EQ(text.exit_code, 3);
    EXPECT_THAT(text.out, HasSubstr("invalid: bad: "));
}

TEST_F(Simulate, WhatDoesNotFitIsAVerdictWithFigures) {
    write("large.yaml",
          "name: large\nmodel: llama-3-8b\ntraining: {global_batch: 8, micro_batch: 1}\n"
          "cluster: {gpu: a100-80gb, nodes: 1, gpus_per_node: 8}\nstrategies: [{name: ddp}]\n");
    const auto finished = shardscope({"simulate", "large.yaml", "--json"});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    const Json strategy = Json::parse(finished.out)["strategies"][0];
    EXPECT_EQ(strategy["status"], "does_not_fit");
    const Json& memory = strategy["simulated"]["memory"];
    EXPECT_GT(memory["peak_bytes"], memory["capacity_bytes"]);
    EXPECT_EQ(memory["ranks"].size(), 8u);
    EXPECT_GT(strategy["simulated"]["step_time_s"], 0.0);
}

TEST_F(Simulate, StrategiesAreChosenByNameInTheOrderOfTheLine) {
    write("tiny.yaml",
          test::tiny_scenario_text("[{name: a}, {name: b, zero: 1}, {name: c, zero: 2}]"));
    const auto finished = shardscope({"simulate", "--strategy", "c", "tiny.yaml", "--strategy=a",
                                      "--json", "--calibration", calibration()});
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
    const Json strategies = Json::parse(finished.out)["strategies"];
    ASSERT_EQ(strategies.size(), 2u);
    EXPECT_EQ(strategies[0]["name"], "c");
    EXPECT_EQ(strategies[1]["name"], "a");
}

TEST_F(Simulate, OutputFileHoldsWhatWouldBePrinted) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: ddp}]"));
    const auto printed =
        shardscope({"simulate", "tiny.yaml", "--csv", "--calibration", calibration()});
    const auto written = shardscope({"simulate", "tiny.yaml", "--csv", "--output", "report.csv",
                                     "--calibration", calibration()});
    EXPECT_EQ(written.exit_code, 0) << written.err;
    EXPECT_EQ(written.out, "");
    EXPECT_EQ(test::read(path("report.csv")), printed.out);
    EXPECT_THAT(printed.out, HasSubstr("\nddp,fits,"));
}

TEST_F(Simulate, TraceFileHoldsOneProcessPerRole) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: a, pp: 2}, {name: b}]"));
    const auto finished = shardscope({"simulate", "tiny.yaml", "--strategy", "a", "--trace",
                                      "trace.json", "--json", "--calibration", calibration()});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_THAT(finished.err, HasSubstr("trace written to trace.json"));
    EXPECT_EQ(Json::parse(finished.out)["strategies"][0]["status"], "fits");
    std::vector<std::string> processes;
    const Json trace = Json::parse(test::read(path("trace.json")));
    for (const Json& event : trace["traceEvents"])
        if (event["name"] == "process_name") processes.push_back(event["args"]["name"]);
    EXPECT_EQ(processes, (std::vector<std::string>{"simulated rank 0 (stage 0)",
                                                   "simulated rank 1 (stage 1)"}));
}

TEST_F(Simulate, NoTraceOfWhatCannotRun) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: bad, dp: 7}]"));
    const auto finished = shardscope(
        {"simulate", "tiny.yaml", "--trace", "trace.json", "--calibration", calibration()});
    EXPECT_EQ(finished.exit_code, 3);
    EXPECT_FALSE(std::filesystem::exists(path("trace.json")));
}

TEST_F(Simulate, PipesAndDevicesAreWrittenToNotReplaced) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: ddp}]"));
    const auto finished = shardscope({"simulate", "tiny.yaml", "--json", "--output", "/dev/stdout",
                                      "--calibration", calibration()});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_TRUE(Json::accept(finished.out));
    const auto full = shardscope(
        {"simulate", "tiny.yaml", "--output", "/dev/full", "--calibration", calibration()});
    EXPECT_EQ(full.exit_code, 2);
    test::expect_one_line_error(full);
}

constexpr const char* kEightGpus =
    "name: eight\nmodel: gpt2-124m\ntraining: {global_batch: 64, micro_batch: 1, precision: bf16, "
    "tokens: 1e9}\ncluster: {gpu: h100-sxm, nodes: 1, gpus_per_node: 8, operation: "
    "{price_per_gpu_hour: 2, node_mtbf: 1d, storage_bandwidth: 1GB/s, restart_time: 5min}}\n"
    "strategies: [{name: z1, zero: 1}]\npublished: [{quantity: mfu, value: 50, source: "
    "somebody}]\n";

TEST_F(Simulate, SaysWhatTheRunCostsAndWhatOthersPublished) {
    write("eight.yaml", kEightGpus);
    const auto text = shardscope({"simulate", "eight.yaml"});
    EXPECT_EQ(text.exit_code, 0) << text.err;
    for (const char* part :
         {"The whole run of 1,000,000,000 tokens", "Failures and checkpoints",
          "Published figures beside ours", "somebody", "What the figures rest on", "z1: fits, ",
          "time: no measured run of profile shardscope", "Constants: none was measured"})
        EXPECT_THAT(text.out, HasSubstr(part));
    const auto finished = shardscope({"simulate", "eight.yaml", "--json"});
    const Json report = Json::parse(finished.out);
    const Json& result = report["strategies"][0]["simulated"];
    EXPECT_EQ(result["run"]["steps"], 15259);  // of 64 · 1024 tokens
    EXPECT_NEAR(result["run"]["price"], 2 * result["run"]["gpu_hours"].get<double>(), 1e-6);
    EXPECT_GT(result["run"]["goodput"]["goodput"], 0.5);
    EXPECT_GT(result["basis"]["time"]["rows"], 0);
    EXPECT_TRUE(report["published"][0]["difference"].is_number());
    EXPECT_FALSE(result.contains("variation"));
}

TEST_F(Simulate, JitterAndStragglersAreSetBesideTheStep) {
    write("eight.yaml", kEightGpus);
    const std::vector<std::string> line{
        "simulate", "eight.yaml",        "--jitter",       "0.1", "--straggler",
        "3=2",      "--straggler=5=1.5", "--jitter-steps", "10"};
    const auto text = shardscope(line);
    EXPECT_EQ(text.exit_code, 0) << text.err;
    EXPECT_THAT(text.out, HasSubstr("kernels ± 10 %, rank 3 × 2, rank 5 × 1.5, seed 1"));
    std::vector<std::string> as_json = line;
    as_json.push_back("--json");
    const Json report = Json::parse(shardscope(as_json).out);
    const Json& result = report["strategies"][0]["simulated"];
    EXPECT_GT(result["variation"]["mean_s"], result["step_time_s"]);
    EXPECT_EQ(result["variation"]["steps"], 10);
    for (const char* wrong : {"3", "x=2", "3=", "-1=2", "3=0"}) {
        const auto failed = shardscope({"simulate", "eight.yaml", "--straggler", wrong});
        EXPECT_EQ(failed.exit_code, 2) << wrong;
        EXPECT_THAT(failed.err, HasSubstr("--straggler 3=1.5")) << wrong;
    }
    for (const char* wrong : {"nan", "-0.1", "x"}) {
        const auto failed = shardscope({"simulate", "eight.yaml", "--jitter", wrong});
        EXPECT_EQ(failed.exit_code, 2) << wrong;
        EXPECT_THAT(failed.err, HasSubstr("--jitter")) << wrong;
    }
}

TEST_F(Simulate, WhatDoesNotDisturbIsRefused) {
    write("eight.yaml", kEightGpus);
    const auto far = shardscope({"simulate", "eight.yaml", "--straggler", "8=2"});
    EXPECT_EQ(far.exit_code, 3);
    EXPECT_THAT(far.err, HasSubstr("no strategy of the scenario has a rank 8; use a rank from 0"));
    const auto twice =
        shardscope({"simulate", "eight.yaml", "--straggler", "3=1.5", "--straggler", "3=2"});
    EXPECT_EQ(twice.exit_code, 2);
    EXPECT_THAT(twice.err, HasSubstr("--straggler names rank 3 twice, with factors 1.5 and 2"));
    const auto alike = shardscope({"simulate", "eight.yaml", "--jitter-steps", "10"});
    EXPECT_EQ(alike.exit_code, 2);
    EXPECT_THAT(alike.err, HasSubstr("--jitter-steps has no effect"));
    // Where another strategy has the rank, those without it are noted.
    std::string both = kEightGpus;
    both.erase(both.find("published"));
    both.replace(both.find("[{name: z1"), 1, "[single, ");
    write("both.yaml", both);
    const auto some =
        shardscope({"simulate", "both.yaml", "--straggler", "3=2", "--jitter-steps", "10"});
    EXPECT_EQ(some.exit_code, 0) << some.err;
    EXPECT_THAT(some.out, HasSubstr("there is no rank 3 among 1 rank"));
}

TEST_F(Simulate, AnotherMachinesCalibrationIsNoted) {
    write("tiny.yaml", test::tiny_scenario_text("[{name: ddp}]"));
    const auto finished = shardscope({"simulate", "tiny.yaml", "--calibration", calibration()});
    EXPECT_THAT(finished.out, HasSubstr("note: predictions use a calibration of elsewhere"));
}

}  // namespace
}  // namespace shardscope
