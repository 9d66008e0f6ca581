// Real runs of the real program, and of programs that behave badly.
#include "gui/session/run_task.h"

#include <QFile>
#include <QTemporaryDir>
#include <QTest>
#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/report/report_import.h"
#include "core/scenario_io.h"
#include "gui/session/run_events.h"

namespace shardscope::gui {
namespace {

using testing::HasSubstr;
constexpr int kPatience = 60'000;  // ms; a loaded machine takes its time

Scenario tiny(const std::string& strategies) {
    return parse_scenario(
        "model: {gpt: {layers: 2, hidden: 16, heads: 2, vocab: 64, seq: 8}}\n"
        "training: {global_batch: 4, micro_batch: 2, steps: 3}\n"
        "cluster: {nodes: 2, gpus_per_node: 8, gpu: a100-80gb}\n"
        "strategies: " +
            strategies + "\n",
        "tiny.yaml", {});
}

class RunTaskTest : public testing::Test {
protected:
    RunTaskTest() {
        request.program = SHARDSCOPE_BINARY;
        request.scenario = tiny("[{name: ddp}, {name: zero-1, zero: 1}]");
        request.ranks = 2;
        const auto add = [this](const auto& event) { log.add(event); };
        QObject::connect(&task, &RunTask::started, add);
        QObject::connect(&task, &RunTask::stepped, add);
        QObject::connect(&task, &RunTask::over, add);
        QObject::connect(&task, &RunTask::ended, [this] { ++ends; });
    }
    bool wait_for_end() {
        return QTest::qWaitFor([this] { return task.state() == RunTask::State::idle; }, kPatience);
    }
    bool wait_for_steps(std::size_t steps) {
        return QTest::qWaitFor(
            [&] { return log.current() != nullptr && log.current()->steps.size() >= steps; },
            kPatience);
    }
    // A program that does as `script` says, whatever its arguments.
    QString program(const QByteArray& script) {
        const QString path = folder.filePath("program");
        QFile file(path);
        EXPECT_TRUE(file.open(QIODevice::WriteOnly));
        file.write("#!/bin/sh\n" + script + "\n");
        file.setPermissions(QFile::ReadOwner | QFile::ExeOwner);
        return path;
    }
    Error error_of(const QByteArray& script) {
        request.program = program(script);
        task.start(request);
        EXPECT_TRUE(wait_for_end());
        EXPECT_EQ(task.report(), "");
        return task.error().value_or(Error("none", "", ""));
    }

    QTemporaryDir folder;
    RunRequest request;
    RunLog log;
    RunTask task;
    int ends = 0;
};

TEST_F(RunTaskTest, RunsTheScenarioAndLeavesItsReport) {
    task.start(request);
    EXPECT_EQ(task.state(), RunTask::State::running);
    ASSERT_TRUE(wait_for_end());
    ASSERT_FALSE(task.error()) << task.error()->what();
    EXPECT_FALSE(task.cancelled());
    EXPECT_EQ(ends, 1);
    const Report report = load_report(task.report().toStdString());
    ASSERT_EQ(log.series().size(), 2u);
    for (std::size_t i = 0; i < 2; ++i) {
        const RunSeries& series = log.series()[i];
        EXPECT_EQ(series.start.strategy.toStdString(), report.strategies[i].name);
        EXPECT_EQ(series.start.layout.toStdString(), report.strategies[i].layout);
        EXPECT_EQ(series.start.ranks, 2);
        EXPECT_EQ(series.state, RunState::finished);
        ASSERT_EQ(series.steps.size(), 3u);
        EXPECT_EQ(series.steps[2].loss, report.strategies[i].measured->losses[2]);
        EXPECT_EQ(series.steps[2].memory.size(), 2u);
        EXPECT_GT(series.steps[2].tokens_per_s, 0);
    }
    EXPECT_TRUE(report.scenario.cluster.this_machine);
}

TEST_F(RunTaskTest, RunsTheStrategiesAndStepsThatAreAskedFor) {
    request.strategies = {"zero-1"};
    request.steps = 5;
    request.report = folder.filePath("mine.json");
    task.start(request);
    ASSERT_TRUE(wait_for_end());
    EXPECT_EQ(task.report(), request.report);
    const Report report = load_report(request.report.toStdString());
    ASSERT_EQ(report.strategies.size(), 1u);
    EXPECT_EQ(report.strategies[0].measured->losses.size(), 5u);
}

TEST_F(RunTaskTest, CancellingLeavesAPartialReport) {
    request.steps = 100'000'000;
    task.start(request);
    ASSERT_TRUE(wait_for_steps(3));
    task.cancel();
    EXPECT_EQ(task.state(), RunTask::State::cancelling);
    ASSERT_TRUE(wait_for_end());
    EXPECT_TRUE(task.cancelled());
    EXPECT_FALSE(task.error());
    EXPECT_EQ(log.series()[0].state, RunState::cancelled);
    EXPECT_EQ(log.series()[1].state, RunState::cancelled);
    const Report report = load_report(task.report().toStdString());
    EXPECT_EQ(report.strategies[0].measured->losses.size(), log.series()[0].steps.size());
}

TEST_F(RunTaskTest, CancellingTwiceKills) {
    request.program = program(
        "trap '' TERM\n"
        "echo '{\"event\":\"started\",\"strategy\":\"a\",\"layout\":\"\","
        "\"backend\":\"cpu\",\"ranks\":1,\"steps\":1,\"rate\":\"tokens\"}'\n"
        "while :; do sleep 0.05; done");
    task.start(request);
    ASSERT_TRUE(QTest::qWaitFor([&] { return log.current() != nullptr; }, kPatience));
    task.cancel();
    EXPECT_FALSE(QTest::qWaitFor([&] { return ends > 0; }, 300));
    task.cancel();
    ASSERT_TRUE(wait_for_end());
    EXPECT_TRUE(task.cancelled());
    EXPECT_FALSE(task.error());
    EXPECT_EQ(task.report(), "");
}

TEST_F(RunTaskTest, WhenItGoesTheChildGoesToo) {
    qint64 child = 0;
    {
        RunTask other;
        request.program = program("echo $$ > " + folder.filePath("pid").toUtf8() +
                                  "; trap '' TERM; while :; do sleep 0.05; done");
        other.start(request);
        ASSERT_TRUE(QTest::qWaitFor(
            [&] {
                QFile file(folder.filePath("pid"));
                if (!file.open(QIODevice::ReadOnly)) return false;
                child = file.readAll().trimmed().toLongLong();
                return child > 0;
            },
            kPatience));
        EXPECT_EQ(kill(static_cast<pid_t>(child), 0), 0);
    }
    EXPECT_EQ(kill(static_cast<pid_t>(child), 0), -1);  // and was waited for: not even a zombie
    EXPECT_EQ(errno, ESRCH);
}

TEST_F(RunTaskTest, WhatIsWrongWithTheScenarioIsTheProgramsOwnError) {
    request.ranks = 2000;
    task.start(request);
    ASSERT_TRUE(wait_for_end());
    ASSERT_TRUE(task.error());
    EXPECT_THAT(task.error()->what(), HasSubstr("exit code 2: shardscope: usage: --ranks"));
    EXPECT_EQ(task.report(), "");
    request.ranks = 3;
    task.start(request);
    ASSERT_TRUE(wait_for_end());
    EXPECT_EQ(log.current()->state, RunState::failed);
    EXPECT_EQ(log.current()->error->rule, "batch") << log.current()->error->what();
}

TEST_F(RunTaskTest, AChildThatDiesOrTalksNonsenseIsAnError) {
    EXPECT_THAT(error_of("echo 'shardscope: out of luck' >&2; exit 7").what(),
                HasSubstr("run: the run ended with exit code 7: shardscope: out of luck; "));
    EXPECT_THAT(error_of("kill -SEGV $$").what(), HasSubstr("run: the run was ended by signal 11"));
    EXPECT_THAT(error_of("exit 0").what(), HasSubstr("exit code 0 and said nothing"));
    EXPECT_THAT(error_of("echo hello; sleep 60").what(),
                HasSubstr("run-events: the run said something that is no event (illegal value): "
                          "\"hello\""));
    EXPECT_THAT(error_of("printf '{\"event\":\"ste'").what(), HasSubstr("run-events: "));
    EXPECT_THAT(error_of("echo '{\"event\":\"dance\"}'").what(), HasSubstr("of an unknown kind"));
    EXPECT_THAT(error_of("echo '{\"event\":\"step\",\"strategy\":3}'").what(),
                HasSubstr("no usable \"strategy\""));
}

TEST_F(RunTaskTest, AProgramThatIsNotThereIsAnError) {
    request.program = folder.filePath("nobody");
    task.start(request);
    ASSERT_TRUE(wait_for_end());
    ASSERT_TRUE(task.error());
    EXPECT_THAT(task.error()->what(),
                HasSubstr("run: cannot start " + request.program.toStdString()));
    EXPECT_EQ(ends, 1);
    request.program = SHARDSCOPE_BINARY;  // and the next run is fine
    task.start(request);
    EXPECT_THROW(task.start(request), Error);
    ASSERT_TRUE(wait_for_end());
    EXPECT_FALSE(task.error());
}

TEST_F(RunTaskTest, RanksOnGpusAreLaunched) {
    request.program = program("echo \"$@\" > " + folder.filePath("words").toUtf8());
    request.backend = "cuda";
    task.start(request);
    ASSERT_TRUE(wait_for_end());
    QFile words(folder.filePath("words"));
    ASSERT_TRUE(words.open(QIODevice::ReadOnly));
    const std::string line = words.readAll().toStdString();
    EXPECT_THAT(line, testing::StartsWith("launch --num_gpus 2 -- run "));
    EXPECT_THAT(line, HasSubstr("--backend cuda --ranks 2"));
}

}  // namespace
}  // namespace shardscope::gui
