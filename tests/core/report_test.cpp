// One hand-made report, printed in every format and compared with tests/golden/report.*.
#include <limits>
#include <tuple>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/report/report_io.h"
#include "core/report/report_text.h"
#include "core/scenario_io.h"
#include "tests/support/golden.h"

namespace shardscope {
namespace {

MemoryUse memory_use(std::int64_t parameters, std::int64_t activations, std::int64_t runtime) {
    MemoryUse memory;
    memory.categories = {Bytes(parameters),  Bytes(parameters), Bytes(2 * parameters),
                         Bytes(activations), Bytes(0),          Bytes(64),
                         Bytes(runtime)};
    for (const Bytes bytes : memory.categories) memory.peak += bytes;
    memory.peak_phase = Phase::backward;
    return memory;
}

Result result_of(double factor, const MemoryUse& memory, int ranks, int multiplicity) {
    Result result;
    result.time.compute = Seconds(0.08 * factor);
    result.time.exposed_communication = Seconds(0.0125 * factor);
    result.time.bubble = Seconds(0.005 * factor);
    result.time.optimizer = Seconds(0.0025 * factor);
    result.step_time = result.time.wall = Seconds(0.1 * factor);
    result.tokens_per_s = 4096 / result.step_time.value;
    result.tokens_per_s_per_gpu = result.tokens_per_s / 2;
    result.mfu = 0.42 / factor;
    result.capacity = Bytes(1 << 30);
    result.peak_rank = Rank(0);
    for (int rank = 0; rank < ranks; ++rank) {
        result.ranks.emplace_back();
        result.ranks.back().rank = Rank(rank);
        result.ranks.back().multiplicity = multiplicity;
        result.ranks.back().memory = memory;
    }
    return result;
}

StrategyReport fitting_strategy() {
    StrategyReport report;
    report.name = "ddp, \"plain\"";  // what CSV has to quote
    report.layout = "dp2, 4 × 4 samples";
    report.simulated = result_of(1.0, memory_use(kMiB, 3 * kMiB, 0), 2, 1);
    report.simulated->notes = {"2 ranks share 1 core"};
    MemoryUse measured = memory_use(kMiB, 3 * kMiB, 4096);
    measured.outside_plan = Bytes(12345);
    report.measured = result_of(1.25, measured, 2, 1);
    report.measured->losses = {5.5, 4.25, 3.125};
    report.measured->notes = {"2 ranks share 1 core"};
    return report;
}

StrategyReport large_strategy() {
    StrategyReport report;
    report.name = "zero-3";
    report.status = Status::does_not_fit;
    report.layout = "dp2 zero3, 4 × 4 samples";
    report.simulated = result_of(2.0, memory_use(2 * kMiB, kMiB, 0), 1, 128);
    report.simulated->mfu = 0;
    report.simulated->step_time = Seconds(std::numeric_limits<double>::quiet_NaN());
    return report;
}

StrategyReport broken_strategy(const char* name, Status status) {
    StrategyReport report;
    report.name = name;
    report.status = status;
    report.error =
        Error("world-size", "tp 4 × pp 3 = 12 does not divide 16 ranks", "use pp 1, 2 or 4");
    return report;
}

Report hand_made() {
    Report report;
    report.scenario = parse_scenario(
        "name: hand-made\n"
        "model: {gpt: {layers: 2, hidden: 32, heads: 2, vocab: 256, seq: 128}}\n"
        "training: {global_batch: 32, micro_batch: 4}\n"
        "cluster:\n"
        "  name: two small ones\n"
        "  nodes: 1\n"
        "  gpus_per_node: 2\n"
        "  device: {name: Small GPU, memory: 1GiB, peak: {fp32: 1e12}, memory_bandwidth: 1e11}\n"
        "  intra_node: {bandwidth: 1e10, latency: 1e-6}\n"
        "strategies: [{name: ddp}]\n",
        "hand-made.yaml", {});
    report.context = {"host",       "2026-01-02T03:04:05Z",  "0.1.0", "12.2.0", "cpu",
                      "2026-01-01", {"a note on everything"}};
    report.strategies = {fitting_strategy(), large_strategy(),
                         broken_strategy("3d", Status::invalid),
                         broken_strategy("3d again", Status::invalid)};
    return report;
}

TEST(Report, PrintsTheSameFiguresInEveryFormat) {
    const Report report = hand_made();
    test::expect_golden("report.json", report_to_json(report));
    test::expect_golden("report.csv", report_to_csv(report));
    test::expect_golden("report_simulation.txt", simulation_text(report));
    test::expect_golden("report_measurement.txt", measurement_text(report));
    test::expect_golden("report_comparison.txt", comparison_text(report));
}

TEST(Report, JsonHasEveryMemberOfTheSchemaInOrder) {
    const auto json = nlohmann::ordered_json::parse(report_to_json(hand_made()));
    const auto keys = [](const nlohmann::ordered_json& object) {
        std::string names;
        for (const auto& [key, value] : object.items()) names += key + " ";
        return names;
    };
    EXPECT_EQ(keys(json), "schema_version context scenario strategies ");
    const auto& strategy = json["strategies"][0];
    EXPECT_EQ(keys(strategy), "name status layout simulated measured error ");
    EXPECT_EQ(keys(strategy["simulated"]),
              "step_time_s tokens_per_s tokens_per_s_per_gpu mfu losses memory time ");
    EXPECT_EQ(keys(strategy["simulated"]["memory"]), "capacity_bytes peak_bytes peak_rank ranks ");
    EXPECT_EQ(keys(strategy["simulated"]["memory"]["ranks"][0]),
              "rank peak_bytes peak_phase categories ");
    EXPECT_EQ(keys(strategy["simulated"]["memory"]["ranks"][0]["categories"]),
              "parameters gradients optimizer_states activations communication workspace runtime ");
    EXPECT_EQ(keys(strategy["simulated"]["time"]),
              "compute_s exposed_communication_s bubble_s optimizer_s ");
    EXPECT_EQ(keys(json["strategies"][2]["error"]), "rule message fix ");
}

TEST(Report, WhatIsNotKnownIsNull) {
    const auto json = nlohmann::json::parse(report_to_json(hand_made()));
    const auto& large = json["strategies"][1];
    EXPECT_TRUE(large["simulated"]["step_time_s"].is_null());
    EXPECT_TRUE(large["simulated"]["mfu"].is_null());
    EXPECT_TRUE(large["measured"].is_null());
    EXPECT_TRUE(large["error"].is_null());
    EXPECT_EQ(large["simulated"]["memory"]["ranks"][0]["multiplicity"], 128);
}

TEST(Report, BytesThatAreNoTextDoNotBreakJson) {
    Report report = hand_made();
    report.context.host = "\xFF\xFE";
    EXPECT_NO_THROW(std::ignore = nlohmann::json::parse(report_to_json(report)));
}

}  // namespace
}  // namespace shardscope
