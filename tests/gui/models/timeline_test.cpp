// The timeline against brute force on random spans, and against what reports say of real steps.
#include "gui/models/timeline.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "core/report/span_description.h"
#include "tests/gui/support/step.h"

namespace shardscope::gui {
namespace {

constexpr std::int64_t kStep = 10'000;  // nanoseconds
constexpr auto kWait = static_cast<std::size_t>(SpanKind::wait);

// Random spans on the streams of a real plan: of any length, zero included, touching or apart.
Trace random_trace(const Plan& plan, std::mt19937& random) {
    Trace trace;
    const auto below = [&](std::size_t limit) {
        return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
    };
    for (const RoleProgram& role : plan.program.roles) {
        RankTrace& rank = trace.ranks.emplace_back();
        rank.rank = role.ranks.front();
        rank.steps.emplace_back().wall = Seconds(kStep * 1e-9);
        std::vector<std::int64_t> busy_until(kStreams, 0);
        for (int i = 0; i < 2000; ++i) {
            Span span;
            span.body = BodyId(below(role.bodies.size()));
            const auto& instructions = role.bodies[span.body.index()].instructions;
            span.instruction = static_cast<std::int32_t>(below(instructions.size()));
            const Instruction& of = instructions[static_cast<std::size_t>(span.instruction)];
            span.stream = of.stream;
            span.phase = of.phase;
            const bool wait = std::holds_alternative<WaitEvent>(of.operation);
            if (wait && of.stream != Stream::compute) continue;
            const bool kernel = std::holds_alternative<Compute>(of.operation);
            span.kind = wait ? (below(2) ? Span::Kind::wait : Span::Kind::pipeline_wait)
                             : (kernel ? Span::Kind::compute : Span::Kind::communication);
            std::int64_t& last = busy_until[static_cast<std::size_t>(of.stream)];
            const std::int64_t start = last + static_cast<std::int64_t>(below(3) ? 0 : below(30));
            const std::int64_t end = start + static_cast<std::int64_t>(below(12));
            if (end > kStep) continue;
            span.start = Seconds(static_cast<double>(start) * 1e-9);
            span.end = Seconds(static_cast<double>(end) * 1e-9);
            last = end;
            rank.spans.push_back(span);
        }
        std::stable_sort(rank.spans.begin(), rank.spans.end(),
                         [](const Span& a, const Span& b) { return a.start < b.start; });
    }
    return trace;
}

class RandomTimeline : public testing::Test {
protected:
    RandomTimeline() {
        RecordProperty("seed", static_cast<int>(seed_));
        const test::Step step = test::step_of("gpt-13b-16-gpus", "TP2 × PP4, ZeRO-1");
        plan_ = step.detail->plan;
        trace_ = random_trace(*plan_, random_);
        timeline_ = std::make_unique<Timeline>(*plan_, trace_);
    }
    std::int64_t any(std::int64_t first, std::int64_t last) {
        return std::uniform_int_distribution<std::int64_t>(first, last)(random_);
    }
    // The kind of each nanosecond of a lane, and −1 where it is idle.
    std::vector<int> painted(std::size_t lane) const {
        std::vector<int> at(static_cast<std::size_t>(timeline_->end()), -1);
        const auto all = timeline_->spans(lane, 0, timeline_->end());
        for (std::size_t i = all.first; i < all.last; ++i) {
            const Timeline::Item item = timeline_->item(lane, i);
            std::fill(at.begin() + item.start, at.begin() + item.end, static_cast<int>(item.kind));
        }
        return at;
    }

    const unsigned seed_ = std::random_device{}();
    testing::ScopedTrace told_{__FILE__, __LINE__, "seed " + std::to_string(seed_)};
    std::mt19937 random_{seed_};
    std::shared_ptr<const Plan> plan_;
    Trace trace_;
    std::unique_ptr<Timeline> timeline_;
};

TEST_F(RandomTimeline, HasEverySpanOnceButWaitsForOtherStages) {
    std::size_t expected = 0, seen = 0;
    for (const RankTrace& rank : trace_.ranks)
        for (const Span& span : rank.spans) expected += span.kind != Span::Kind::pipeline_wait;
    for (std::size_t lane = 0; lane < timeline_->lanes().size(); ++lane) {
        const TimelineLane& which = timeline_->lanes()[lane];
        for (std::size_t i = 0;; ++i) {
            if (i == timeline_->spans(lane, -1, timeline_->end() + 1).last) break;
            const Timeline::Item item = timeline_->item(lane, i);
            const Span& span = trace_.ranks[which.rank].spans[item.span];
            EXPECT_EQ(span.stream, which.stream);
            // What stages do together may wait for the last of them first.
            const RoleProgram& role = plan_->program.roles[which.role];
            const auto& operation = role.bodies[span.body.index()]
                                        .instructions[static_cast<std::size_t>(span.instruction)]
                                        .operation;
            const auto* collective = std::get_if<Collective>(&operation);
            const bool alone = collective == nullptr || collective->group.index() != kPipelineGroup;
            if (alone && !std::holds_alternative<Exchange>(operation)) {
                EXPECT_EQ(nanoseconds(span.start), item.start);
            }
            EXPECT_LE(nanoseconds(span.start), item.start);
            EXPECT_EQ(nanoseconds(span.end), item.end);
            ++seen;
        }
    }
    EXPECT_EQ(seen, timeline_->events());
    // A zero-length span at the very end of a lane reaches into nothing.
    EXPECT_LE(expected - seen, timeline_->lanes().size());
}

TEST_F(RandomTimeline, TotalsAreThoseOfCountingNanoseconds) {
    std::vector<std::size_t> lanes(timeline_->lanes().size());
    for (std::size_t i = 0; i < lanes.size(); ++i) lanes[i] = i;
    std::vector<std::vector<int>> painted;
    for (const std::size_t lane : lanes) painted.push_back(this->painted(lane));
    for (int round = 0; round < 200; ++round) {
        const std::int64_t start = any(0, kStep - 1), end = any(start + 1, kStep);
        const RangeTotals totals = timeline_->totals(lanes, start, end);
        std::array<RangeTotals::Kind, kSpanKinds> expected{};
        std::int64_t idle = 0;
        for (const std::size_t lane : lanes) {
            for (std::int64_t t = start; t < end; ++t) {
                const int kind = painted[lane][static_cast<std::size_t>(t)];
                kind < 0 ? ++idle : ++expected[static_cast<std::size_t>(kind)].total;
            }
            const auto all = timeline_->spans(lane, 0, kStep);
            for (std::size_t i = all.first; i < all.last; ++i) {
                const Timeline::Item item = timeline_->item(lane, i);
                if (item.end <= start || item.start >= end) continue;
                auto& kind = expected[static_cast<std::size_t>(item.kind)];
                ++kind.count;
                kind.longest =
                    std::max(kind.longest, std::min(end, item.end) - std::max(start, item.start));
            }
        }
        std::int64_t sum = totals.idle;
        for (std::size_t k = 0; k < kSpanKinds; ++k) {
            SCOPED_TRACE(span_kind_name(static_cast<SpanKind>(k)));
            EXPECT_EQ(totals.kinds[k].total, expected[k].total);
            EXPECT_EQ(totals.kinds[k].count, expected[k].count);
            EXPECT_EQ(totals.kinds[k].longest, expected[k].longest);
            sum += totals.kinds[k].total;
        }
        EXPECT_EQ(totals.idle, idle);
        EXPECT_EQ(sum, (end - start) * static_cast<std::int64_t>(lanes.size()));
    }
}

TEST_F(RandomTimeline, ColumnsShowWhatThereIsMostOf) {
    for (int round = 0; round < 60; ++round) {
        const auto lane = static_cast<std::size_t>(any(0, std::ssize(timeline_->lanes()) - 1));
        const std::vector<int> painted = this->painted(lane);
        const std::int64_t start = any(0, kStep - 2), end = any(start + 1, kStep);
        std::vector<TimelineColumn> columns(static_cast<std::size_t>(any(1, end - start)));
        timeline_->columns(lane, start, end, columns);
        const std::int64_t count = std::ssize(columns);
        for (std::int64_t c = 0; c < count; ++c) {
            std::array<std::int64_t, kSpanKinds> busy{};
            for (std::int64_t t = start + c * (end - start) / count;
                 t < start + (c + 1) * (end - start) / count; ++t)
                if (const int kind = painted[static_cast<std::size_t>(t)]; kind >= 0)
                    ++busy[static_cast<std::size_t>(kind)];
            busy[kWait] = 0;
            const auto most = std::max_element(busy.begin(), busy.end());
            const TimelineColumn& column = columns[static_cast<std::size_t>(c)];
            ASSERT_EQ(column.busy, std::accumulate(busy.begin(), busy.end(), std::int64_t{0}));
            if (column.busy > 0) {
                ASSERT_EQ(static_cast<std::int64_t>(column.kind), most - busy.begin());
            }
        }
    }
}

TEST_F(RandomTimeline, HitsTheNearestSpanThatIsDrawn) {
    for (int round = 0; round < 2000; ++round) {
        const auto lane = static_cast<std::size_t>(any(0, std::ssize(timeline_->lanes()) - 1));
        const std::int64_t time = any(0, kStep - 1), reach = any(0, 20);
        std::int64_t nearest = reach + 1;
        const auto all = timeline_->spans(lane, -1, kStep + 1);  // empty ones at the ends too
        const auto distance = [&](const Timeline::Item& item) {
            return std::max<std::int64_t>({0, item.start - time, time - item.end + 1});
        };
        for (std::size_t i = all.first; i < all.last; ++i)
            if (const auto item = timeline_->item(lane, i); item.kind != SpanKind::wait)
                nearest = std::min(nearest, distance(item));
        const auto hit = timeline_->hit(lane, time, reach);
        ASSERT_EQ(hit.has_value(), nearest <= reach) << "lane " << lane << " at " << time;
        if (hit) {
            ASSERT_EQ(distance(timeline_->item(lane, *hit)), nearest) << time;
        }
    }
}

struct Shipped {
    const char *scenario, *strategy;
};
class TimelineOfStep : public testing::TestWithParam<Shipped> {};

// Both sums round every span to a nanosecond: that is the tolerance.
TEST_P(TimelineOfStep, HasThePartsOfTheReport) {
    const test::Step step = test::step_of(GetParam().scenario, GetParam().strategy);
    const Timeline& timeline = *step.detail->timeline;
    EXPECT_EQ(timeline.end(), nanoseconds(step.report.simulated->step_time))
        << "the table's step time is the timeline's end";
    for (std::size_t lane = 0; lane < timeline.lanes().size(); ++lane) {
        if (!timeline.lanes()[lane].compute()) continue;
        const RankTrace& rank = step.detail->trace->ranks[timeline.lanes()[lane].rank];
        const StepTime& time = rank.steps.front();
        const RangeTotals totals = timeline.totals({&lane, 1}, 0, nanoseconds(time.wall));
        const auto total = [&](SpanKind kind) {
            return totals.kinds[static_cast<std::size_t>(kind)].total;
        };
        const auto tolerance = std::ssize(rank.spans);
        const auto near = [&](std::int64_t a, Seconds b) {
            EXPECT_LE(std::abs(a - nanoseconds(b)), tolerance);
        };
        near(total(SpanKind::forward) + total(SpanKind::recompute) + total(SpanKind::backward),
             time.compute);
        near(total(SpanKind::tensor_collective) + total(SpanKind::data_collective) +
                 total(SpanKind::transfer) + total(SpanKind::expert_exchange) +
                 total(SpanKind::context_exchange) + total(SpanKind::wait),
             time.exposed_communication);
        near(total(SpanKind::optimizer), time.optimizer);
        near(totals.idle, time.bubble);
    }
}

// Tasks that do more than transfers.
std::vector<Task> with_kernels(const RoleProgram& role) {
    std::vector<Task> tasks;
    for (const Task& task : role.schedule) {
        const auto& instructions = role.bodies[task.body.index()].instructions;
        if (std::any_of(instructions.begin(), instructions.end(), [](const Instruction& i) {
                return std::holds_alternative<Compute>(i.operation);
            }))
            tasks.push_back(task);
    }
    return tasks;
}

TEST_P(TimelineOfStep, HasOneTaskPerScheduledBodyInOrder) {
    const test::Step step = test::step_of(GetParam().scenario, GetParam().strategy);
    const Timeline& timeline = *step.detail->timeline;
    for (std::size_t lane = 0; lane < timeline.lanes().size(); ++lane) {
        const TimelineLane& which = timeline.lanes()[lane];
        const RoleProgram& role = step.detail->plan->program.roles[which.role];
        const auto& tasks = timeline.tasks(lane);
        if (!which.compute()) {
            EXPECT_TRUE(tasks.empty());
            continue;
        }
        const std::vector<Task> scheduled = with_kernels(role);
        ASSERT_EQ(tasks.size(), scheduled.size());
        for (std::size_t t = 0; t < tasks.size(); ++t) {
            EXPECT_EQ(tasks[t].body, scheduled[t].body);
            EXPECT_EQ(tasks[t].micro_batch, scheduled[t].micro_batch);
            const std::string& body = role.bodies[tasks[t].body.index()].name;
            EXPECT_TRUE(body.starts_with(span_kind_name(tasks[t].kind))) << body;
            if (t > 0) {
                EXPECT_GE(tasks[t].start, tasks[t - 1].end);
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(
    Shipped, TimelineOfStep,
    testing::Values(Shipped{"gpt-13b-16-gpus", "ZeRO-3"}, Shipped{"gpt-13b-16-gpus", "TP4 × PP4"},
                    Shipped{"gpt-13b-16-gpus", "TP2 × PP4, ZeRO-1"},
                    Shipped{"llama-3-70b-trace", "3d"}, Shipped{"mixtral-8x7b", "zero-3 ep8"},
                    Shipped{"llama-3-8b-128k", "ring"}, Shipped{"llama-3-405b-16384", "3d"}),
    [](const auto& step) { return "step" + std::to_string(step.index); });

// What communicates, and copies, by what it is for.
struct Communicates {
    const char *scenario, *strategy;
    std::set<SpanKind> kinds;
};
class TimelineKinds : public testing::TestWithParam<Communicates> {};

TEST_P(TimelineKinds, AreThoseOfTheStrategy) {
    const test::Step step = test::step_of(GetParam().scenario, GetParam().strategy);
    const Timeline& timeline = *step.detail->timeline;
    std::vector<std::size_t> lanes(timeline.lanes().size());
    std::iota(lanes.begin(), lanes.end(), std::size_t{0});
    const RangeTotals totals = timeline.totals(lanes, 0, timeline.end());
    for (std::size_t k = 0; k < kSpanKinds; ++k) {
        const auto kind = static_cast<SpanKind>(k);
        if (kind < SpanKind::tensor_collective || kind == SpanKind::wait) continue;
        EXPECT_EQ(totals.kinds[k].count > 0, GetParam().kinds.count(kind) > 0)
            << span_kind_name(kind);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Shipped, TimelineKinds,
    testing::Values(
        Communicates{
            "gpt-13b-16-gpus", "TP4 × PP4", {SpanKind::tensor_collective, SpanKind::transfer}},
        Communicates{
            "mixtral-8x7b", "zero-3 ep8", {SpanKind::expert_exchange, SpanKind::data_collective}},
        Communicates{"mixtral-8x7b",
                     "ep2",
                     {SpanKind::tensor_collective, SpanKind::transfer, SpanKind::expert_exchange,
                      SpanKind::data_collective}},
        Communicates{
            "llama-3-8b-128k", "ring", {SpanKind::context_exchange, SpanKind::data_collective}},
        Communicates{
            "llama-3-8b-128k", "gathered", {SpanKind::context_exchange, SpanKind::data_collective}},
        Communicates{
            "llama-3-8b-offload", "infinity", {SpanKind::data_collective, SpanKind::offload_copy}}),
    [](const auto& step) { return "step" + std::to_string(step.index); });

// Receives are issued long before there is something to receive: that is no transfer yet.
TEST(TimelineOfPipeline, ShowsATransferOnceBothEndsHaveCome) {
    const test::Step step = test::step_of("gpt-13b-16-gpus", "TP4 × PP4");
    const Timeline& timeline = *step.detail->timeline;
    // By end, which both ends have in common: durations, and when the later end was issued.
    std::map<std::int64_t, std::vector<std::pair<std::int64_t, std::int64_t>>> by_end;
    for (std::size_t lane = 0; lane < timeline.lanes().size(); ++lane) {
        if (timeline.lanes()[lane].compute()) continue;
        const auto& spans = step.detail->trace->ranks[timeline.lanes()[lane].rank].spans;
        const auto all = timeline.spans(lane, 0, timeline.end());
        for (std::size_t i = all.first; i < all.last; ++i) {
            const Timeline::Item item = timeline.item(lane, i);
            if (item.kind != SpanKind::transfer) continue;
            by_end[item.end].push_back({item.start, nanoseconds(spans[item.span].start)});
        }
    }
    std::size_t pairs = 0;
    for (const auto& [end, ends] : by_end) {
        if (ends.size() != 2)
            continue;  // two transfers that happen to end together, or a sum of stages
        ++pairs;
        EXPECT_EQ(ends[0].first, ends[1].first);
        EXPECT_EQ(ends[0].first, std::max(ends[0].second, ends[1].second));
    }
    EXPECT_GT(pairs, 300u) << "6 · 64 transfers";
    // The norm of the gradients is summed over all stages: none waits longer than for the last one.
    const auto [end, ends] = *by_end.rbegin();
    EXPECT_EQ(ends.size(), 4u);
    for (const auto& [start, issued] : ends) {
        EXPECT_EQ(start, ends.front().first);
        EXPECT_GE(start, issued);
    }
}

TEST(StepDetailOfTooManyEvents, HasNoTimelineAndSaysHowMany) {
    Scenario scenario = test::scenario_of("llama-3-70b-trace");
    scenario.training.global_batch = 4096;
    const test::Step step = test::simulate_step_of(scenario, "3d");
    EXPECT_GT(step.detail->events, kMostEvents);
    EXPECT_EQ(step.detail->timeline, nullptr);
    EXPECT_TRUE(step.detail->memory.empty());
    EXPECT_EQ(step.detail->step_time, step.report.simulated->step_time);
}

}  // namespace
}  // namespace shardscope::gui
