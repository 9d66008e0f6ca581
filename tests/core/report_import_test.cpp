#include "core/report/report_import.h"

#include <cmath>
#include <limits>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/report/evaluate.h"
#include "core/report/report_io.h"
#include "core/scenario_io.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

Result measured_result() {
    Result result;
    result.step_time = Seconds(0.1);
    result.tokens_per_s = 1234.5;
    result.tokens_per_s_per_gpu = 617.25;
    result.mfu = 0.25;
    result.losses = {3.5, std::numeric_limits<double>::quiet_NaN(), 1.0 / 3};
    result.capacity = Bytes(80'000'000'000);
    for (int rank = 0; rank < 2; ++rank) {
        RankTrace trace;
        trace.rank = Rank(rank);
        trace.multiplicity = 1 + 3 * rank;
        trace.memory.categories = {Bytes(9'007'199'254'740'993), Bytes(2 + rank)};
        trace.memory.categories[6] = Bytes(60);
        for (const Bytes part : trace.memory.categories) trace.memory.peak += part;
        trace.memory.peak_phase = Phase::backward;
        trace.memory.outside_plan = Bytes(7);
        trace.memory.runtime = {Bytes(30), Bytes(20), Bytes(10)};
        trace.memory.process = Bytes(rank);
        result.ranks.push_back(trace);
    }
    result.peak_rank = Rank(1);
    result.time = {Seconds(0.1), Seconds(0.05), Seconds(0.03), Seconds(0.0125), Seconds(0.0075)};
    result.notes = {"a \"note\" in\ttwo\nlines – with µ and \x01"};
    return result;
}

// What only simulated results have; of the run, a part that cannot be counted out.
void add_estimates(Result& result) {
    RunEstimate& run = result.run.emplace();
    run.steps = 1'000'000;
    run.ideal = Seconds(1e6);
    run.expected = Seconds(std::numeric_limits<double>::infinity());
    run.gpu_hours = run.expected.value;
    run.gpu_power = Watts(350.5);
    run.power = Watts(7000);
    run.step_energy = Joules(700);
    Goodput& goodput = run.goodput.emplace();
    goodput.mtbf = Seconds(1234.5);
    goodput.checkpoint = Bytes(9'007'199'254'740'993);
    goodput.write = Seconds(1);
    goodput.interval = Seconds(1.0 / 3);
    goodput.best_interval = true;
    goodput.restart = Seconds(60);
    goodput.expected = run.expected;
    goodput.failures = run.expected.value;
    StepVariation& variation = result.variation.emplace();
    variation.disturbance = {0.05, 0.1, {{Rank(1), 1.5}}, 18'446'744'073'709'551'615u};
    variation.steps = 10;
    variation.mean = Seconds(0.11);
    variation.p5 = Seconds(0.1);
    variation.p50 = Seconds(0.105);
    variation.p95 = Seconds(0.125);
    result.basis = Basis{AccuracyRow{"fsdp", "", "time", 7, 0.05, 0.1, -0.01},
                         std::nullopt,
                         AccuracyRow{"", "", "process", 9, 0.04, 0.1, 0.02},
                         {"launch"},
                         "Constants: \"none\""};
}

Report sample() {
    Report report;
    report.context = {"host", "2026-01-02T03:04:05Z", "1.2", "gcc", "cpu", "", {"first"}};
    // As the parser gives it: with every default filled in.
    report.scenario =
        parse_scenario(scenario_to_json(test::tiny_scenario(test::tiny_gpt(), 2)), "", {});
    report.scenario.data = TextData{"corpus.txt"};
    const Strategy first = report.scenario.strategies.front();
    report.scenario.strategies.clear();
    const auto add = [&](const char* name, Status status) {
        StrategyReport entry;
        entry.name = name;
        entry.status = status;
        entry.layout = "dp2, 2 × 1 samples";
        Strategy strategy = first;
        strategy.name = name;
        report.scenario.strategies.push_back(strategy);
        report.strategies.push_back(entry);
        return &report.strategies.back();
    };
    add("both", Status::fits)->measured = measured_result();
    report.strategies[0].simulated = measured_result();
    for (RankTrace& rank : report.strategies[0].simulated->ranks) rank.memory.outside_plan = {};
    add_estimates(*report.strategies[0].simulated);
    report.scenario.published = {{"both", PublishedQuantity::mfu, 40, "%", {}, "a paper"}};
    Result untimed = measured_result();
    untimed.step_time = Seconds(std::numeric_limits<double>::quiet_NaN());
    untimed.mfu = 0;
    untimed.losses.clear();
    add("untimed", Status::does_not_fit)->simulated = untimed;
    add("bad", Status::invalid)->error = Error("rule", "message", "");
    add("lost", Status::failed)->error = Error("gone", "message", "fix", ErrorKind::run_failed);
    return report;
}

std::string report_error(const std::string& text) {
    try {
        report_from_json(text, "r.json");
        return "none";
    } catch (const Error& error) {
        EXPECT_EQ(error.exit_code(), 3);
        return error.what();
    }
}

// The sample with one text replaced.
std::string changed(const std::string& from, const std::string& to) {
    std::string text = report_to_json(sample());
    const std::size_t at = text.find(from);
    EXPECT_NE(at, text.npos) << from;
    return text.replace(at, from.size(), to);
}

TEST(ReportImport, ReadsBackWhatWasWritten) {
    const std::string text = report_to_json(sample());
    const Report read = report_from_json(text, "r.json");
    EXPECT_EQ(report_to_json(read), text);
    const Result& result = *read.strategies[0].measured;
    EXPECT_EQ(result.peak_memory().categories[0].value, 9'007'199'254'740'993);
    EXPECT_EQ(result.time.wall.value, 0.1);
    EXPECT_TRUE(std::isnan(result.losses[1]));
    EXPECT_EQ(result.losses[2], 1.0 / 3);  // to the bit
    EXPECT_EQ(result.ranks[1].memory.runtime.workspace, Bytes(20));
    const Report written = sample();
    const Result &simulated = *read.strategies[0].simulated,
                 &wanted = *written.strategies[0].simulated;
    EXPECT_EQ(simulated.run, wanted.run);
    EXPECT_EQ(simulated.variation, wanted.variation);
    EXPECT_EQ(simulated.basis, wanted.basis);
    EXPECT_EQ(read.scenario.published, sample().scenario.published);
    EXPECT_TRUE(std::isnan(read.strategies[1].simulated->step_time.value));
    EXPECT_EQ(read.strategies[1].simulated->mfu, 0);
    EXPECT_EQ(read.strategies[2].error->kind, ErrorKind::invalid_input);
    EXPECT_EQ(read.strategies[3].error->kind, ErrorKind::run_failed);
    EXPECT_EQ(read.scenario.model, sample().scenario.model);
    EXPECT_EQ(read.scenario.training, sample().scenario.training);
    EXPECT_EQ(read.scenario.cluster, sample().scenario.cluster);
    EXPECT_EQ(std::get<TextData>(read.scenario.data).path, "corpus.txt");
    EXPECT_EQ(read.context.notes.back(), measured_result().notes[0]);
}

TEST(ReportImport, NamesThePlaceOfEveryFault) {
    EXPECT_THAT(
        report_error(changed("\"schema_version\": 1", "\"schema_version\": 2")),
        HasSubstr("schema-version: r.json:2:21: the report is of schema version 2, but this "
                  "program reads 1; use a newer version"));
    EXPECT_THAT(
        report_error(changed("\"backend\": ", "\"bakend\": ")),
        HasSubstr("unknown-key: r.json:8:5: unknown key \"bakend\" in context; use \"backend\""));
    EXPECT_THAT(report_error(changed("    \"host\": \"host\",\n", "")),
                HasSubstr("missing-key: r.json:3:14: context has no \"host\""));
    EXPECT_THAT(
        report_error(changed("\"capacity_bytes\": 80000000000", "\"capacity_bytes\": \"much\"")),
        HasSubstr("must be a whole number"));
    EXPECT_THAT(report_error(changed("\"compiler\": \"gcc\"", "\"compiler\": 12")),
                HasSubstr("context.compiler is \"12\", but must be a text in quotes"));
    EXPECT_THAT(report_error(changed("\"step_time_s\": 0.1", "\"step_time_s\": [1]")),
                HasSubstr("type: r.json:"));
    EXPECT_THAT(report_error(changed("\"step_time_s\": 0.1", "\"step_time_s\": 1e999")),
                HasSubstr("step_time_s is \"1e999\", but must be a number"));
    EXPECT_THAT(report_error(changed("\"status\": \"fits\"", "\"status\": \"fit\"")),
                HasSubstr("there is no status \"fit\"; use \"fits\""));
    EXPECT_THAT(report_error(changed("\"peak_phase\": \"backward\"", "\"peak_phase\": \"noon\"")),
                HasSubstr("there is no phase \"noon\""));
    EXPECT_THAT(report_error(changed("\"global_batch\"", "\"globl_batch\"")),
                HasSubstr("unknown-key: r.json:"));
}

TEST(ReportImport, RefusesFieldsThatContradictEachOther) {
    EXPECT_THAT(report_error(changed("\"runtime\": 60", "\"runtime\": 61")),
                HasSubstr("but its categories sum to"));
    EXPECT_THAT(report_error(changed("\"peak_rank\": 1", "\"peak_rank\": 0")),
                HasSubstr("report: r.json:"));
    EXPECT_THAT(report_error(changed("\"status\": \"invalid\"", "\"status\": \"fits\"")),
                HasSubstr("strategies[2].error is there, but the status is \"fits\""));
    EXPECT_THAT(report_error(changed("\"name\": \"both\",\n      \"status\"",
                                     "\"name\": \"other\",\n      \"status\"")),
                HasSubstr("not those of the scenario"));
}

TEST(ReportImport, RefusesWhatIsNoJson) {
    EXPECT_THAT(report_error("schema_version: 1"), HasSubstr("json: r.json:1:1: this is no JSON"));
    const std::string text = report_to_json(sample());
    EXPECT_THAT(report_error(text.substr(0, text.size() / 2)), HasSubstr("it ends early"));
    EXPECT_THAT(report_error(""), HasSubstr("json: r.json:1:1"));
    EXPECT_THAT(report_error(changed("\"date\": ", "\"date\" ")), HasSubstr("json: r.json:5:"));
    EXPECT_THAT(report_error("[]"), HasSubstr("r.json:1:1"));
}

// Whatever a text was made of: it is a report that is written as it was read, or an Error with its place.
TEST(ReportImport, MutatedReportsAreReadOrRefused) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto below = [&](std::size_t n) { return random() % n; };
    const std::string original = report_to_json(sample());
    const std::string_view letters =
        "{}[]\",:0123456789.-eE truefalsnl\\u\n\t#&*!|>'%@`\x01\xC3\xFF";
    int refused = 0;
    for (int i = 0; i < 400; ++i) {
        std::string text = original;
        for (std::size_t changes = 1 + below(3); changes > 0 && !text.empty(); --changes) {
            const std::size_t at = below(text.size());
            switch (below(4)) {
                case 0:
                    text[at] = letters[below(letters.size())];
                    break;
                case 1:
                    text.insert(at, 1, letters[below(letters.size())]);
                    break;
                case 2:
                    text.erase(at, 1 + below(20));
                    break;
                default:
                    text.insert(at, text.substr(below(text.size()), below(40)));
                    break;
            }
        }
        try {
            const Report report = report_from_json(text, "r.json");
            const std::string written = report_to_json(report);
            EXPECT_EQ(report_to_json(report_from_json(written, "w.json")), written);
        } catch (const Error& error) {
            ++refused;
            EXPECT_EQ(error.exit_code(), 3) << error.what();
            EXPECT_THAT(error.message, testing::StartsWith("r.json:")) << text;
        }
    }
    EXPECT_GT(refused, 100);  // most changes break something
}

}  // namespace
}  // namespace shardscope
