#include "gui/models/measurements.h"

#include <QAbstractItemModelTester>
#include <QFile>
#include <QSignalSpy>
#include <QTemporaryDir>
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/report/report_io.h"
#include "tests/gui/evaluated.h"

namespace shardscope::gui {
namespace {

using testing::HasSubstr;

class MeasurementsTest : public testing::Test {
protected:
    MeasurementsTest() : now(test::evaluated(scenario())), tester(&measurements) {}

    static Scenario scenario() {
        return parse_scenario(
            "model: {gpt: {layers: 4, hidden: 512, heads: 8, vocab: 5000, seq: 256}}\n"
            "training: {global_batch: 32, micro_batch: 2}\n"
            "cluster: {nodes: 1, gpus_per_node: 4, gpu: a100-80gb}\n"
            "strategies: [{name: ddp}, {name: zero-2, zero: 2}, {name: bad, dp: 7}]\n",
            "s.yaml", {});
    }
    // As if the simulation had been measured, but for twice the memory of gradients and half the time.
    QString write(const QString& name, Report report, const std::string& date) {
        report.context = {"host", date, "1", "gcc", "cuda", "", {}};
        for (StrategyReport& strategy : report.strategies) {
            strategy.measured = std::exchange(strategy.simulated, std::nullopt);
            if (!strategy.measured) continue;
            strategy.measured->step_time = strategy.measured->step_time / 2;
            for (RankTrace& rank : strategy.measured->ranks) {
                auto& gradients =
                    rank.memory.categories[static_cast<std::size_t>(Category::gradients)];
                rank.memory.peak += gradients;
                gradients += gradients;
            }
        }
        const QString path = folder.filePath(name);
        QFile file(path);
        EXPECT_TRUE(file.open(QIODevice::WriteOnly));
        file.write(QByteArray::fromStdString(report_to_json(report)));
        return path;
    }
    QStringList differences_after(const std::function<void(Scenario&)>& change) {
        Scenario changed = scenario();
        change(changed);
        const auto rows = measurements.compare(test::evaluated(changed));
        return rows[1] ? rows[1]->differences : QStringList{"nothing"};
    }

    QTemporaryDir folder;
    Evaluation now;
    Measurements measurements;
    QAbstractItemModelTester tester;
};

TEST_F(MeasurementsTest, GiveResultsAndErrorsByStrategy) {
    const QString path = write("r.json", now.report, "2026-01-01T00:00:00Z");
    QSignalSpy changed(&measurements, &Measurements::changed);
    measurements.open(path);
    EXPECT_EQ(changed.size(), 1);
    const auto rows = measurements.compare(now);
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_FALSE(rows[2]);
    for (const std::size_t i : {0, 1}) {
        ASSERT_TRUE(rows[i]);
        EXPECT_FALSE(rows[i]->stale()) << rows[i]->differences.join(", ").toStdString();
        EXPECT_EQ(rows[i]->file, path);
        EXPECT_EQ(rows[i]->host, "host");
        const Result& simulated = *now.report.strategies[i].simulated;
        const auto& categories = simulated.peak_memory().categories;
        const double gradients = static_cast<double>(categories[1].value);
        const double peak = static_cast<double>(simulated.peak_memory().peak.value);
        EXPECT_DOUBLE_EQ(rows[i]->peak_error, peak / (peak + gradients) - 1);
        EXPECT_DOUBLE_EQ(rows[i]->category_errors[0], 0);
        EXPECT_DOUBLE_EQ(rows[i]->category_errors[1], -0.5);
        EXPECT_DOUBLE_EQ(rows[i]->step_time_error, 1);
        EXPECT_DOUBLE_EQ(rows[i]->part_errors[0], 0);
        // Without pipeline or host waits nothing is there to divide by, or it is equal.
        const double bubble = rows[i]->part_errors[2];
        EXPECT_TRUE(std::isnan(bubble) || bubble == 0);
    }
}

TEST_F(MeasurementsTest, AreStaleWhenTheQuestionIsAnotherOne) {
    measurements.open(write("r.json", now.report, "2026-01-01T00:00:00Z"));
    using S = Scenario;
    EXPECT_EQ(differences_after([](S&) {}), QStringList());
    EXPECT_EQ(differences_after([](S& s) { std::get<GptSpec>(s.model.kind).seq = 128; }),
              QStringList("sequence"));
    EXPECT_EQ(differences_after([](S& s) { std::get<GptSpec>(s.model.kind).layers = 5; }),
              QStringList("model"));
    EXPECT_EQ(differences_after([](S& s) { s.training.global_batch = 64; }),
              QStringList("global batch"));
    EXPECT_EQ(differences_after([](S& s) { s.training.precision = DType::bf16; }),
              (QStringList{"precision", "gradients"}));
    EXPECT_EQ(differences_after([](S& s) { s.training.optimizer.kind = OptimizerKind::sgd; }),
              QStringList("optimizer"));
    EXPECT_EQ(differences_after([](S& s) { s.training.clip = 1; }), QStringList("clipping"));
    EXPECT_EQ(differences_after([](S& s) { s.cluster.gpus_per_node = 8; }), QStringList("cluster"));
    EXPECT_EQ(differences_after([](S& s) { s.strategies[1].zero = 3; }), QStringList("strategy"));
    EXPECT_EQ(differences_after([](S& s) { s.training.micro_batch = 4; }), QStringList("strategy"));
    // Written otherwise, or of no effect on memory and time.
    EXPECT_EQ(differences_after([](S& s) {
                  s.name = "other";
                  s.training.steps = 7;
                  s.training.seed = 7;
                  s.training.optimizer.lr = 7;
                  s.data = TextData{"corpus"};
                  s.strategies[1].micro_batch = 2;
                  s.strategies[1].dp = 4;
                  s.strategies[0].zero = 1;  // another row
              }),
              QStringList());
}

// What a strategy leaves to its profile is the same as the profile's value in words.
TEST_F(MeasurementsTest, AreNotStaleByWhatTheProfileHasAnyway) {
    measurements.open(write("r.json", now.report, "2026-01-01T00:00:00Z"));
    const Strategy usual;
    using S = Scenario;
    EXPECT_EQ(differences_after([&](S& s) { s.strategies[1].bucket = bucket_size(usual); }),
              QStringList());
    EXPECT_EQ(differences_after([&](S& s) { s.strategies[1].cp_kind = context_kind(usual); }),
              QStringList());
    EXPECT_EQ(differences_after([&](S& s) { s.strategies[1].tp_overlap = tensor_overlap(usual); }),
              QStringList());
    EXPECT_EQ(differences_after([](S& s) { s.strategies[1].etp = 1; }), QStringList());
    EXPECT_EQ(differences_after([](S& s) { s.strategies[1].bucket = Bytes(1 << 20); }),
              QStringList("strategy"));
}

TEST_F(MeasurementsTest, FollowAStrategyThatIsRenamedButNotItsCopy) {
    measurements.open(write("r.json", now.report, "2026-01-01T00:00:00Z"));
    Scenario copied = scenario();
    copied.strategies.push_back(copied.strategies[1]);
    copied.strategies.back().name = "zero-2 (copy)";
    auto rows = measurements.compare(test::evaluated(copied));
    EXPECT_TRUE(rows[1]);
    EXPECT_FALSE(rows[3]);
    copied.strategies.erase(copied.strategies.begin() + 1);
    rows = measurements.compare(test::evaluated(copied));
    ASSERT_TRUE(rows[2]);
    EXPECT_EQ(rows[2]->strategy->name, "zero-2");
}

TEST_F(MeasurementsTest, PreferWhatIsNotStaleAndThenTheNewest) {
    Scenario other = scenario();
    other.training.global_batch = 64;
    const QString old = write("old.json", now.report, "2026-01-01T00:00:00Z");
    const QString fresh = write("new.json", now.report, "2026-02-01T00:00:00Z");
    const QString stale =
        write("stale.json", test::evaluated(other).report, "2026-03-01T00:00:00Z");
    for (const QString& path : {fresh, stale, old}) measurements.open(path);
    EXPECT_EQ(measurements.rowCount(), 3);
    EXPECT_EQ(measurements.compare(now)[0]->file, fresh);
    measurements.remove(0);
    EXPECT_EQ(measurements.compare(now)[0]->file, old);
    measurements.remove(1);
    EXPECT_EQ(measurements.compare(now)[0]->file, stale);
    EXPECT_TRUE(measurements.compare(now)[0]->stale());
    measurements.clear();
    EXPECT_FALSE(measurements.compare(now)[0]);
}

TEST_F(MeasurementsTest, ListWhatIsOpenAndReadAFileAgain) {
    const QString path = write("r.json", now.report, "2026-01-01T00:00:00Z");
    measurements.open(path);
    write("r.json", now.report, "2026-05-05T00:00:00Z");
    measurements.open(path);
    ASSERT_EQ(measurements.rowCount(), 1);
    const QModelIndex index = measurements.index(0);
    EXPECT_EQ(measurements.data(index, Qt::DisplayRole),
              "r.json: 2 measured, cuda on host, 2026-05-05T00:00:00Z");
    EXPECT_EQ(measurements.data(index, Measurements::PathRole), path);
}

TEST_F(MeasurementsTest, RefuseReportsWithoutMeasurementsAndWhatIsNone) {
    const auto error_of = [&](const QByteArray& text) {
        QFile file(folder.filePath("bad.json"));
        EXPECT_TRUE(file.open(QIODevice::WriteOnly));
        file.write(text);
        file.close();
        try {
            measurements.open(file.fileName());
            return std::string("none");
        } catch (const Error& error) {
            return std::string(error.what());
        }
    };
    EXPECT_THAT(error_of(QByteArray::fromStdString(report_to_json(now.report))),
                HasSubstr("no-measurements: "));
    EXPECT_THAT(error_of("{\"schema_version\": 9}"), HasSubstr("bad.json:1:20: "));
    EXPECT_THAT(error_of("{"), HasSubstr("json: "));
    EXPECT_TRUE(measurements.empty());
}

// `run` moves a scenario to this machine: what it measured is stale for the cluster that was asked for.
TEST_F(MeasurementsTest, AMachineIsNoCluster) {
    Scenario here = scenario();
    here.cluster.this_machine = true;
    Report report = now.report;
    report.scenario = here;
    measurements.open(write("r.json", report, "2026-01-01T00:00:00Z"));
    EXPECT_EQ(measurements.compare(now)[0]->differences, QStringList("cluster"));
    Evaluation evaluation = now;
    evaluation.report.scenario = here;
    evaluation.report.context.host = "host";
    EXPECT_EQ(measurements.compare(evaluation)[0]->differences, QStringList());
    evaluation.report.context.host = "another";
    EXPECT_EQ(measurements.compare(evaluation)[0]->differences, QStringList("machine"));
}

}  // namespace
}  // namespace shardscope::gui
