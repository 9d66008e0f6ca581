#include "gui/session/search_task.h"

#include <QCoreApplication>
#include <QSignalSpy>
#include <QTimer>
#include <algorithm>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/gui/evaluated.h"

namespace shardscope::gui {
namespace {

using namespace std::chrono_literals;

ModelSpec small_gpt(int heads) {
    GptSpec spec;
    spec.layers = 6;
    spec.hidden = 24;
    spec.heads = heads;
    spec.vocab = 50;
    spec.seq = 16;
    return {"small", spec};
}

Evaluation small_comparison() {
    Scenario scenario = test::comparison().report.scenario;
    scenario.model = small_gpt(4);
    scenario.cluster.nodes = 1;
    scenario.cluster.gpus_per_node = 4;
    scenario.strategies.resize(3);
    return test::evaluated(scenario);
}

TEST(SearchTask, FindsEveryCandidate) {
    const Evaluation evaluation = small_comparison();
    SearchTask task(2);
    QSignalSpy started(&task, &SearchTask::started), finished(&task, &SearchTask::finished);
    EXPECT_FALSE(task.running());
    EXPECT_EQ(task.status_text(), "");
    task.start(evaluation.report.scenario, evaluation.model, SearchExtent::usual, 7);
    EXPECT_TRUE(task.running());
    EXPECT_TRUE(task.map().empty());
    task.wait();
    EXPECT_FALSE(task.running());
    EXPECT_EQ(started.size(), 1);
    EXPECT_EQ(finished.size(), 1);
    EXPECT_EQ(task.revision(), 7u);
    EXPECT_FALSE(task.cancelled());
    EXPECT_FALSE(task.error());
    EXPECT_EQ(task.progress(), 1);
    EXPECT_GT(task.candidates(), 50u);
    EXPECT_EQ(task.map().points().size(), task.candidates());
    EXPECT_GT(task.candidates_per_second(), 0);
    EXPECT_TRUE(task.status_text().contains("candidates"));
    EXPECT_TRUE(task.status_text().contains("best"));
}

// A found point's strategy, put into the scenario, has the figures that the search showed.
TEST(SearchTask, FiguresAreThoseOfTheStrategyInTheScenario) {
    const Evaluation evaluation = small_comparison();
    SearchTask task(1);
    task.start(evaluation.report.scenario, nullptr, SearchExtent::usual, 1);
    task.wait();
    Scenario scenario = evaluation.report.scenario;
    scenario.strategies.clear();
    const auto frontier = task.map().frontier();
    ASSERT_FALSE(frontier.empty());
    for (const SearchPoint& point : frontier)
        scenario.strategies.push_back(task.map().strategy(point));
    const Evaluation added = test::evaluated(scenario);
    for (std::size_t i = 0; i < frontier.size(); ++i) {
        const Result& result = added.report.strategies[i].simulated.value();
        EXPECT_EQ(result.peak_memory().peak, frontier[i].peak);
        EXPECT_EQ(result.tokens_per_s_per_gpu, frontier[i].tokens_per_s_per_gpu);
        EXPECT_EQ(result.step_time, frontier[i].step_time);
    }
}

TEST(SearchTask, CancelEndsItAndKeepsWhatWasFound) {
    const Evaluation& evaluation = test::comparison();
    SearchTask task(2);
    task.start(evaluation.report.scenario, evaluation.model, SearchExtent::thorough, 1);
    QSignalSpy advanced(&task, &SearchTask::advanced), finished(&task, &SearchTask::finished);
    while (task.map().points().size() < 10) ASSERT_TRUE(advanced.wait(20'000));
    const std::size_t found = task.map().points().size();
    task.cancel();
    EXPECT_FALSE(task.running());
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(finished.size(), 1);
    EXPECT_EQ(task.map().points().size(), found);
    EXPECT_TRUE(task.status_text().contains("cancelled"));
    EXPECT_LT(task.evaluated(), task.candidates());
    QCoreApplication::processEvents();
    EXPECT_EQ(task.map().points().size(), found) << "stragglers are thrown away";
    EXPECT_EQ(finished.size(), 1);
    task.cancel();
    EXPECT_EQ(finished.size(), 1);
}

TEST(SearchTask, ANewSearchReplacesTheOldOne) {
    const Evaluation& large = test::comparison();
    const Evaluation small = small_comparison();
    SearchTask task(1);
    QSignalSpy finished(&task, &SearchTask::finished);
    task.start(large.report.scenario, large.model, SearchExtent::thorough, 1);
    task.start(small.report.scenario, small.model, SearchExtent::usual, 2);
    task.wait();
    EXPECT_EQ(finished.size(), 1);
    EXPECT_EQ(task.revision(), 2u);
    EXPECT_EQ(task.map().points().size(), task.candidates());
    task.clear();
    EXPECT_TRUE(task.map().empty());
    EXPECT_EQ(task.revision(), 0u);
}

TEST(SearchTask, IsDestroyedWhileItSearches) {
    const Evaluation& evaluation = test::comparison();
    for (const auto pause : {0ms, 5ms, 50ms}) {
        auto task = std::make_unique<SearchTask>(2);
        task->start(evaluation.report.scenario, evaluation.model, SearchExtent::thorough, 1);
        std::this_thread::sleep_for(pause);
        task.reset();
        QCoreApplication::processEvents();
    }
}

TEST(SearchTask, AModelThatCannotBeBuiltIsAnError) {
    Scenario scenario = test::comparison().report.scenario;
    scenario.model = small_gpt(5);
    SearchTask task(1);
    task.start(scenario, nullptr, SearchExtent::usual, 1);
    task.wait();
    ASSERT_TRUE(task.error());
    EXPECT_EQ(task.error()->rule, "heads");
    EXPECT_TRUE(task.status_text().startsWith("heads: "));
}

// Finds one strategy and then nothing for as long as it is let.
class EndlessPlanner : public Planner {
public:
    void search(const Scenario&, const std::shared_ptr<const Model>&,
                const CandidateList& candidates, const SearchOptions& options) const override {
        SearchIncrement increment;
        increment.points.resize(1);
        increment.evaluated = 1;
        increment.candidates = candidates.size();
        options.on_increment(std::move(increment));
        while (!options.stop.stop_requested()) std::this_thread::sleep_for(1ms);
    }
};

TEST(SearchTask, IsNotWaitedForLongerThanAskedAndKeepsWhatWasFound) {
    const Evaluation evaluation = small_comparison();
    SearchTask task(std::make_shared<const EndlessPlanner>(), 1);
    task.start(evaluation.report.scenario, evaluation.model, SearchExtent::usual, 1);
    QSignalSpy finished(&task, &SearchTask::finished);
    task.wait(1000ms);
    EXPECT_FALSE(task.running());
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(finished.size(), 1);
    EXPECT_EQ(task.map().points().size(), 1u);
    EXPECT_TRUE(task.status_text().contains("cancelled"));
    task.start(evaluation.report.scenario, evaluation.model, SearchExtent::usual, 2);
    QTimer::singleShot(10, &task, &SearchTask::cancel);
    task.wait(60'000ms);
    EXPECT_EQ(finished.size(), 2) << "a search that ends earlier";
}

// Gives every portion at once: more points than a search would find in a minute.
class InstantPlanner : public Planner {
public:
    void search(const Scenario&, const std::shared_ptr<const Model>&,
                const CandidateList& candidates, const SearchOptions& options) const override {
        for (std::uint64_t done = 0; done < kPoints; done += kPortion) {
            SearchIncrement increment;
            increment.points.resize(kPortion);
            for (std::uint64_t i = 0; i < kPortion; ++i)
                increment.points[i].candidate = (done + i) % candidates.size();
            increment.evaluated = done + kPortion;
            increment.candidates = candidates.size();
            options.on_increment(std::move(increment));
        }
    }
    static constexpr std::uint64_t kPoints = 100'000, kPortion = 5'000;
};

TEST(SearchTask, KeepsAHundredThousandPoints) {
    const Evaluation& evaluation = test::comparison();
    SearchTask task(std::make_shared<const InstantPlanner>(), 1);
    task.start(evaluation.report.scenario, evaluation.model, SearchExtent::thorough, 1);
    task.wait();
    EXPECT_GE(task.candidates(), InstantPlanner::kPoints);
    ASSERT_EQ(task.map().points().size(), InstantPlanner::kPoints);
    EXPECT_EQ(task.map().points().back().candidate, InstantPlanner::kPoints - 1);
}

}  // namespace
}  // namespace shardscope::gui
