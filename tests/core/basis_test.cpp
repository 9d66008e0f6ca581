#include "core/report/basis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"
#include "core/report/basis_text.h"
#include "core/report/report.h"
#include "core/scenario_io.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

constexpr const char* kAccuracyTable =
    "profile,architecture,quantity,rows,mape,p90,bias\n"
    "megatron,ampere,time,30,4.0,9.0,-1.0\n"
    "megatron,ampere,process,20,3.0,6.0,2.0\n"
    "megatron,hopper,time,10,8.0,12.0,3.0\n"
    "fsdp,hopper,time,60,6.0,10.0,0.5\n"
    "fsdp,hopper,reserved,5,2.0,3.0,-0.5\n";

std::vector<AccuracyRow> table() { return read_accuracy(kAccuracyTable, "accuracy.csv"); }

Scenario scenario_on(const std::string& gpu, const std::string& profile) {
    return parse_scenario("name: b\nmodel: gpt2-124m\ntraining: {global_batch: 8}\ncluster: " +
                              gpu + "\nstrategies: [{name: run, profile: " + profile + "}]\n",
                          "", {});
}

Basis basis_on(const std::string& gpu, const std::string& profile) {
    const Scenario scenario = scenario_on(gpu, profile);
    return basis_of(scenario, scenario.strategies[0], table());
}

TEST(Basis, TakesTheNearestComparableRuns) {
    const Basis same = basis_on("a100-80gb", "megatron");
    ASSERT_TRUE(same.time && same.memory);
    EXPECT_DOUBLE_EQ(same.time->mape, 0.04);
    EXPECT_DOUBLE_EQ(same.time->bias, -0.01);
    EXPECT_EQ(same.time->rows, 30u);
    EXPECT_EQ(same.memory->quantity, "process");
    // No V100 in the table: all of the profile's, by their number.
    const Basis profile = basis_on("v100-32gb", "megatron");
    EXPECT_EQ(profile.time->rows, 40u);
    EXPECT_DOUBLE_EQ(profile.time->mape, (30 * 0.04 + 10 * 0.08) / 40);
    EXPECT_DOUBLE_EQ(profile.time->p90, 0.12);
    EXPECT_EQ(profile.time->architecture, "");
    // Our own profile is in none: all of them.
    const Basis any = basis_on("h100-sxm", "shardscope");
    EXPECT_EQ(any.time->rows, 100u);
    EXPECT_DOUBLE_EQ(any.time->bias, (30 * -0.01 + 10 * 0.03 + 60 * 0.005) / 100);
    EXPECT_EQ(any.memory->quantity, "process");
    // What is of the profile comes before what is of a process.
    EXPECT_EQ(basis_on("h100-sxm", "fsdp").memory->quantity, "reserved");
}

TEST(Basis, NothingIsComparableWithAnEmptyTable) {
    const Scenario scenario = scenario_on("h100-sxm", "megatron");
    const Basis basis = basis_of(scenario, scenario.strategies[0], {});
    EXPECT_FALSE(basis.time || basis.memory);
    EXPECT_THAT(basis.constants, HasSubstr("none was measured"));
}

TEST(Basis, SaysWhatWasMeasured) {
    Scenario scenario = scenario_on("h100-sxm", "shardscope");
    Calibration& calibration = scenario.cluster.device.calibration;
    calibration.date = "2026-01-02";
    calibration.matmul.resize(3);
    calibration.kernels.resize(1);
    const Basis basis = basis_of(scenario, scenario.strategies[0], table());
    EXPECT_THAT(basis.constants, HasSubstr("measured 2026-01-02: 3 multiply rates, 1 kernel rate"));
}

// Of one strategy "run", of 71.25 GiB and 12.34 s.
Report report_on(const std::string& gpu, const std::string& profile) {
    Report report;
    report.scenario = scenario_on(gpu, profile);
    StrategyReport& strategy = report.strategies.emplace_back();
    strategy.name = "run";
    Result& result = strategy.simulated.emplace();
    result.step_time = Seconds(12.34);
    result.ranks.emplace_back().rank = Rank(0);
    result.ranks[0].memory.peak = Bytes(static_cast<std::int64_t>(71.25 * kGiB));
    result.peak_rank = Rank(0);
    result.basis = basis_of(report.scenario, report.scenario.strategies[0], table());
    return report;
}

TEST(Basis, IsPrintedAsErrorBars) {
    Report report = report_on("a100-80gb", "megatron");
    Result& result = *report.strategies[0].simulated;
    EXPECT_EQ(memory_with_error(result), "71.25 ± 2.14 GiB");
    EXPECT_EQ(time_with_error(result), "12.34 s ± 4.0 %");
    const std::string text = basis_text(report);
    EXPECT_THAT(text, HasSubstr("run: fits, 71.25 ± 2.14 GiB; step time 12.34 s ± 4.0 %"));
    EXPECT_THAT(text, HasSubstr("\nprocess memory: mean error 3.0 %, bias +2.0 % over 20 runs of "
                                "megatron on ampere\ntime: mean error 4.0 %, bias -1.0 % over 30"));
    // Errors of other profiles are told, and are no error bar.
    result.basis = basis_on("a100-80gb", "shardscope");
    EXPECT_EQ(memory_with_error(result), "71.25 GiB");
    EXPECT_EQ(time_with_error(result), "12.34 s");
    report.scenario = scenario_on("a100-80gb", "shardscope");
    EXPECT_THAT(
        basis_text(report),
        HasSubstr("\nprocess memory: no measured run of profile shardscope; of others mean"));
    EXPECT_THAT(basis_text(report), HasSubstr("\ntime: no measured run of profile shardscope;"));
    EXPECT_THAT(basis_text(report), HasSubstr("fitted to published training of this generation"));
    result.basis->memory.reset();
    EXPECT_EQ(memory_with_error(result), "71.25 GiB");
    EXPECT_THAT(basis_text(report), HasSubstr("memory: no measured run"));
}

// The peak is reserved memory and the runtime.
TEST(Basis, WhereAPartWasMeasuredTheErrorIsAtLeastThatOfProcesses) {
    Report report = report_on("h100-sxm", "fsdp");
    Basis& basis = *report.strategies[0].simulated->basis;
    EXPECT_EQ(memory_with_error(*report.strategies[0].simulated), "71.25 ± 2.14 GiB") << "3 %";
    EXPECT_THAT(basis_text(report),
                HasSubstr("\nreserved memory: mean error 2.0 %, bias -0.5 % over 5 runs of fsdp on "
                          "hopper; what a process has beyond it was not measured, so ± is that of "
                          "other profiles' processes, mean error 3.0 % over 20 runs\n"));
    basis.memory->mape = 0.04;
    EXPECT_EQ(memory_with_error(*report.strategies[0].simulated), "71.25 ± 2.85 GiB");
    EXPECT_THAT(basis_text(report), HasSubstr("so ± is its own and not that of other profiles'"));
}

TEST(Basis, ProfilesWithoutRunsAreNamedTogether) {
    Report report = report_on("h100-sxm", "shardscope");
    const Report other = report_on("h100-sxm", "deepspeed");
    report.strategies.push_back(other.strategies[0]);
    report.strategies[1].name = "run, deepspeed";
    report.scenario.strategies.push_back(other.scenario.strategies[0]);
    report.scenario.strategies[1].name = "run, deepspeed";
    EXPECT_THAT(basis_text(report),
                HasSubstr("\ntime: no measured run of profile shardscope or deepspeed; of "));
}

TEST(Basis, WhatAProductCannotRunHasNoErrorBar) {
    Report report = report_on("h100-sxm", "fsdp");
    Strategy strategy = report.scenario.strategies[0];
    strategy.zero = 1;
    report.strategies.push_back(report.strategies[0]);
    report.strategies[1].name = "beyond";
    report.strategies[1].simulated->basis = basis_of(report.scenario, strategy, table());
    EXPECT_FALSE(report.strategies[1].simulated->basis->time);
    EXPECT_THAT(basis_text(report),
                HasSubstr("\nbeyond: fits, 71.25 GiB; step time 12.34 s; its profile cannot run "
                          "this: nothing to compare with\nreserved memory: mean"));
}

// Errors are of predictions with the fitted constants.
TEST(Basis, ConstantsOfTheScenarioHaveNoErrorBar) {
    Report report = report_on("a100-80gb", "megatron");
    Device& device = report.scenario.cluster.device;
    const auto line = [&] {
        Result& result = *report.strategies[0].simulated;
        result.basis = basis_of(report.scenario, report.scenario.strategies[0], table());
        return basis_text(report);
    };
    device.training_efficiency = 0.95;
    EXPECT_THAT(line(),
                HasSubstr("run: fits, 71.25 ± 2.14 GiB; step time 12.34 s; training_efficiency "
                          "0.95, memory_efficiency 0.64 are not as fitted: no error of such "
                          "predictions is known\nprocess memory"));
    EXPECT_THAT(line(), testing::Not(HasSubstr("fitted to published training")));
    EXPECT_THAT(line(), testing::Not(HasSubstr("\ntime:")));
    device.training_efficiency = catalogue_cluster("a100-80gb").device.training_efficiency;
    EXPECT_THAT(line(), HasSubstr("step time 12.34 s ± 4.0 %\n"));
    device.profiles[RuntimeProfile::megatron] = fitted_constants(RuntimeProfile::megatron);
    EXPECT_THAT(line(), HasSubstr("step time 12.34 s ± 4.0 %\n"));
    device.profiles[RuntimeProfile::megatron].process = Bytes(1);
    EXPECT_THAT(line(), HasSubstr("fits, 71.25 GiB; step time 12.34 s ± 4.0 %; process is not"));
}

TEST(Basis, MalformedTablesAreNamedWithTheirLine) {
    const auto error = [](const std::string& text) -> std::string {
        try {
            read_accuracy(text, "a.csv");
        } catch (const Error& e) {
            return e.what();
        }
        return "none";
    };
    const std::string header = "profile,architecture,quantity,rows,mape,p90,bias\n";
    EXPECT_THAT(error("profile,architecture,quantity,rows,mape,bias\n"), HasSubstr("\"p90\""));
    EXPECT_THAT(error(header + "a,b,time,3,x,1,1\n"), HasSubstr("a.csv:2: this is no number"));
    EXPECT_THAT(error(header + "a,b,time,0,1,1,1\n"), HasSubstr("a.csv:2:"));
}

TEST(Basis, TheShippedTableIsRead) {
    const auto shipped = shipped_accuracy();
    EXPECT_FALSE(shipped.empty());
    EXPECT_TRUE(comparable(shipped, "megatron", "ampere", "time"));
}

}  // namespace
}  // namespace shardscope
