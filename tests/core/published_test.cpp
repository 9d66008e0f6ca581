#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/compact_io.h"
#include "core/published_io.h"
#include "core/report/published_comparison.h"
#include "core/report/report_import.h"
#include "core/report/report_io.h"
#include "core/scenario_io.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

std::string text_with(const std::string& published) {
    return "name: p\n"
           "model: gpt2-124m\n"
           "training: {global_batch: 8}\n"
           "cluster: {gpu: h100-sxm, nodes: 1, gpus_per_node: 8}\n"
           "strategies: [{name: first}, {name: second, zero: 1}]\n"
           "published: " +
           published + "\n";
}

std::string published_error(const std::string& published) {
    try {
        parse_scenario(text_with(published), "p.yaml", {});
    } catch (const Error& error) {
        return error.what();
    }
    return "none";
}

Result result_with(Bytes parameters, Seconds step) {
    Result result;
    result.step_time = step;
    result.tokens_per_s_per_gpu = 100;
    result.mfu = 0.5;
    for (int rank = 0; rank < 2; ++rank) {
        RankTrace& trace = result.ranks.emplace_back();
        trace.rank = Rank(rank);
        MemoryUse& memory = trace.memory;
        const auto set = [&](Category category, Bytes bytes) {
            memory.categories[static_cast<std::size_t>(category)] = bytes;
            memory.peak += bytes;
        };
        set(Category::parameters, (1 + rank) * parameters);
        set(Category::gradients, parameters);
        set(Category::activations, Bytes(7));
        set(Category::runtime, Bytes(1000));
    }
    result.peak_rank = Rank(1);
    return result;
}

TEST(Published, IsReadAndWrittenTheSame) {
    const Scenario scenario = parse_scenario(
        text_with(
            "[{strategy: second, quantity: model_states, value: 1.5, unit: GiB, rank: 3, "
            "source: \"a, b\"}, {strategy: first, quantity: step_time, value: 2, source: c}]"),
        "p.yaml", {});
    ASSERT_EQ(scenario.published.size(), 2u);
    EXPECT_EQ(scenario.published[0].rank, Rank(3));
    EXPECT_EQ(in_base_units(scenario.published[0]), 1.5 * kGiB);
    EXPECT_EQ(scenario.published[1].unit, "s");  // the quantity's first
    for (const std::string& text :
         {scenario_to_yaml(scenario), scenario_to_compact_yaml(scenario, {})})
        EXPECT_EQ(parse_scenario(text, "p.yaml", {}).published, scenario.published);
}

TEST(Published, WhatIsWrongIsNamedWithItsPlace) {
    EXPECT_THAT(published_error("[{strategy: secnd, quantity: step_time, value: 1, source: s}]"),
                testing::AllOf(HasSubstr("p.yaml:6:"), HasSubstr("use \"second\"")));
    EXPECT_THAT(published_error("[{quantity: step_time, value: 1, source: s}]"),
                HasSubstr("strategy"));
    EXPECT_THAT(published_error("[{strategy: first, quantity: steptime, value: 1, source: s}]"),
                HasSubstr("use \"step_time\""));
    EXPECT_THAT(
        published_error("[{strategy: first, quantity: mfu, value: 1, unit: GB, source: s}]"),
        HasSubstr("%"));
    EXPECT_THAT(published_error("[{strategy: first, quantity: mfu, value: 1, rank: 1, source: s}]"),
                HasSubstr("only memory"));
    EXPECT_THAT(published_error("[{strategy: first, quantity: mfu, value: 0, source: s}]"),
                HasSubstr("range"));
    EXPECT_THAT(published_error("[{strategy: first, quantity: mfu, value: 1}]"),
                HasSubstr("source"));
}

// The only strategy needs no name.
TEST(Published, OneStrategyIsMeant) {
    std::string text = text_with("[{quantity: mfu, value: 50, source: s}]");
    const std::string two = "[{name: first}, {name: second, zero: 1}]";
    text.replace(text.find(two), two.size(), "[{name: only}]");
    EXPECT_EQ(parse_scenario(text, "", {}).published[0].strategy, "only");
}

TEST(Published, OursIsInTheFiguresUnit) {
    Report report;
    report.scenario = parse_scenario(
        text_with(
            "[{strategy: first, quantity: step_time, value: 200, unit: ms, source: s}, "
            "{strategy: first, quantity: model_states, value: 3, unit: GB, source: s}, "
            "{strategy: first, quantity: model_states, value: 4, unit: GB, rank: 0, source: s}, "
            "{strategy: first, quantity: model_states, value: 4, rank: 2, source: s}, "
            "{strategy: first, quantity: mfu, value: 40, source: s}, "
            "{strategy: first, quantity: flops_per_gpu, value: 500, source: s}, "
            "{strategy: first, quantity: reserved_memory, value: 1, source: s}, "
            "{strategy: first, quantity: process_memory, value: 1, source: s}, "
            "{strategy: second, quantity: mfu, value: 40, source: s}]"),
        "", {});
    // Precision fp32: 67 TFLOP/s of an H100, half of which are used.
    for (const char* name : {"first", "second"}) report.strategies.emplace_back().name = name;
    report.strategies[0].simulated = result_with(Bytes(1'000'000'000), Seconds(0.25));
    const auto comparisons = compare_published(report);
    const auto ours = [&](std::size_t i) { return comparisons[i].ours.value_or(-1); };
    ASSERT_EQ(comparisons.size(), 9u);
    EXPECT_DOUBLE_EQ(ours(0), 250);
    EXPECT_DOUBLE_EQ(*comparisons[0].difference, 0.25);
    EXPECT_DOUBLE_EQ(ours(1), 3);  // rank 1 has most
    EXPECT_DOUBLE_EQ(ours(2), 2);
    EXPECT_EQ(ours(3), -1);  // there is no rank 2
    EXPECT_DOUBLE_EQ(ours(4), 50);
    EXPECT_DOUBLE_EQ(ours(5), 33.5);
    EXPECT_DOUBLE_EQ(ours(6), 3.000000007);
    EXPECT_DOUBLE_EQ(ours(7), 3.000001007);
    EXPECT_EQ(ours(8), -1);  // not simulated
    const std::string text = published_text(report);
    EXPECT_THAT(text, HasSubstr("+25.0"));
    const auto json = nlohmann::json::parse(report_to_json(report));
    EXPECT_DOUBLE_EQ(json["published"][0]["simulated"], 250);
    EXPECT_DOUBLE_EQ(json["published"][0]["difference"], 0.25);
    EXPECT_TRUE(json["published"][3]["simulated"].is_null());
}

}  // namespace
}  // namespace shardscope
