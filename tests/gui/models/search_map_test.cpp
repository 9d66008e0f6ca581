#include "gui/models/search_map.h"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gui/models/density.h"
#include "tests/gui/evaluated.h"

namespace shardscope::gui {
namespace {

// Few different values, so that equal peaks and equal throughputs occur.
std::vector<SearchPoint> random_points(std::size_t count, unsigned seed, int values) {
    std::mt19937 random(seed);
    std::uniform_int_distribution<int> value(1, values);
    std::vector<SearchPoint> points(count);
    for (std::size_t i = 0; i < count; ++i) {
        points[i].candidate = i;
        points[i].peak = Bytes(std::int64_t{value(random)} << 20);
        points[i].tokens_per_s_per_gpu = value(random);
        points[i].fits = points[i].peak.value <= (std::int64_t{values} << 20) / 2;
    }
    std::shuffle(points.begin(), points.end(), random);
    return points;
}

std::vector<std::uint64_t> numbers(const std::vector<SearchPoint>& points) {
    std::vector<std::uint64_t> list;
    for (const SearchPoint& point : points) list.push_back(point.candidate);
    return list;
}

// By the definition: nobody that fits is at least as good in both and better in one, or equal with a
// lower number.
std::vector<std::uint64_t> frontier_by_definition(const std::vector<SearchPoint>& points) {
    std::vector<SearchPoint> kept;
    for (const SearchPoint& p : points) {
        const bool beaten = std::any_of(points.begin(), points.end(), [&](const SearchPoint& q) {
            if (!q.fits || q.candidate == p.candidate) return false;
            const bool no_worse =
                q.peak <= p.peak && q.tokens_per_s_per_gpu >= p.tokens_per_s_per_gpu;
            const bool equal = q.peak == p.peak && q.tokens_per_s_per_gpu == p.tokens_per_s_per_gpu;
            return no_worse && (!equal || q.candidate < p.candidate);
        });
        if (p.fits && !beaten) kept.push_back(p);
    }
    std::sort(kept.begin(), kept.end(),
              [](const SearchPoint& a, const SearchPoint& b) { return a.peak < b.peak; });
    return numbers(kept);
}

class SearchMapTest : public ::testing::TestWithParam<int> {
protected:
    SearchMapTest() : seed_(std::random_device{}()) {
        std::printf("seed %u\n", seed_);
        map_.reset(nullptr, Bytes(std::int64_t{GetParam()} << 19));
    }
    unsigned seed_;
    SearchMap map_;
};

TEST_P(SearchMapTest, FrontierIsThatOfTheDefinitionInWhateverPortionsPointsCome) {
    const auto points = random_points(400, seed_, GetParam());
    const auto expected = frontier_by_definition(points);
    map_.add(points);
    EXPECT_EQ(numbers(map_.frontier()), expected);
    const std::uint64_t generation = map_.generation();
    map_.reset(nullptr, map_.capacity());
    EXPECT_NE(map_.generation(), generation);
    EXPECT_TRUE(map_.empty());
    EXPECT_TRUE(map_.frontier().empty());
    for (std::size_t first = 0; first < points.size(); first += 13) {
        const std::size_t count = std::min<std::size_t>(13, points.size() - first);
        map_.add(std::span(points).subspan(first, count));
    }
    EXPECT_EQ(numbers(map_.frontier()), expected);
}

TEST_P(SearchMapTest, BestAndTopAreTheFirstInOrder) {
    const auto points = random_points(300, seed_, GetParam());
    map_.add(points);
    std::vector<SearchPoint> sorted;
    for (const SearchPoint& p : points)
        if (p.fits) sorted.push_back(p);
    EXPECT_EQ(map_.fitting(), sorted.size());
    std::sort(sorted.begin(), sorted.end(), [](const SearchPoint& a, const SearchPoint& b) {
        return std::tuple(-a.tokens_per_s_per_gpu, a.peak, a.candidate) <
               std::tuple(-b.tokens_per_s_per_gpu, b.peak, b.candidate);
    });
    ASSERT_FALSE(sorted.empty());
    EXPECT_EQ(map_.best()->candidate, sorted.front().candidate);
    sorted.resize(std::min<std::size_t>(sorted.size(), 10));
    EXPECT_EQ(numbers(map_.top(10)), numbers(sorted));
    EXPECT_EQ(map_.top(10'000).size(), map_.fitting());
}

TEST_P(SearchMapTest, NearestIsTheClosestInPixelsAndTheFrontierBeforeOthers) {
    const auto points = random_points(300, seed_, GetParam());
    map_.add(points);
    const auto frontier = map_.frontier();
    std::mt19937 random(seed_ + 1);
    std::uniform_int_distribution<int> value(0, GetParam());
    for (int i = 0; i < 50; ++i) {
        SearchMap::Place place;
        place.gib = gib(Bytes(std::int64_t{value(random)} << 20));
        place.throughput = value(random);
        place.gib_per_pixel = gib(Bytes(1 << 19));
        place.throughput_per_pixel = 0.7;
        const auto distance = [&](const SearchPoint& p) {
            return std::hypot(
                (gib(p.peak) - place.gib) / place.gib_per_pixel,
                (p.tokens_per_s_per_gpu - place.throughput) / place.throughput_per_pixel);
        };
        const auto closer = [&](const SearchPoint& a, const SearchPoint& b) {
            return distance(a) < distance(b);
        };
        const auto found = map_.nearest(place, 8);
        auto best = std::min_element(frontier.begin(), frontier.end(), closer);
        const bool on_frontier = best != frontier.end() && distance(*best) <= 8;
        const SearchPoint& nearest =
            on_frontier ? *best : *std::min_element(points.begin(), points.end(), closer);
        if (distance(nearest) > 8) {
            EXPECT_FALSE(found);
            continue;
        }
        ASSERT_TRUE(found);
        EXPECT_NEAR(distance(*found), distance(nearest), 1e-3);  // positions are floats
    }
}

INSTANTIATE_TEST_SUITE_P(Values, SearchMapTest, ::testing::Values(6, 40, 100'000));

// Counts of a view against counting every point by hand, in one go and in portions.
TEST(Density, CountsWhatFallsOnEachPixel) {
    const auto seed = std::random_device{}();
    std::printf("seed %u\n", seed);
    const auto points = random_points(2'000, seed, 64);
    SearchMap map;
    map.reset(nullptr, Bytes(std::int64_t{1} << 25));
    Density::View view;
    view.first_gib = gib(Bytes(std::int64_t{8} << 20));
    view.last_gib = gib(Bytes(std::int64_t{72} << 20));  // a pixel per value
    view.first_throughput = -0.5;
    view.last_throughput = 31.5;
    view.width = 64;
    view.height = 32;
    Density density;
    EXPECT_TRUE(density.update(map, view));
    EXPECT_FALSE(density.update(map, view));
    for (std::size_t first = 0; first < points.size(); first += 500) {
        map.add(std::span(points).subspan(first, 500));
        EXPECT_TRUE(density.update(map, view));
    }
    std::vector<std::uint32_t> expected(64 * 32);
    std::uint64_t shown = 0;
    for (const SearchPoint& p : points) {
        const auto x = (p.peak.value >> 20) - 8;
        const auto y = 31 - static_cast<std::int64_t>(p.tokens_per_s_per_gpu);
        if (x < 0 || x >= 64 || y < 0 || y >= 32) continue;
        ++expected[static_cast<std::size_t>(y * 64 + x)];
        ++shown;
    }
    for (int y = 0; y < view.height; ++y) {
        const auto row = density.row(y);
        EXPECT_TRUE(std::equal(row.begin(), row.end(), expected.begin() + y * 64)) << "row " << y;
    }
    EXPECT_EQ(density.shown(), shown);
    EXPECT_EQ(density.largest(), *std::max_element(expected.begin(), expected.end()));
    map.reset(nullptr, map.capacity());
    EXPECT_TRUE(density.update(map, view));
    EXPECT_EQ(density.shown(), 0u);
}

TEST(SearchMap, SaysOfAPointWhatItIsInExactFigures) {
    const Evaluation& evaluation = test::comparison();
    const Scenario& scenario = evaluation.report.scenario;
    auto list = std::make_shared<const CandidateList>(
        scenario, *evaluation.model, SearchSpace::usual(scenario, *evaluation.model));
    SearchMap map;
    map.reset(list, scenario.cluster.device.memory);
    SearchPoint point;
    point.peak = Bytes(12'345'678'901);
    point.step_time = Seconds(5.4321);
    point.tokens_per_s_per_gpu = 2'345.6;
    point.mfu = 0.512F;
    point.fits = true;
    map.add(std::span(&point, 1));
    EXPECT_EQ(map.description(point).toStdString(),
              list->strategy(0).name +
                  "\nPeak memory\t11.50 GiB\t12,345,678,901 bytes"
                  "\nFree\t67.65 GiB"
                  "\nThroughput\t2,346 tokens/s/GPU"
                  "\nStep time\t5.432 s"
                  "\nMFU\t51.2 %");
    EXPECT_EQ(map.strategy(point).name, list->strategy(0).name);
}

}  // namespace
}  // namespace shardscope::gui
