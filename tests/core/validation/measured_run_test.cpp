// Columns of measured runs: what is read, and what is refused with file:line, column and a remedy.
#include "core/validation/measured_run.h"

#include <random>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

constexpr const char* kHeader =
    "id,family,gpu,gpus,layers,hidden,heads,vocab,seq,framework,global_batch,step_time_s";
constexpr const char* kRow = "a-1,a,A100,8,12,1024,16,50000,1024,megatron,64,0.5";

TEST(MeasuredRun, ReadsARow) {
    const auto runs = parse_measured_runs(fmt::format("{}\r\n{}\r\n", kHeader, kRow), "f.csv");
    ASSERT_EQ(runs.size(), 1u);
    const MeasuredRun& run = runs.front();
    EXPECT_EQ(run.line, 2);
    EXPECT_EQ(run.id, "a-1");
    EXPECT_EQ(run.gpu, "A100");
    EXPECT_EQ(run.layers, 12);
    EXPECT_EQ(run.step_time_s, 0.5);
    EXPECT_FALSE(run.tp);
    EXPECT_FALSE(run.tied_embeddings);
    EXPECT_EQ(run.memory_kind, "");
}

TEST(MeasuredRun, ColumnsMayBeInAnyOrderAndCellsEmpty) {
    const auto runs = parse_measured_runs(
        "peak_memory_gib,vocab,seq,framework,global_batch,gpus,layers,hidden,heads,gpu,family,id,"
        "tied_embeddings,sequence_parallel,tp\n"
        ",,,,,,,,,,,x,1,0, 8.0 \n",
        "f.csv");
    ASSERT_EQ(runs.size(), 1u);
    EXPECT_EQ(runs[0].id, "x");
    EXPECT_EQ(runs[0].tp, 8);
    EXPECT_EQ(runs[0].tied_embeddings, true);
    EXPECT_EQ(runs[0].sequence_parallel, false);
    EXPECT_FALSE(runs[0].peak_memory_gib);
}

TEST(MeasuredRun, WhatPeopleWriteForUnknown) {
    for (const char* mark : {"-", "?", "N/A", "na", "nan", "null", "Unknown"}) {
        const auto runs = parse_measured_runs(
            fmt::format("{0},tp,peak_memory_gib,tied_embeddings\n{1},{2},{2},{2}\n", kHeader, kRow,
                        mark),
            "f.csv");
        ASSERT_EQ(runs.size(), 1u);
        EXPECT_FALSE(runs[0].tp || runs[0].peak_memory_gib || runs[0].tied_embeddings) << mark;
    }
    const auto runs = parse_measured_runs(
        fmt::format("{},tied_embeddings,sequence_parallel\n{},True,False\n", kHeader, kRow),
        "f.csv");
    EXPECT_EQ(runs[0].tied_embeddings, true);
    EXPECT_EQ(runs[0].sequence_parallel, false);
    const auto none = parse_measured_runs(
        fmt::format("{},experts,inter_node_Gbps_per_node,peak_memory_gib,memory_kind,zero_stage\n"
                    "{},0,0,0,nvidia-smi,0\n",
                    kHeader, kRow),
        "f.csv");
    EXPECT_FALSE(none[0].experts || none[0].inter_node_Gbps_per_node || none[0].peak_memory_gib);
    EXPECT_EQ(none[0].memory_kind, "process");
    EXPECT_EQ(none[0].zero_stage, 0);
}

TEST(MeasuredRun, StepTimeFollowsFromTokens) {
    MeasuredRun run;
    EXPECT_FALSE(run.measured_step_time());
    run.tokens_per_s_per_gpu = 1000;
    EXPECT_FALSE(run.measured_step_time());
    run.global_batch = 64;
    run.seq = 1000;
    run.gpus = 8;
    EXPECT_EQ(run.measured_step_time(), 8.0);
    run.step_time_s = 9.0;
    EXPECT_EQ(run.measured_step_time(), 9.0);
}

struct Wrong {
    std::string header, row, rule, message, fix;
};

class WrongRuns : public testing::TestWithParam<Wrong> {};

TEST_P(WrongRuns, AreRefusedWithPlaceColumnAndRemedy) {
    const auto& [header, row, rule, message, fix] = GetParam();
    const std::string text = fmt::format("{}{}\n{}{}\n", kHeader, header, kRow, row);
    try {
        parse_measured_runs(text, "f.csv");
        ADD_FAILURE() << "not refused: " << text;
    } catch (const Error& error) {
        EXPECT_EQ(error.rule, rule);
        EXPECT_EQ(error.message, message);
        EXPECT_THAT(error.fix, HasSubstr(fix));
        EXPECT_EQ(error.exit_code(), 3);
    }
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongRuns,
    testing::Values(
        Wrong{",micro_bach", ",1", "unknown-column", "f.csv:1: unknown column \"micro_bach\"",
              "\"micro_batch\""},
        Wrong{",zzzzzz", ",1", "unknown-column", "f.csv:1: unknown column \"zzzzzz\"",
              "docs/validate.md"},
        Wrong{",tp", ",two", "type", "f.csv:2: column \"tp\": \"two\" is no whole number",
              "nothing where unknown"},
        Wrong{",tp", ",1.5", "type", "f.csv:2: column \"tp\": \"1.5\" is no whole number", "write"},
        Wrong{",tp", ",0", "range", "f.csv:2: column \"tp\": \"0\" is out of range",
              "1 to 1000000"},
        Wrong{",zero_stage", ",4", "range", "f.csv:2: column \"zero_stage\": \"4\" is out of range",
              "0 to 3"},
        Wrong{",tied_embeddings", ",both", "type",
              "f.csv:2: column \"tied_embeddings\": \"both\" is neither 0 nor 1", "1 for yes"},
        Wrong{",peak_memory_gib", ",inf", "type",
              "f.csv:2: column \"peak_memory_gib\": \"inf\" is no number", "nothing where unknown"},
        Wrong{",peak_memory_gib", ",-1", "range",
              "f.csv:2: column \"peak_memory_gib\": \"-1\" is out of range", "positive"},
        Wrong{"", "\na-1,a,A100,8,12,1024,16,50000,1024,megatron,64,0.5", "duplicate-id",
              "f.csv:3: column \"id\": \"a-1\" is also in line 2", "a name of its own"},
        Wrong{"", "\n,a,A100,8,12,1024,16,50000,1024,megatron,64,0.5", "missing-value",
              "f.csv:3: column \"id\" is empty", "a name of its own"},
        Wrong{"", "\nb", "csv", "f.csv:3: 1 fields, but there are 12 columns", "commas"}));

TEST(MeasuredRun, EveryRequiredColumnMustBeThere) {
    const std::string header = std::string(",") + kHeader + ",";
    for (const std::string_view name : required_run_columns()) {
        std::string without = header;
        without.replace(without.find(fmt::format(",{},", name)), name.size() + 1, "");
        without = without.substr(1, without.size() - 2);
        try {
            parse_measured_runs(without + "\n", "f.csv");
            ADD_FAILURE() << "not refused: without " << name;
        } catch (const Error& error) {
            EXPECT_EQ(error.rule, "missing-column");
            EXPECT_EQ(error.message, fmt::format("f.csv:1: there is no column \"{}\"", name));
        }
    }
    std::string unmeasured = kHeader;
    unmeasured.resize(unmeasured.rfind(','));
    EXPECT_THROW(parse_measured_runs(unmeasured + "\n", "f.csv"), Error);
}

// Whatever a file holds, it is read or refused with its name.
TEST(MeasuredRun, AnyCellIsReadOrRefused) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const std::vector<std::string_view> columns = measured_run_columns();
    const std::vector<std::string> cells{
        "",     "1",        "0",   "-1",  "1e400", "1e9", "0x10", "é",
        "\"\"", "\"a\nb\"", "nan", "8.0", "8.5",   " ",   "A100", "99999999999999999999"};
    int read = 0, refused = 0;
    for (int round = 0; round < 3000; ++round) {
        std::string header, row;
        for (const std::string_view column : columns) {
            header += fmt::format("{}{}", header.empty() ? "" : ",", column);
            const bool wild = random() % 40 == 0;
            row += (column == "id" ? "" : ",") + (wild ? cells[random() % cells.size()] : "1");
        }
        try {
            EXPECT_EQ(parse_measured_runs(header + "\n" + row + "\n", "f.csv").size(), 1u);
            ++read;
        } catch (const Error& error) {
            EXPECT_THAT(error.message, HasSubstr("f.csv:")) << row;
            EXPECT_EQ(error.exit_code(), 3);
            ++refused;
        }
    }
    EXPECT_GT(read, 100);
    EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace shardscope
