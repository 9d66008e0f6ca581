#include "gui/session/session.h"

#include <QCoreApplication>
#include <QDir>
#include <QFile>
#include <QProcess>
#include <QRegularExpression>
#include <QSignalSpy>
#include <QTemporaryDir>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/report/report_io.h"
#include "gui/models/edits.h"
#include "gui/session/evaluator.h"
#include "tests/support/scenario_edits.h"

namespace shardscope::gui {
namespace {

using nlohmann::json;

Machine two_cores() {
    Machine machine = describe_machine();
    machine.cores = 2;
    return machine;
}

Scenario shipped(const std::string& name) {
    return load_scenario(SHARDSCOPE_SOURCE_DIR "/scenarios/" + name, {});
}

// What the command line prints, for every field of every strategy.
json of_command_line(const QStringList& arguments) {
    QProcess process;
    process.start(SHARDSCOPE_BINARY, arguments);
    EXPECT_TRUE(process.waitForFinished(60'000));
    return json::parse(process.readAllStandardOutput().toStdString());
}

// What would make the report the other one, as a JSON patch; it is not asked when they were made.
std::string difference(const Report& report, json other) {
    json ours = json::parse(report_to_json(report));
    ours["context"].erase("date");
    other["context"].erase("date");
    return json::diff(ours, other).dump(2);
}

std::vector<QString> shipped_scenarios() {
    std::vector<QString> files;
    for (const char* const folder : {"scenarios", "scenarios/tutorial", "scenarios/gpu"}) {
        const QDir directory(QString(SHARDSCOPE_SOURCE_DIR "/") + folder);
        for (const QString& name : directory.entryList({"*.yaml"}))
            files.push_back(directory.filePath(name));
    }
    return files;
}

class SessionEqualsCommandLine : public testing::TestWithParam<QString> {};

// A calibration that no machine has, so that scenarios of this machine need not be measured.
QString invented_calibration(const QTemporaryDir& folder) {
    const QString path = folder.filePath("calibration.yaml");
    QFile file(path);
    EXPECT_TRUE(file.open(QIODevice::WriteOnly));
    file.write(
        "this_machine: true\nnodes: 1\ngpus_per_node: 2\ncores: 2\n"
        "device: {name: Test CPU, kind: cpu, memory: 8GiB, peak: {fp32: 1e11, bf16: 1e11},\n"
        "  memory_bandwidth: 1e10, host_cost: 1e-6, kernel_overhead: 1e-6}\n"
        "intra_node: {bandwidth: 1e9, latency: 1e-5}\n"
        "calibration:\n  date: 2026-01-01\n  host: elsewhere\n"
        "  matmul: [[fp32, 64, 64, 64, 1e10], [fp32, 1024, 1024, 1024, 1e11]]\n"
        "  collectives: [[all_reduce, 2, 1024, 1e-5], [all_reduce, 2, 1048576, 1e-3]]\n");
    return path;
}

TEST_P(SessionEqualsCommandLine, InEveryFieldOfTheReport) {
    const QTemporaryDir folder;
    const QString calibration = invented_calibration(folder);
    const Machine machine = describe_machine();  // as the command line
    Session session({{calibration.toStdString(), machine.cores, machine.memory}, machine, {}});
    session.document().open(GetParam());
    session.wait();
    ASSERT_TRUE(session.up_to_date());
    ASSERT_FALSE(session.evaluation()->error) << session.evaluation()->error->what();
    const json printed =
        of_command_line({"simulate", GetParam(), "--json", "--calibration", calibration});
    EXPECT_FALSE(printed["strategies"].empty());
    EXPECT_EQ(difference(session.evaluation()->report, printed), "[]");
}

INSTANTIATE_TEST_SUITE_P(
    Shipped, SessionEqualsCommandLine, testing::ValuesIn(shipped_scenarios()),
    [](const auto& param) {
        QString name = param.param.section("scenarios/", 1);
        return name.chopped(5).replace(QRegularExpression("\\W"), "_").toStdString();
    });

TEST(Session, AnUnmeasuredMachineIsOneErrorForAll) {
    Session session({{"/nowhere.yaml", 2, Bytes(1LL << 33)}, two_cores(), {}});
    session.document().open(SHARDSCOPE_SOURCE_DIR "/scenarios/quickstart.yaml");
    session.wait();
    ASSERT_TRUE(session.evaluation() && session.evaluation()->error);
    EXPECT_EQ(session.evaluation()->error->rule, "not-calibrated");
    EXPECT_TRUE(session.evaluation()->report.strategies.empty());
    EXPECT_EQ(session.strategy_report(0), nullptr);
    EXPECT_EQ(session.detail(), nullptr);
}

TEST(Session, SelectsAndDetailsOneStrategy) {
    Session session({{}, two_cores(), {}});
    session.document().open(SHARDSCOPE_SOURCE_DIR "/scenarios/gpt-13b-16-gpus.yaml");
    session.wait();
    EXPECT_EQ(session.selected(), 0);
    QSignalSpy evaluated(&session, &Session::evaluated);
    session.select(5);
    session.wait();
    EXPECT_EQ(evaluated.count(), 0);  // nothing new but the detail
    ASSERT_TRUE(session.detail() && session.detail()->timeline);
    EXPECT_EQ(session.detail()->strategy, 5u);
    EXPECT_EQ(session.detail()->revision, session.document().revision());
    // One number for table, bars and the end of the timeline.
    EXPECT_EQ(session.detail()->step_time, session.strategy_report(5)->simulated->step_time);
    EXPECT_EQ(session.detail()->trace->ranks.size(), 4u);
    session.select(7);  // invalid
    session.wait();
    EXPECT_EQ(session.detail(), nullptr);
    EXPECT_FALSE(session.detail_error());
    session.select(99);
    EXPECT_EQ(session.selected(), 7);
    session.document().remove_strategy(7);
    session.wait();
    EXPECT_EQ(session.selected(), 6);
}

TEST(Session, WakesTheWindowWithoutBeingAsked) {
    Session session({{}, two_cores(), {}});
    QSignalSpy evaluated(&session, &Session::evaluated);
    session.document().open(SHARDSCOPE_SOURCE_DIR "/scenarios/gpt2-h100.yaml");
    EXPECT_FALSE(session.up_to_date());
    ASSERT_TRUE(evaluated.wait(10'000));
    EXPECT_TRUE(session.up_to_date());
}

TEST(Session, TwoHundredQuickEditsEndWithTheLast) {
    Session session({{}, two_cores(), {}});
    session.document().open(SHARDSCOPE_SOURCE_DIR "/scenarios/gpt2-h100.yaml");
    QSignalSpy evaluated(&session, &Session::evaluated);
    std::uint64_t newest = 0;
    QObject::connect(&session, &Session::evaluated, [&] {
        EXPECT_GE(session.evaluation()->revision, newest);  // never back
        newest = session.evaluation()->revision;
    });
    for (int i = 1; i <= 200; ++i) {
        set_sequence(session.document(), 64 + 4 * i, "slider");
        QCoreApplication::processEvents();
    }
    session.wait();
    QCoreApplication::processEvents();
    EXPECT_TRUE(session.up_to_date());
    EXPECT_EQ(session.evaluation()->model->seq, 864);
    EXPECT_LE(evaluated.count(), 201);
    session.document().undo();
    EXPECT_FALSE(session.document().modified());
}

TEST(Evaluator, TheLatestRequestWins) {
    Evaluator evaluator({}, two_cores());
    Scenario scenario = shipped("gpt3-175b-3d.yaml");
    for (std::uint64_t revision = 1; revision <= 50; ++revision) {
        scenario.training.global_batch = static_cast<std::int64_t>(1536 + 64 * revision);
        evaluator.request({revision, scenario, 0});
    }
    evaluator.wait();
    const auto results = evaluator.results();
    EXPECT_EQ(results.evaluation->revision, 50u);
    EXPECT_EQ(results.evaluation->report.scenario, scenario);
    // A queue would have evaluated every request.
    EXPECT_LT(evaluator.simulated(), 50 * static_cast<std::int64_t>(scenario.strategies.size()));
}

TEST(Evaluator, SimulatesOnlyWhatChanged) {
    Evaluator evaluator({}, two_cores());
    Scenario scenario = shipped("gpt-13b-16-gpus.yaml");
    std::uint64_t revision = 0;
    const auto simulated = [&](int selected) {
        const auto before = evaluator.simulated();
        evaluator.request({++revision, scenario, selected});
        evaluator.wait();
        EXPECT_EQ(evaluator.results().evaluation->revision, revision);
        return evaluator.simulated() - before;
    };
    EXPECT_EQ(simulated(0), 8);
    EXPECT_EQ(simulated(3), 0);  // another selection
    scenario.strategies[2].name = "renamed";
    scenario.name = "another";
    EXPECT_EQ(simulated(2), 0);
    EXPECT_EQ(evaluator.results().evaluation->report.strategies[2].name, "renamed");
    std::swap(scenario.strategies[0], scenario.strategies[4]);
    EXPECT_EQ(simulated(2), 0);
    scenario.strategies[1].tp = 2;
    EXPECT_EQ(simulated(2), 1);
    scenario.strategies[1].tp = 1;
    EXPECT_EQ(simulated(2), 0);               // as before the edit
    scenario.strategies[7].name = "invalid";  // its message names it
    scenario.strategies[7].place.clear();
    EXPECT_EQ(simulated(2), 1);
    EXPECT_THAT(evaluator.results().evaluation->report.strategies[7].error->message,
                testing::HasSubstr("invalid"));
    scenario.training.global_batch = 128;
    EXPECT_EQ(simulated(2), 8);
}

// What is reused must be what would be simulated.
TEST(Evaluator, ReuseGivesTheSameReportAsAFreshStart) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    Evaluator evaluator({}, two_cores());
    Scenario scenario = shipped("gpt-13b-16-gpus.yaml");
    for (std::uint64_t revision = 1; revision <= 30; ++revision) {
        for (Strategy& strategy : scenario.strategies) strategy.place.clear();
        shardscope::test::change(scenario, random);
        evaluator.request({revision, scenario, 1});
        evaluator.wait();
        Evaluator fresh({}, two_cores());
        fresh.request({revision, scenario, -1});
        fresh.wait();
        const Evaluation& reused = *evaluator.results().evaluation;
        const Evaluation& anew = *fresh.results().evaluation;
        ASSERT_EQ(reused.error.has_value(), anew.error.has_value());
        ASSERT_EQ(difference(reused.report, json::parse(report_to_json(anew.report))), "[]");
    }
}

TEST(Evaluator, EndsWhileItWorks) {
    for (int i = 0; i < 20; ++i) {
        Evaluator evaluator({}, two_cores());
        evaluator.request({1, shipped("gpt-13b-16-gpus.yaml"), 0});
    }
}

}  // namespace
}  // namespace shardscope::gui
