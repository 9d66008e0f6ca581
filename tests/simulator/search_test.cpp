// The exhaustive search: every candidate once, with the figures of a simulation of its own, whatever the
// number of threads.
#include "simulator/search.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "core/report/evaluate.h"
#include "simulator/event_runner.h"
#include "tests/simulator/hand_made.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

struct SearchGiven {
    Scenario scenario;
    std::shared_ptr<const Model> model;
    std::shared_ptr<const CandidateList> candidates;
};

SearchGiven search_given(bool thorough = false) {
    SearchGiven g;
    g.scenario = test::tiny_scenario(test::deep_gpt(), 4);
    g.scenario.cluster = test::round_cluster(DeviceKind::gpu);
    g.scenario.cluster.gpus_per_node = 4;
    g.scenario.training.global_batch = 8;
    g.model = std::make_shared<const Model>(build_model(g.scenario.model));
    g.candidates =
        std::make_shared<const CandidateList>(g.scenario, *g.model,
                                              thorough ? SearchSpace::thorough(g.scenario, *g.model)
                                                       : SearchSpace::usual(g.scenario, *g.model));
    return g;
}

struct Found {
    std::vector<SearchPoint> points;  // by number
    std::map<std::string, std::uint64_t> invalid;
    std::uint64_t evaluated = 0;
    int increments = 0;
};

Found search(const SearchGiven& g, int threads, std::stop_token stop = {},
             const std::function<void(const SearchIncrement&)>& watch = {}) {
    Found found;
    SearchOptions options;
    options.threads = threads;
    options.stop = std::move(stop);
    options.interval = Seconds(0.001);
    options.on_increment = [&](SearchIncrement increment) {
        found.points.insert(found.points.end(), increment.points.begin(), increment.points.end());
        for (const auto& [rule, count] : increment.invalid) found.invalid[rule] += count;
        found.evaluated = increment.evaluated;
        ++found.increments;
        EXPECT_EQ(increment.candidates, g.candidates->size());
        if (watch) watch(increment);
    };
    ExhaustivePlanner().search(g.scenario, g.model, *g.candidates, options);
    std::sort(found.points.begin(), found.points.end(),
              [](const SearchPoint& a, const SearchPoint& b) { return a.candidate < b.candidate; });
    return found;
}

TEST(SearchSlow, EveryCandidateHasTheFiguresOfItsOwnSimulation) {
    const SearchGiven g = search_given(true);
    const Found found = search(g, 2);
    EXPECT_EQ(found.evaluated, g.candidates->size());
    EXPECT_EQ(found.points.size(), g.candidates->size());
    EXPECT_TRUE(found.invalid.empty());
    EXPECT_GT(found.increments, 1);
    EventRunner runner;
    for (std::size_t i = 0; i < found.points.size(); ++i) {
        const SearchPoint& point = found.points[i];
        ASSERT_EQ(point.candidate, i);
        if (i % 7 != 0) continue;
        Candidate candidate = plan_strategy(g.scenario, g.model, g.candidates->strategy(i));
        simulate_candidate(g.scenario, candidate, runner);
        ASSERT_TRUE(candidate.report.simulated);
        const Result& result = *candidate.report.simulated;
        EXPECT_EQ(point.peak, result.peak_memory().peak);
        EXPECT_EQ(point.step_time, result.step_time);
        EXPECT_EQ(point.tokens_per_s_per_gpu, result.tokens_per_s_per_gpu);
        EXPECT_EQ(point.fits, candidate.report.status == Status::fits);
    }
}

TEST(Search, ResultsDoNotDependOnTheNumberOfThreads) {
    const SearchGiven g = search_given();
    const Found one = search(g, 1);
    for (const int threads : {2, 4}) {
        const Found found = search(g, threads);
        ASSERT_EQ(found.points.size(), one.points.size());
        for (std::size_t i = 0; i < one.points.size(); ++i) {
            EXPECT_EQ(found.points[i].candidate, one.points[i].candidate);
            EXPECT_EQ(found.points[i].peak, one.points[i].peak);
            EXPECT_EQ(found.points[i].step_time, one.points[i].step_time);
        }
    }
}

TEST(Search, InvalidCandidatesAreCountedByTheirRule) {
    SearchGiven g = search_given();
    SearchSpace space;
    space.tp = {2, 4};
    space.pp = {1};
    space.micro_batch = {1, 2};
    space.sequence_parallel = {true};
    std::get<GptSpec>(g.scenario.model.kind).seq = 15;
    g.model = std::make_shared<const Model>(build_model(g.scenario.model));
    g.candidates = std::make_shared<const CandidateList>(g.scenario, *g.model, space);
    const Found found = search(g, 2);
    EXPECT_EQ(found.evaluated, g.candidates->size());
    // 1 × 15 rows over tp 2 and 4 and 2 × 15 over tp 4; dp 2 has four ZeRO stages.
    EXPECT_EQ(found.invalid.at("sequence-parallel"), 4u + 1 + 1);
    EXPECT_EQ(found.points.size(), 4u);
}

TEST(Search, StopsWithinTheCandidatesBeingSimulated) {
    const SearchGiven g = search_given(true);
    std::stop_source stop;
    std::uint64_t seen = 0;
    const Found found = search(g, 2, stop.get_token(), [&](const SearchIncrement& increment) {
        seen = increment.evaluated;
        stop.request_stop();
    });
    EXPECT_GT(found.points.size(), 0u);
    EXPECT_LT(found.points.size(), g.candidates->size());
    EXPECT_EQ(found.points.size(), seen) << "the last increment tells of all";
}

// Whatever is known when a tenth is done has candidates of all tensor-parallel degrees in their
// proportion, within a quarter and one candidate, of which a tenth of a small list has few.
TEST(Search, PartOfTheWayIsAFairPicture) {
    const SearchGiven g = search_given(true);
    std::stop_source stop;
    const Found found = search(g, 1, stop.get_token(), [&](const SearchIncrement& increment) {
        if (increment.evaluated >= increment.candidates / 10) stop.request_stop();
    });
    std::map<int, double> seen, all;
    for (const SearchPoint& point : found.points)
        seen[g.candidates->strategy(point.candidate).tp] += 1.0 / double(found.points.size());
    for (std::uint64_t i = 0; i < g.candidates->size(); ++i)
        all[g.candidates->strategy(i).tp] += 1.0 / double(g.candidates->size());
    const double one = 1.0 / double(found.points.size());
    for (const auto& [tp, share] : all)
        EXPECT_NEAR(seen[tp], share, share / 4 + one) << "tp " << tp;
}

}  // namespace
}  // namespace shardscope
