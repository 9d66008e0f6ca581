// One validation, made by hand, as text, JSON, CSV and picture.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/csv_reader.h"
#include "core/validation/scatter_plot.h"
#include "core/validation/validation_io.h"
#include "core/validation/validation_text.h"

namespace shardscope {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

ValidatedRun run(const std::string& id, const std::string& family, double predicted,
                 double measured) {
    ValidatedRun result;
    result.run.id = id;
    result.run.family = family;
    result.run.framework = "megatron";
    result.run.step_time_s = measured;
    Prediction& p = result.prediction;
    p.time = {Seconds(predicted), Seconds(predicted / 2), Seconds(predicted / 4),
              Seconds(predicted / 8), Seconds(predicted / 8)};
    p.cluster = "a100-80gb";
    p.precision = "bf16";
    p.layout = "dp8, 2 × 4 samples";
    p.fits = true;
    p.peak = Bytes(std::int64_t{2} << 30);
    return result;
}

// Time errors: a +10 and −10 %, b +20 %; memory: −50 % allocated; one row skipped, one without memory.
Validation example() {
    Validation v;
    v.file = "runs <1>.csv";
    v.context.version = "1";
    v.runs = {run("a-1", "a", 1.1, 1), run("a-2", "a", 9, 10), run("b-1", "b & c", 24, 20),
              run("b-2", "b & c", 1, 1)};
    v.runs[0].run.peak_memory_gib = 4;
    v.runs[0].run.memory_kind = "allocated";
    v.runs[0].prediction.assumed = {{"micro_batch", "4"}, {"tp", "1"}};
    v.runs[1].run.peak_memory_gib = 5;
    v.runs[1].run.memory_kind = "process";
    v.runs[1].prediction.peak.reset();
    v.runs[1].prediction.no_peak = Error("memory-kind", "no model", "wait");
    v.runs[3].prediction = {};
    v.runs[3].prediction.skipped = Error("not-modelled", "ep is not modelled", "leave it out");
    return v;
}

TEST(ValidationText, HasFamiliesThenAllThenReasons) {
    EXPECT_EQ(validation_text(example()),
              "runs <1>.csv: 4 runs, 3 predicted, 1 skipped\n"
              "\n"
              "step time  n  MAPE %  median %  worst %  of   bias %\n"
              "---------  -  ------  --------  -------  ---  ------\n"
              "a          2    10.0      10.0     10.0  a-1    +0.0\n"
              "b & c      1    20.0      20.0     20.0  b-1   +20.0\n"
              "all        3    13.3      10.0     20.0  b-1    +6.7\n"
              "\n"
              "peak memory  kind       n  MAPE %  median %  worst %  of   bias %\n"
              "-----------  ---------  -  ------  --------  -------  ---  ------\n"
              "a            allocated  1    50.0      50.0     50.0  a-1   -50.0\n"
              "all                     1    50.0      50.0     50.0  a-1   -50.0\n"
              "\n"
              "Skipped:\n"
              "     1  not-modelled: ep is not modelled; leave it out  (b-2)\n"
              "\n"
              "Memory not predicted:\n"
              "     1  memory-kind: no model; wait  (a-2)\n");
}

TEST(ValidationText, NamesWhatIsSaidNotToFit) {
    Validation validation = example();
    EXPECT_THAT(validation_text(validation), testing::Not(HasSubstr("Said not to fit")));
    validation.runs.front().prediction.fits = false;
    EXPECT_THAT(validation_text(validation),
                HasSubstr("Said not to fit, and predicted all the same: 1 ("));
}

// Beside runs that were made: what ran out of memory should not fit.
TEST(Validation, RunsThatRanOutOfMemoryCountInTheVerdicts) {
    Validation validation = example();
    const auto add = [&](const char* id, bool fits) {
        validation.runs.push_back(run(id, "a", 1, 1));
        validation.runs.back().run.step_time_s.reset();
        validation.runs.back().run.out_of_memory = true;
        validation.runs.back().prediction.fits = fits;
    };
    add("a-3", false);
    add("a-4", true);
    add("a-5", false);
    validation.runs[1].prediction.fits = false;
    const std::string text = validation_text(validation);
    EXPECT_THAT(text, HasSubstr("\nSaid not to fit, and predicted all the same: 1 (a-2)\n"
                                "Ran out of memory, and said not to fit: 2 (a-3, a-5)\n"
                                "Ran out of memory, but said to fit: 1 (a-4)\n"));
    EXPECT_THAT(text, HasSubstr("\nall        3 ")) << "they have no time";
    const Json j = Json::parse(validation_to_json(validation));
    EXPECT_EQ(j["verdicts"].dump(), R"({"made":{"does_not_fit":1,"fits":2},)"
                                    R"("out_of_memory":{"does_not_fit":2,"fits":1}})");
    EXPECT_EQ(j["time"]["n"], 3);
    EXPECT_EQ(j["details"][0]["out_of_memory"], false);
    EXPECT_EQ(j["details"][4]["out_of_memory"], true);
    const CsvTable table = parse_csv(validation_to_csv(validation), "out.csv");
    EXPECT_EQ(table.columns.back(), "outcome");
    EXPECT_EQ(table.rows[0].fields.back(), "made");
    EXPECT_EQ(table.rows[4].fields.back(), "out_of_memory");
}

TEST(ValidationText, NamesColumnsThatAreNotRead) {
    Validation validation = example();
    EXPECT_THAT(validation_text(validation), Not(HasSubstr("Columns that are not read")));
    validation.columns_not_read = {"notes", "m\nfu"};
    EXPECT_THAT(validation_text(validation),
                HasSubstr("1 skipped\nColumns that are not read: notes, m?fu\n\nstep time"));
    validation.columns_not_read.resize(14, "x");
    EXPECT_THAT(validation_text(validation), HasSubstr(", x and 2 more\n"));
}

TEST(ValidationText, WithoutRunsFiguresAreUnknown) {
    Validation v = example();
    v.runs = {v.runs[3]};
    EXPECT_THAT(validation_text(v), HasSubstr("all        0       –"));
}

TEST(ValidationJson, HasTheShapeThatIsPromised) {
    const Json j = Json::parse(validation_to_json(example()));
    EXPECT_EQ(j["schema_version"], kValidationSchemaVersion);
    EXPECT_EQ(j["rows"], 4);
    EXPECT_EQ(j["columns_not_read"].dump(), "[]");
    EXPECT_EQ(j["skipped"].dump(),
              R"([{"id":"b-2","reason":"not-modelled: ep is not modelled; leave it out"}])");
    EXPECT_NEAR(j["time"]["mape"].get<double>(), 40.0 / 3, 1e-9);
    EXPECT_NEAR(j["time"]["median_ape"].get<double>(), 10, 1e-9);
    EXPECT_NEAR(j["time"]["max_ape"].get<double>(), 20, 1e-9);
    EXPECT_NEAR(j["time"]["bias"].get<double>(), 20.0 / 3, 1e-9);
    const Json& a = j["time"]["per_family"]["a"];
    EXPECT_NEAR(a["mape"].get<double>(), 10, 1e-9);
    EXPECT_NEAR(a["bias"].get<double>(), 0, 1e-9);
    EXPECT_EQ(a["n"], 2);
    EXPECT_NEAR(j["memory"]["mape"].get<double>(), 50, 1e-9);
    EXPECT_NEAR(j["memory"]["bias"].get<double>(), -50, 1e-9);
    EXPECT_EQ(j["memory"]["per_family"]["a"]["n"], 1);
    EXPECT_EQ(j["memory"]["per_kind"]["allocated"]["a"]["n"], 1);
    EXPECT_EQ(j["memory"]["skipped"][0]["id"], "a-2");
    ASSERT_EQ(j["details"].size(), 4u);
    const Json& first = j["details"][0];
    EXPECT_EQ(first["id"], "a-1");
    EXPECT_EQ(first["predicted_step_time_s"], 1.1);
    EXPECT_EQ(first["measured_step_time_s"], 1.0);
    EXPECT_EQ(first["predicted_peak_gib"], 2.0);
    EXPECT_EQ(first["measured_peak_gib"], 4.0);
    EXPECT_EQ(first["assumed"].dump(), R"({"micro_batch":"4","tp":"1"})");
    EXPECT_TRUE(j["details"][1]["predicted_peak_gib"].is_null());
    EXPECT_TRUE(j["details"][2]["measured_peak_gib"].is_null());
    EXPECT_TRUE(j["details"][3]["predicted_step_time_s"].is_null());
    EXPECT_EQ(j["details"][3]["measured_step_time_s"], 1.0);
}

TEST(ValidationJson, NamesColumnsThatAreNotRead) {
    Validation validation = example();
    validation.columns_not_read = {"notes", "mfu"};
    const Json j = Json::parse(validation_to_json(validation));
    EXPECT_EQ(j["schema_version"], 1) << "fields may be added";
    EXPECT_EQ(j["columns_not_read"].dump(), R"(["notes","mfu"])");
}

// A row that has a memory but no memory_kind is one of `allocated`, in every output.
TEST(ValidationJson, MemoryWithoutAKindIsAllocated) {
    Validation validation = example();
    validation.runs[2].run.peak_memory_gib = 1;
    const Json j = Json::parse(validation_to_json(validation));
    EXPECT_EQ(j["memory"]["n"], 2);
    EXPECT_EQ(j["memory"]["per_kind"]["allocated"]["b & c"]["n"], 1);
    EXPECT_EQ(j["details"][2]["memory_kind"], "allocated");
    EXPECT_TRUE(j["details"][3]["memory_kind"].is_null()) << "nothing was measured";
    EXPECT_THAT(validation_text(validation), HasSubstr("\nb & c        allocated  1 "));
    EXPECT_THAT(validation_to_csv(validation), HasSubstr(",allocated,2,1,100.00,"));
    EXPECT_THAT(scatter_plot(validation), HasSubstr("measured 1 GiB (allocated)"));
}

TEST(ValidationCsv, HasALinePerRow) {
    const CsvTable table = parse_csv(validation_to_csv(example()), "out.csv");
    ASSERT_EQ(table.rows.size(), 4u);
    const auto field = [&](std::size_t row, const std::string& column) {
        const auto found = std::find(table.columns.begin(), table.columns.end(), column);
        return table.rows[row].fields[static_cast<std::size_t>(found - table.columns.begin())];
    };
    EXPECT_EQ(field(0, "id"), "a-1");
    EXPECT_EQ(field(0, "framework"), "megatron");
    EXPECT_EQ(field(0, "layout"), "dp8, 2 × 4 samples");
    EXPECT_EQ(field(0, "time_error_percent"), "10.00");
    EXPECT_EQ(field(0, "memory_error_percent"), "-50.00");
    EXPECT_EQ(field(0, "compute_s"), "0.55");
    EXPECT_EQ(field(0, "assumed"), "micro_batch=4; tp=1");
    EXPECT_EQ(field(1, "predicted_peak_gib"), "");
    EXPECT_EQ(field(1, "remark"), "memory-kind: no model; wait");
    EXPECT_EQ(field(3, "predicted_step_time_s"), "");
    EXPECT_EQ(field(3, "compute_s"), "");
    EXPECT_EQ(field(3, "remark"), "not-modelled: ep is not modelled; leave it out");
}

std::size_t occurrences(const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++n;
    return n;
}

TEST(ScatterPlot, HasAMarkPerRunAndALegend) {
    const std::string svg = scatter_plot(example());
    EXPECT_TRUE(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width="));
    EXPECT_TRUE(svg.ends_with("</svg>\n"));
    EXPECT_EQ(occurrences(svg, "</title></path>"), 4u) << "three times, one peak";
    EXPECT_THAT(svg, HasSubstr("<title>a-1: predicted 1.1 s, measured 1 s</title>"));
    EXPECT_THAT(svg, HasSubstr("<title>a-1: predicted 2 GiB, measured 4 GiB (allocated)</title>"));
    EXPECT_THAT(svg, HasSubstr(">b &amp; c</text>"));
    EXPECT_THAT(svg, HasSubstr("runs &lt;1&gt;.csv"));
    EXPECT_THAT(svg, HasSubstr(">Step time, 3 runs</text>"));
    EXPECT_THAT(svg, HasSubstr(">Peak memory, 1 runs</text>"));
    EXPECT_EQ(occurrences(svg, "stroke-dasharray"), 5u)
        << "two lines in each plot, one in the legend";
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_EQ(svg, scatter_plot(example()));
}

TEST(ScatterPlot, RunsOnTheDiagonalAreOnIt) {
    Validation v = example();
    v.runs = {run("a-1", "a", 1, 1), run("a-2", "a", 100, 100), run("a-3", "a", 10, 10)};
    // Both axes go from 1/1.15 to 115, over 460 pixels from (70, 44): 10 is in the middle, the mark
    // 3.6 pixels around it.
    EXPECT_THAT(scatter_plot(v), HasSubstr("<path d=\"M296.4 274.0a3.6 3.6 0 1 0 7.2 0"));
}

TEST(ScatterPlot, OfNothingIsStillAPicture) {
    Validation v = example();
    v.runs = {v.runs[3]};
    const std::string svg = scatter_plot(v);
    EXPECT_THAT(svg, HasSubstr("Step time, 0 runs"));
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace shardscope
