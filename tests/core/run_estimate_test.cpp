#include "core/report/run_estimate.h"

#include <cmath>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/lowering/plan.h"
#include "core/model/model.h"
#include "core/report/report.h"
#include "core/report/report_io.h"
#include "core/report/run_text.h"
#include "core/scenario_io.h"

namespace shardscope {
namespace {

using testing::HasSubstr;
using testing::Not;

// 16 GPUs of 700 W on nodes of 8; a step of 2 s is 16 · 512 tokens.
Scenario scenario_with(const std::string& cluster, const std::string& training = "") {
    return parse_scenario(
        "name: r\nmodel: {gpt: {layers: 2, hidden: 64, heads: 4, vocab: 100, seq: 512}}\n"
        "training: {global_batch: 16" +
            training +
            "}\n"
            "cluster: {gpu: h100-sxm, nodes: 2, gpus_per_node: 8" +
            cluster + "}\nstrategies: [ddp]\n",
        "r.yaml", {});
}

// Half of the ranks compute for 1.5 s of a step, the others for 0.5 s.
Result result_of_two_seconds() {
    Result result;
    result.step_time = Seconds(2);
    for (const double busy : {1.5, 0.5}) {
        RankTrace& trace = result.ranks.emplace_back();
        trace.rank = Rank(busy > 1 ? 0 : 8);
        trace.multiplicity = 8;
        StepTime step;
        step.wall = Seconds(2);
        step.compute = Seconds(busy - 0.1);
        step.optimizer = Seconds(0.1);
        trace.steps = {step};
    }
    return result;
}

Plan plan_of(const Scenario& scenario) {
    return lower(scenario, std::make_shared<Model>(build_model(scenario.model)),
                 scenario.strategies[0], ExecutionTarget::of(scenario.cluster.device));
}

std::optional<RunEstimate> estimate(const Scenario& scenario) {
    return estimate_run(scenario, plan_of(scenario), result_of_two_seconds());
}

TEST(RunEstimate, NothingIsSaidWhereNothingIsAsked) { EXPECT_FALSE(estimate(scenario_with(""))); }

TEST(RunEstimate, EnergyAndPriceByHand) {
    const Scenario scenario = scenario_with(
        ", device: {idle_power: 100W}, operation: {price_per_gpu_hour: 2.5, node_power: 2kW, pue: "
        "1.25}",
        ", tokens: 8191999");
    const auto run = estimate(scenario);
    ASSERT_TRUE(run);
    EXPECT_EQ(run->steps, 1000);  // the last one is short of a token
    EXPECT_EQ(run->ideal, Seconds(2000));
    EXPECT_EQ(run->expected, Seconds(2000));
    EXPECT_NEAR(run->gpu_power.value, 100 + 600 * 0.5, 1e-9);
    const double power = 1.25 * (16 * 400 + 2 * 2000);
    EXPECT_NEAR(run->power.value, power, 1e-6);
    EXPECT_NEAR(run->step_energy.value, 2 * power, 1e-6);
    EXPECT_NEAR(run->energy.value, 2000 * power, 1e-3);
    EXPECT_NEAR(run->gpu_hours, 16 * 2000 / 3600.0, 1e-9);
    EXPECT_NEAR(run->price, 2.5 * 16 * 2000 / 3600.0, 1e-9);
    EXPECT_FALSE(run->goodput);
}

TEST(RunEstimate, WaitingForTheHostIsIdle) {
    const Scenario scenario =
        scenario_with(", device: {idle_power: 100W}, operation: {pue: 1}", ", tokens: 8192000");
    Result result = result_of_two_seconds();
    for (RankTrace& trace : result.ranks) {
        trace.steps[0].optimizer += Seconds(0.3);
        trace.steps[0].host_wait = Seconds(0.3);
    }
    const auto run = estimate_run(scenario, plan_of(scenario), result);
    ASSERT_TRUE(run);
    EXPECT_NEAR(run->gpu_power.value, 100 + 600 * 0.5, 1e-9);
}

// Steps of 2.5 s in the mean instead of 2: a quarter more time and price. Of a step 1.5 s are computing, since a
// straggler computes longer.
TEST(RunEstimate, DisturbedStepsLengthenTheRun) {
    const Scenario scenario = scenario_with(
        ", device: {idle_power: 100W}, operation: {price_per_gpu_hour: 2.5}", ", tokens: 8192000");
    Result result = result_of_two_seconds();
    result.variation =
        variation_of({{Seconds(2.25), Seconds(1.375)}, {Seconds(2.75), Seconds(1.625)}});
    const auto run = estimate_run(scenario, plan_of(scenario), result);
    ASSERT_TRUE(run);
    EXPECT_NEAR(run->ideal.value, 2500, 1e-9);
    EXPECT_NEAR(run->price, 2.5 * 16 * 2500 / 3600.0, 1e-9);
    EXPECT_NEAR(run->gpu_power.value, 100 + 600 * 0.6, 1e-9);
    EXPECT_NEAR(run->step_energy.value, 2.5 * 16 * 460, 1e-6);
}

TEST(RunEstimate, PowerStaysBelowTheLimit) {
    const auto power = [](const std::string& device) {
        return estimate(scenario_with(device + ", operation: {pue: 1.1}"))->gpu_power.value;
    };
    EXPECT_NEAR(power(", device: {idle_power: 100W, power_limit: 500W}"), 100 + 400 * 0.5, 1e-9);
    EXPECT_NEAR(power(", device: {idle_power: 300W, power_limit: 200W}"), 200, 1e-9);
    EXPECT_NEAR(power(""), 70 + 630 * 0.5, 1e-9);  // a tenth where it is not said
}

TEST(RunEstimate, FailuresLengthenTheRunAndItsPrice) {
    const std::string operation =
        ", operation: {price_per_gpu_hour: 1, node_mtbf: 10d, storage_bandwidth: 1MB/s, "
        "restart_time: 5min}";
    const Scenario scenario = scenario_with(operation, ", steps: 1000000");
    const auto run = estimate(scenario);
    ASSERT_TRUE(run && run->goodput);
    const Goodput& goodput = *run->goodput;
    const Model model = build_model(scenario.model);
    EXPECT_EQ(goodput.mtbf, Seconds(5 * 86400));                        // of two nodes
    EXPECT_EQ(goodput.checkpoint.value, model.parameter_count() * 12);  // fp32 and two moments
    EXPECT_NEAR(goodput.write.value, static_cast<double>(goodput.checkpoint.value) / 1e6, 1e-9);
    EXPECT_TRUE(goodput.best_interval);
    EXPECT_EQ(goodput.interval, best_checkpoint_interval(goodput.write, goodput.mtbf));
    EXPECT_EQ(run->expected, goodput.expected);
    EXPECT_GT(run->expected, run->ideal);
    EXPECT_NEAR(goodput.part, run->ideal / run->expected, 1e-12);
    EXPECT_NEAR(run->price, run->gpu_hours, 1e-9);
    EXPECT_NEAR(run->gpu_hours, 16 * run->expected.value / 3600, 1e-6);
    EXPECT_GT(goodput.runs, 0);
    const auto fixed =
        estimate(scenario_with(operation, ", steps: 1000000, checkpoint_interval: 1h"));
    EXPECT_EQ(fixed->goodput->interval, Seconds(3600));
    EXPECT_FALSE(fixed->goodput->best_interval);
    EXPECT_GT(fixed->expected, run->expected);
}

TEST(RunEstimate, WhatHardlyEverEndsHasNoFigures) {
    Report report;
    report.scenario = scenario_with(
        ", operation: {price_per_gpu_hour: 1, node_mtbf: 1min, storage_bandwidth: 1GB/s, "
        "restart_time: 1h}",
        ", tokens: 1e12, checkpoint_interval: 30min");
    report.strategies.emplace_back().name = "ddp";
    report.strategies[0].simulated = result_of_two_seconds();
    report.strategies[0].simulated->run = estimate(report.scenario);
    const RunEstimate& run = *report.strategies[0].simulated->run;
    EXPECT_FALSE(std::isfinite(run.expected.value));
    EXPECT_FALSE(std::isfinite(run.goodput->failures));
    EXPECT_EQ(run.goodput->part, 0);
    const std::string text = run_text(report);
    EXPECT_THAT(text,
                HasSubstr("ddp would hardly ever end: with failures a run takes more than 1000"));
    EXPECT_THAT(text, Not(testing::ContainsRegex("[0-9]{12}")));
    const auto json = nlohmann::json::parse(report_to_json(report))["strategies"][0]["simulated"];
    for (const char* key : {"expected_s", "gpu_hours", "energy_j", "price"})
        EXPECT_TRUE(json["run"][key].is_null()) << key;
    for (const char* key : {"expected_s", "failures"})
        EXPECT_TRUE(json["run"]["goodput"][key].is_null()) << key;
}

// Bytes per parameter, rounded down: of a model of 107,904 of them.
std::int64_t checkpoint_of(const std::string& training, const std::string& strategy) {
    Scenario scenario = parse_scenario(
        "name: c\nmodel: {llama: {layers: 4, hidden: 64, heads: 4, ffn: 128, vocab: 512, seq: "
        "64}}\n"
        "training: {global_batch: 32, micro_batch: 1, " +
            training + "}\ncluster: {gpu: h100-sxm, nodes: 2}\nstrategies: [{" + strategy + "}]\n",
        "c.yaml", {});
    const Plan plan = plan_of(scenario);
    return checkpoint_size(plan).value / plan.model->parameter_count();
}

TEST(RunEstimate, CheckpointsHoldEveryStateOnce) {
    const std::string bf16 = "precision: bf16", fp32 = "precision: fp32";
    // 16-bit parameters, master weights and two moments, however they are divided.
    for (const char* strategy : {"zero: 0", "zero: 1", "zero: 3", "zero: 2, tp: 2, pp: 2",
                                 "zero: 3, profile: deepspeed", "zero: 1, profile: megatron"})
        EXPECT_EQ(checkpoint_of(bf16, strategy), 2 + 4 + 8) << strategy;
    // FSDP keeps fp32 parameters; where a plan of it has 16-bit ones too, they are copies.
    for (const char* strategy : {"zero: 3", "zero: 2", "zero: 3, pp: 2, tp: 2", "zero: 0"})
        EXPECT_EQ(checkpoint_of(bf16, std::string("profile: fsdp, ") + strategy), 4 + 8)
            << strategy;
    EXPECT_EQ(checkpoint_of(bf16 + ", optimizer: lion", "zero: 3, profile: fsdp"), 4 + 4);
    EXPECT_EQ(checkpoint_of(bf16 + ", optimizer: adam-8bit", "zero: 3, profile: fsdp"), 4 + 2);
    EXPECT_EQ(checkpoint_of(bf16 + ", optimizer: sgd", "zero: 1"), 2 + 4);
    for (const char* strategy : {"zero: 0", "zero: 3", "zero: 3, profile: fsdp"})
        EXPECT_EQ(checkpoint_of(fp32, strategy), 4 + 8) << strategy;
    EXPECT_EQ(checkpoint_of("precision: fp64", "zero: 1"), 8 + 16);
}

// What the host steps in fp32 is the parameter, the device's a copy of it.
TEST(RunEstimate, OffloadedParametersAreWrittenOnce) {
    EXPECT_EQ(checkpoint_of("precision: fp32", "zero: 1, offload: {optimizer: cpu}"), 4 + 8);
    EXPECT_EQ(checkpoint_of("precision: bf16", "zero: 1, offload: {optimizer: cpu}"), 2 + 4 + 8);
}

TEST(RunEstimate, FailuresNeedWhatTheyTake) {
    const auto error = [](const std::string& operation) -> std::string {
        try {
            scenario_with(", operation: {" + operation + "}");
        } catch (const Error& e) {
            return e.what();
        }
        return "none";
    };
    EXPECT_THAT(error("node_mtbf: 30d"), HasSubstr("operation.storage_bandwidth"));
    EXPECT_THAT(error("node_mtbf: 30d, storage_bandwidth: 1GB/s"),
                HasSubstr("operation.restart_time"));
    EXPECT_THAT(error("pue: 0.9"), HasSubstr("range"));
    EXPECT_THAT(error("price_per_gpu_hours: 1"), HasSubstr("price_per_gpu_hour"));
}

// 16 GPUs for 20 s are 0.0889 GPU-hours.
TEST(RunEstimate, SmallRunsAreNoZeros) {
    Report report;
    report.scenario = scenario_with(", operation: {price_per_gpu_hour: 2.5}", ", steps: 10");
    report.strategies.emplace_back().name = "ddp";
    report.strategies[0].simulated = result_of_two_seconds();
    report.strategies[0].simulated->run = estimate(report.scenario);
    EXPECT_THAT(run_text(report), testing::ContainsRegex(" 0.0889 .* 0.222\n"));
}

TEST(RunEstimate, IsPrintedWithWhatWasAssumed) {
    Report report;
    report.scenario = scenario_with(", operation: {price_per_gpu_hour: 2}", ", tokens: 1e9");
    report.strategies.emplace_back().name = "ddp";
    report.strategies[0].simulated = result_of_two_seconds();
    report.strategies[0].simulated->run = estimate(report.scenario);
    const std::string text = run_text(report);
    EXPECT_THAT(text, HasSubstr("The whole run of 1,000,000,000 tokens"));
    EXPECT_THAT(text, HasSubstr("10 % of its power"));
    EXPECT_THAT(text, HasSubstr("GPUs alone"));
    EXPECT_THAT(text, Not(HasSubstr("Failures")));
}

}  // namespace
}  // namespace shardscope
