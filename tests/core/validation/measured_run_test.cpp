// Columns of measured runs: what is read, what a row is left out for, and what is refused with file:line, column and a
// remedy.
#include "core/validation/measured_run.h"

#include <random>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace shardscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kHeader =
    "id,family,gpu,gpus,layers,hidden,heads,vocab,seq,framework,global_batch,step_time_s";
constexpr const char* kRow = "a-1,a,A100,8,12,1024,16,50000,1024,megatron,64,0.5";

std::vector<MeasuredRun> rows_of(const std::string& text) {
    return parse_measured_runs(text, "f.csv").rows;
}

TEST(MeasuredRun, ReadsARow) {
    const auto runs = rows_of(fmt::format("{}\r\n{}\r\n", kHeader, kRow));
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
    const auto runs = rows_of(
        "peak_memory_gib,vocab,seq,framework,global_batch,gpus,layers,hidden,heads,gpu,family,id,"
        "tied_embeddings,sequence_parallel,tp\n"
        ",,,,,,,,,,,x,1,0, 8.0 \n");
    ASSERT_EQ(runs.size(), 1u);
    EXPECT_EQ(runs[0].id, "x");
    EXPECT_EQ(runs[0].tp, 8);
    EXPECT_EQ(runs[0].tied_embeddings, true);
    EXPECT_EQ(runs[0].sequence_parallel, false);
    EXPECT_FALSE(runs[0].peak_memory_gib);
}

TEST(MeasuredRun, WhatPeopleWriteForUnknown) {
    for (const char* mark : {"-", "?", "N/A", "na", "nan", "null", "Unknown"}) {
        const auto runs = rows_of(fmt::format(
            "{0},tp,peak_memory_gib,tied_embeddings\n{1},{2},{2},{2}\n", kHeader, kRow, mark));
        ASSERT_EQ(runs.size(), 1u);
        EXPECT_FALSE(runs[0].tp || runs[0].peak_memory_gib || runs[0].tied_embeddings) << mark;
    }
    const auto runs = rows_of(
        fmt::format("{},tied_embeddings,sequence_parallel\n{},True,False\n", kHeader, kRow));
    EXPECT_EQ(runs[0].tied_embeddings, true);
    EXPECT_EQ(runs[0].sequence_parallel, false);
    const auto none = rows_of(
        fmt::format("{},experts,inter_node_Gbps_per_node,peak_memory_gib,memory_kind,zero_stage\n"
                    "{},0,0,0,nvidia-smi,0\n",
                    kHeader, kRow));
    EXPECT_FALSE(none[0].experts || none[0].inter_node_Gbps_per_node || none[0].peak_memory_gib);
    EXPECT_EQ(none[0].memory_kind, "process");
    EXPECT_EQ(none[0].zero_stage, 0);
}

TEST(MeasuredRun, RunsThatRanOutOfMemory) {
    const auto row = [](const char* time, const char* peak, const char* tokens = "") {
        return rows_of(fmt::format("{},peak_memory_gib,tokens_per_s_per_gpu\n"
                                   "a-1,a,A100,8,12,1024,16,50000,1024,megatron,64,{},{},{}\n",
                                   kHeader, time, peak, tokens))
            .at(0);
    };
    for (const auto& [time, peak] :
         {std::pair{"OOM", ""}, {"", "oom"}, {"Out of memory", "OOM"}, {"OOM", "79.1"}}) {
        const MeasuredRun run = row(time, peak);
        EXPECT_TRUE(run.out_of_memory) << time << peak;
        EXPECT_FALSE(run.unreadable || run.measured_step_time() || run.peak_memory_gib);
    }
    EXPECT_TRUE(row("", "", "OOM").out_of_memory);
    EXPECT_FALSE(row("0.5", "12").out_of_memory);
    const MeasuredRun both = row("0.5", "OOM");
    ASSERT_TRUE(both.unreadable);
    EXPECT_EQ(both.unreadable->message, "f.csv:2: a run that ran out of memory has no step time");
}

TEST(MeasuredRun, WholeNumbersMayHaveCommas) {
    for (const auto& [written, gpus] :
         {std::pair{"1,024", 1024}, {"16,384", 16384}, {"512", 512}}) {
        const auto runs = rows_of(
            fmt::format("id,family,gpu,gpus,layers,hidden,heads,vocab,seq,framework,global_batch,"
                        "step_time_s\nx,f,A100,\"{}\",12,1024,16,50000,1024,megatron,64,1\n",
                        written));
        ASSERT_EQ(runs.size(), 1u);
        EXPECT_FALSE(runs[0].unreadable) << written;
        EXPECT_EQ(runs[0].gpus, gpus);
    }
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
    EXPECT_FALSE(run.throughput_deviation());
    run.step_time_s = 10.0;
    EXPECT_EQ(run.measured_step_time(), 10.0);
    EXPECT_DOUBLE_EQ(*run.throughput_deviation(), 0.25) << "1000 tokens, of which 800 are 10 s";
    run.tokens_per_s_per_gpu.reset();
    EXPECT_FALSE(run.throughput_deviation());
}

TEST(MeasuredRun, ColumnsWithoutAMeaningAreNamedAndNotRead) {
    const MeasuredRuns file = parse_measured_runs(
        fmt::format("notes,{},mfu,step_time_ms\n\"two\nlines\",{},0.4,500\n", kHeader, kRow),
        "f.csv");
    EXPECT_THAT(file.columns_not_read, ElementsAre("notes", "mfu", "step_time_ms"));
    ASSERT_EQ(file.rows.size(), 1u);
    EXPECT_EQ(file.rows[0].id, "a-1");
    EXPECT_EQ(file.rows[0].step_time_s, 0.5);
    EXPECT_FALSE(file.rows[0].unreadable);
    EXPECT_THAT(parse_measured_runs(fmt::format("{},quality\n", kHeader), "f.csv").columns_not_read,
                IsEmpty())
        << "known, for readers";
}

struct Malformed {
    std::string column, cell, rule, message, fix;
};

class MalformedCells : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedCells, ConcernTheirRowAlone) {
    const auto& [column, cell, rule, message, fix] = GetParam();
    const std::string good = "a-2,a,A100,8,12,1024,16,50000,1024,megatron,64,0.5";
    const auto runs =
        rows_of(fmt::format("{},{}\n{},{}\n{},\n", kHeader, column, kRow, cell, good));
    ASSERT_EQ(runs.size(), 2u);
    EXPECT_EQ(runs[0].id, "a-1");
    EXPECT_EQ(runs[0].step_time_s, 0.5) << "the other cells are read";
    ASSERT_TRUE(runs[0].unreadable);
    EXPECT_EQ(runs[0].unreadable->rule, rule);
    EXPECT_EQ(runs[0].unreadable->message,
              fmt::format("f.csv:2: column \"{}\": {}", column, message));
    EXPECT_THAT(runs[0].unreadable->fix, HasSubstr(fix));
    EXPECT_FALSE(runs[1].unreadable);
}

INSTANTIATE_TEST_SUITE_P(
    All, MalformedCells,
    testing::Values(
        Malformed{"tp", "two", "type", "\"two\" is no whole number", "nothing where unknown"},
        Malformed{"dp", "\"10,24\"", "type", "\"10,24\" is no whole number", "write one"},
        Malformed{"tp", "1.5", "type", "\"1.5\" is no whole number", "write"},
        Malformed{"tp", "0", "range", "\"0\" is out of range", "1 to 1000000"},
        Malformed{"zero_stage", "4", "range", "\"4\" is out of range", "0 to 3"},
        Malformed{"head_dim", "65537", "range", "\"65537\" is out of range", "1 to 65536"},
        Malformed{"tied_embeddings", "both", "type", "\"both\" is neither 0 nor 1", "1 for yes"},
        Malformed{"peak_memory_gib", "inf", "type", "\"inf\" is no number",
                  "nothing where unknown"},
        Malformed{"peak_memory_gib", "much", "type", "\"much\" is no number",
                  "OOM where the run ran out of memory"},
        Malformed{"gpu_memory_gb", "OOM", "type", "\"OOM\" is no number", "nothing where unknown"},
        Malformed{"peak_memory_gib", "-1", "range", "\"-1\" is out of range", "positive"},
        Malformed{"model", "\"two\nlines\"", "type", "\"two?lines\" has several lines",
                  "one line"}));

TEST(MeasuredRun, TheFirstMalformedCellIsTheReason) {
    const auto runs = rows_of(fmt::format("{},tp,pp\n{},two,three\n", kHeader, kRow));
    ASSERT_TRUE(runs.at(0).unreadable);
    EXPECT_THAT(runs[0].unreadable->message, HasSubstr("\"two\""));
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
        Wrong{",tokens_per_s", ",1", "unknown-column", "f.csv:1: unknown column \"tokens_per_s\"",
              "use \"tokens_per_s_per_gpu\", or remove the column"},
        Wrong{"", "\n\"b\nb\",a,A100,8,12,1024,16,50000,1024,megatron,64,0.5", "type",
              "f.csv:3: column \"id\": \"b?b\" has several lines", "one line"},
        Wrong{"", "\na-1,a,A100,8,12,1024,16,50000,1024,megatron,64,0.5", "duplicate-id",
              "f.csv:3: column \"id\": \"a-1\" is also in line 2", "a name of its own"},
        Wrong{"", "\n,a,A100,8,12,1024,16,50000,1024,megatron,64,0.5", "missing-value",
              "f.csv:3: column \"id\" is empty", "a name of its own"},
        Wrong{"", "\nb", "csv", "f.csv:3: 1 fields, but there are 12 columns", "commas"}));

TEST(MeasuredRun, OtherSeparatorsThanCommasAreNamed) {
    for (const auto& [separator, words] : {std::pair{";", "\";\""}, std::pair{"\t", "tabs"}})
        for (const char* quote : {"", "\""}) {
            SCOPED_TRACE(std::string(words) + quote);
            std::string text = fmt::format("{0}id{0}{1}{0}family{0}\na{1}1,5\n", quote, separator);
            try {
                parse_measured_runs(text, "f.csv");
                ADD_FAILURE() << "not refused: " << text;
            } catch (const Error& error) {
                EXPECT_EQ(error.rule, "csv");
                EXPECT_EQ(error.message,
                          fmt::format("f.csv:1: the names of columns are separated by {}", words));
                EXPECT_THAT(error.fix, HasSubstr("with commas"));
            }
        }
}

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

// Whatever a row holds, it is read, or the file's name is in what is wrong with it.
TEST(MeasuredRun, AnyCellIsReadOrSaidToBeUnreadable) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const std::vector<std::string_view> columns = measured_run_columns();
    const std::vector<std::string> cells{
        "",     "1",        "0",   "-1",  "1e400", "1e9", "0x10", "é",
        "\"\"", "\"a\nb\"", "nan", "8.0", "8.5",   " ",   "A100", "99999999999999999999"};
    int read = 0, left_out = 0;
    for (int round = 0; round < 3000; ++round) {
        std::string header, row;
        for (const std::string_view column : columns) {
            header += fmt::format("{}{}", header.empty() ? "" : ",", column);
            const bool wild = random() % 40 == 0;
            row += (column == "id" ? "" : ",") + (wild ? cells[random() % cells.size()] : "1");
        }
        try {
            const MeasuredRuns file = parse_measured_runs(header + "\n" + row + "\n", "f.csv");
            ASSERT_EQ(file.rows.size(), 1u);
            const auto& unreadable = file.rows[0].unreadable;
            ++(unreadable ? left_out : read);
            if (unreadable) {
                EXPECT_THAT(unreadable->message, HasSubstr("f.csv:2: column ")) << row;
            }
        } catch (const Error& error) {  // of the id
            EXPECT_THAT(error.message, HasSubstr("column \"id\"")) << row;
            EXPECT_EQ(error.exit_code(), 3);
        }
    }
    EXPECT_GT(read, 100);
    EXPECT_GT(left_out, 100);
}

}  // namespace
}  // namespace shardscope
