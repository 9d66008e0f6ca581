// The timeline as pictures and as something to handle: what pixels show, zoom, selection, keys, words.
#include "gui/views/timeline_chart.h"

#include <QSignalSpy>
#include <QTest>
#include <QWheelEvent>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "core/report/figures.h"
#include "gui/views/timeline_lanes.h"
#include "tests/gui/support/step.h"

namespace shardscope::gui {
namespace {

class TimelineChartTest : public testing::Test {
protected:
    void show(const char* strategy = "TP4 × PP4", QSize size = {1060, 320}) {
        chart_.resize(size);
        chart_.set_theme(Theme::light());
        step_ = test::step_of("gpt-13b-16-gpus", strategy);
        chart_.set_detail(step_.detail);
        chart_.show();
        frame();
    }
    void frame() { chart_.replot(QCustomPlot::rpImmediateRefresh); }
    QImage picture() {
        frame();
        return chart_.grab().toImage();
    }
    void turn_wheel(double x, double notches) {
        const QPointF at(x, chart_.lanes_rect().center().y());
        QWheelEvent event(at, chart_.mapToGlobal(at), {}, {0, static_cast<int>(120 * notches)},
                          Qt::NoButton, Qt::ControlModifier, Qt::NoScrollPhase, false);
        QApplication::sendEvent(&chart_, &event);
        frame();
    }
    void drag(double from, double to) {
        const int y = chart_.lanes_rect().center().y();
        const QPoint a(static_cast<int>(from), y), b(static_cast<int>(to), y);
        QTest::mousePress(&chart_, Qt::LeftButton, {}, a);
        for (const QPoint& at : {(a + b) / 2, b}) {
            QMouseEvent move(QEvent::MouseMove, at, chart_.mapToGlobal(at), Qt::NoButton,
                             Qt::LeftButton, {});
            QApplication::sendEvent(&chart_, &move);
        }
        QTest::mouseRelease(&chart_, Qt::LeftButton, {}, b);
    }
    std::int64_t end() const { return step_.detail->timeline->end(); }

    TimelineChart chart_;
    test::Step step_;
};

std::set<QRgb> colours_of(const QImage& image, const QRect& where) {
    std::set<QRgb> colours;
    for (int y = where.top(); y <= where.bottom(); ++y)
        for (int x = where.left(); x <= where.right(); ++x) colours.insert(image.pixel(x, y));
    return colours;
}

QRgb rgb(SpanKind kind) { return colour(span_kind_colour(kind)).rgb(); }

TEST_F(TimelineChartTest, ShowsKindsAndCategoriesInTheirColours) {
    for (const bool dark : {false, true}) {
        show();
        chart_.set_theme(dark ? Theme::dark_theme() : Theme::light());
        const QImage image = picture();
        const std::set<QRgb> lanes = colours_of(image, chart_.lanes_rect());
        for (const SpanKind kind : {SpanKind::forward, SpanKind::backward, SpanKind::optimizer})
            EXPECT_TRUE(lanes.count(rgb(kind))) << span_kind_name(kind) << (dark ? " dark" : "");
        const std::set<QRgb> memory = colours_of(image, chart_.memory_rect());
        for (const Category category : {Category::optimizer_states, Category::activations})
            EXPECT_TRUE(memory.count(colour(category_colour(category)).rgb()))
                << category_name(category);
        EXPECT_TRUE(memory.count(colour(kAlertColour).rgb())) << "the capacity";
    }
}

// Every pixel column of every compute lane: bubbles are background, and what one kind fills has its
// colour, or that of an edge or a label.
TEST_F(TimelineChartTest, PixelsShowWhatRuns) {
    show();
    const Timeline& timeline = *step_.detail->timeline;
    for (const TimeRange range : {TimeRange{0, end()}, TimeRange{end() / 3, end() / 3 + end() / 16},
                                  TimeRange{end() / 2, end() / 2 + 3'000'000}}) {
        chart_.show_range(range);
        const QImage image = picture();
        const Theme theme = Theme::light();
        std::size_t empty = 0, full = 0;
        for (std::size_t lane = 0; lane < timeline.lanes().size(); ++lane) {
            if (!timeline.lanes()[lane].compute()) continue;
            const QRect row = chart_.lane_rect(lane);
            ASSERT_FALSE(row.isEmpty());
            std::vector<TimelineColumn> columns(static_cast<std::size_t>(row.width()));
            timeline.columns(lane, range.start, range.end, columns);
            const std::int64_t whole = range.duration() / row.width();
            for (int x = 0; x < row.width(); ++x) {
                const TimelineColumn& column = columns[static_cast<std::size_t>(x)];
                const QRgb seen = image.pixel(row.left() + x, row.top() + 1);
                if (column.busy == 0) {
                    ++empty;
                    EXPECT_TRUE(seen == theme.panel.rgb() || seen == theme.grid.rgb())
                        << "lane " << lane << " column " << x;
                } else if (column.busy >= whole) {
                    ++full;
                    EXPECT_TRUE(seen == rgb(column.kind) || seen == theme.panel.rgb() ||
                                seen == qRgb(0, 0, 0) || qGray(seen) < qGray(rgb(column.kind)))
                        << "lane " << lane << " column " << x;
                }
            }
        }
        EXPECT_GT(full, 1000u);
        if (range.start == 0) {
            EXPECT_GT(empty, 50u);
        }
    }
}

TEST_F(TimelineChartTest, TwoFramesAreTheSame) {
    show();
    const QImage first = picture();
    chart_.set_detail(test::step_of("gpt-13b-16-gpus", "TP4 × PP4").detail);
    EXPECT_EQ(first, picture());
    const QImage small = chart_.image({700, 260}, 1, Theme::dark_theme());
    EXPECT_EQ(small, chart_.image({700, 260}, 1, Theme::dark_theme()));
    EXPECT_EQ(first, picture()) << "drawing a file leaves the screen as it was";
}

TEST_F(TimelineChartTest, WheelKeepsTheTimeUnderTheMouse) {
    show();
    const QRect rect = chart_.lanes_rect();
    for (const double share : {0.1, 0.37, 0.5, 0.93}) {
        chart_.fit();
        const double x = rect.left() + share * rect.width();
        for (int notch = 0; notch < 60; ++notch) {
            const std::int64_t before = chart_.time_at(x);
            const bool in = notch < 45;
            turn_wheel(x, in ? 1 : -1);
            const TimeRange now = chart_.visible();
            // Zooming out stops at the ends of the step.
            if (!in && (now.start == 0 || now.end == end())) break;
            EXPECT_NEAR(chart_.x_of(before), x, 1) << share << " notch " << notch;
        }
        EXPECT_LT(chart_.visible().duration(), end());
    }
}

TEST_F(TimelineChartTest, FitsAndGoesBack) {
    show();
    const QImage all = picture();
    turn_wheel(400, 5);
    const TimeRange close = chart_.visible();
    EXPECT_LT(close.duration(), end() / 2);
    QTest::keyClick(&chart_, Qt::Key_F);
    EXPECT_EQ(picture(), all) << "F without a selection shows everything";
    QTest::keyClick(&chart_, Qt::Key_Backspace);
    EXPECT_EQ(chart_.visible(), close);
    QTest::keyClick(&chart_, Qt::Key_Backspace);
    EXPECT_EQ(chart_.visible(), (TimeRange{0, end()})) << "turning the wheel was one step";
    QTest::keyClick(&chart_, Qt::Key_Backspace);
    EXPECT_EQ(chart_.visible(), (TimeRange{0, end()}));
    turn_wheel(500, 3);
    QTest::keyClick(&chart_, Qt::Key_Escape);
    EXPECT_EQ(picture(), all);
}

TEST_F(TimelineChartTest, KeysZoomAndPan) {
    show();
    QTest::keyClick(&chart_, Qt::Key_W);
    QTest::keyClick(&chart_, Qt::Key_W);
    const TimeRange close = chart_.visible();
    EXPECT_LT(close.duration(), end());
    QTest::keyClick(&chart_, Qt::Key_D);
    EXPECT_GT(chart_.visible().start, close.start);
    EXPECT_EQ(chart_.visible().duration(), close.duration());
    QTest::keyClick(&chart_, Qt::Key_A);
    EXPECT_NEAR(static_cast<double>(chart_.visible().start), static_cast<double>(close.start), 1);
    QTest::keyClick(&chart_, Qt::Key_Right);
    EXPECT_GT(chart_.visible().start, close.start);
    QTest::keyClick(&chart_, Qt::Key_Left);
    QTest::keyClick(&chart_, Qt::Key_S);
    EXPECT_GT(chart_.visible().duration(), close.duration());
    const std::size_t rank = chart_.memory_rank();
    QTest::keyClick(&chart_, rank == 3 ? Qt::Key_Up : Qt::Key_Down);
    EXPECT_NE(chart_.memory_rank(), rank);
}

TEST_F(TimelineChartTest, DragSelectsAndTotalsAddUp) {
    show();
    const QSignalSpy selected(&chart_, &TimelineChart::range_selected);
    for (const bool expanded : {false, true}) {
        chart_.set_expanded(expanded);
        frame();
        drag(200.4, 711);
        const TimeRange range = chart_.selection();
        EXPECT_NEAR(chart_.x_of(range.start), 200, 1);
        EXPECT_NEAR(chart_.x_of(range.end), 711, 1);
        const RangeTotals totals = chart_.selected_totals();
        std::int64_t sum = totals.idle;
        for (const RangeTotals::Kind& kind : totals.kinds) sum += kind.total;
        EXPECT_EQ(sum, range.duration() * totals.lanes);
        EXPECT_EQ(totals.lanes, std::ssize(step_.detail->timeline->lanes()));
        for (const char* word : {"forward", "backward", "TP collective", "bubble", "mean", "share"})
            EXPECT_TRUE(chart_.totals_text().contains(word)) << word;
    }
    EXPECT_GE(selected.count(), 1);
    const QPoint inside((200 + 711) / 2, chart_.lanes_rect().center().y());
    const TimeRange range = chart_.selection();
    QTest::mouseDClick(&chart_, Qt::LeftButton, {}, inside);
    EXPECT_EQ(chart_.visible(), range) << "a double click shows the selection";
    QTest::keyClick(&chart_, Qt::Key_Escape);
    EXPECT_TRUE(chart_.selection().empty());
    EXPECT_EQ(chart_.visible(), (TimeRange{0, end()}));
    EXPECT_TRUE(chart_.totals_text().isEmpty());
}

TEST_F(TimelineChartTest, EndsWithTheTablesStepTime) {
    show();
    EXPECT_EQ(chart_.visible().end, std::llround(step_.report.simulated->step_time.value * 1e9));
    EXPECT_EQ(chart_.time_at(1e6), chart_.visible().end);
}

TEST_F(TimelineChartTest, MemoryReachesThePeakOfThePlan) {
    show("ZeRO-3");
    const MemoryOverTime& memory = step_.detail->memory[0];
    const MemoryPoint peak = memory[memory.peak()];
    const MemoryPlan& plan = step_.detail->plan->memory[0];
    EXPECT_EQ(peak.total(), plan.live_peak + plan.runtime);
    // Beside the ring that marks it the stack is that high somewhere; above it, nowhere.
    const QImage image = picture();
    std::set<QRgb> fills;
    for (std::size_t c = 0; c < kCategories; ++c)
        fills.insert(colour(category_colour(static_cast<Category>(c))).rgb());
    int highest = image.height();
    const QRect rect = chart_.memory_rect();
    for (int y = rect.bottom(); y >= rect.top(); --y)
        for (int x = rect.left(); x <= rect.right(); ++x)
            if (fills.count(image.pixel(x, y))) highest = std::min(highest, y);
    EXPECT_NEAR(highest, chart_.y_of(peak.total()), 2.5) << "the planned line may cover a pixel";
    EXPECT_TRUE(chart_.text().contains(format_count(peak.total().value).c_str()));
}

TEST_F(TimelineChartTest, TellsWhatTheMouseIsOver) {
    show();
    chart_.show_range({end() / 2, end() / 2 + 2'000'000});
    frame();
    const Timeline& timeline = *step_.detail->timeline;
    const QRect row = chart_.lane_rect(0);
    const auto near = timeline.spans(0, chart_.visible().start, chart_.visible().end);
    ASSERT_GT(near.size(), 0u);
    const Timeline::Item item = timeline.item(0, near.first + near.size() / 2);
    const QPointF at(chart_.x_of((item.start + item.end) / 2), row.center().y());
    const QString span = chart_.tooltip_at(at);
    for (const char* word :
         {"stage 0 (TP4)", "compute stream", "micro-batch", "phase", "start", "duration", "layer"})
        EXPECT_TRUE(span.contains(word)) << word << " in\n" << span.toStdString();
    const QString memory = chart_.tooltip_at(chart_.memory_rect().center());
    for (std::size_t c = 0; c < kCategories; ++c) {
        QString name = QString::fromUtf8(category_name(static_cast<Category>(c)).data());
        EXPECT_TRUE(memory.contains(name.replace('_', ' '))) << name.toStdString();
    }
    EXPECT_TRUE(memory.contains("bytes)"));
    // The bubble of the last stage, before its first micro-batch arrives.
    chart_.fit();
    std::size_t last = 0;
    for (std::size_t lane = 0; lane < timeline.lanes().size(); ++lane)
        if (timeline.lanes()[lane].compute()) last = lane;
    const QString bubble =
        chart_.tooltip_at({static_cast<double>(chart_.lanes_rect().left() + 3),
                           static_cast<double>(chart_.lane_rect(last).center().y())});
    EXPECT_TRUE(bubble.contains("bubble")) << bubble.toStdString();
}

TEST_F(TimelineChartTest, KeepsTheZoomOfARowThatChanges) {
    show();
    chart_.show_range({1'000'000'000, 2'000'000'000});
    chart_.set_detail(test::step_of("gpt-13b-16-gpus", "TP4 × PP4").detail);
    EXPECT_EQ(chart_.visible(), (TimeRange{1'000'000'000, 2'000'000'000}));
    chart_.set_detail(test::step_of("gpt-13b-16-gpus", "ZeRO-3").detail);
    EXPECT_EQ(chart_.visible().start, 0);
    EXPECT_EQ(chart_.visible().end, chart_.detail()->timeline->end());
}

TEST_F(TimelineChartTest, SaysWhyItIsEmpty) {
    chart_.resize(600, 200);
    EXPECT_TRUE(chart_.text().contains("Select a strategy"));
    chart_.set_empty("world-size: 8 · 3 = 24 does not divide 16");
    EXPECT_EQ(chart_.text(), "world-size: 8 · 3 = 24 does not divide 16");
    const QImage image = picture();
    EXPECT_GT(colours_of(image, image.rect()).size(), 3u) << "the sentence is drawn";
    Scenario scenario = test::scenario_of("llama-3-70b-trace");
    scenario.training.global_batch = 4096;
    chart_.set_detail(test::simulate_step_of(scenario, "3d").detail);
    EXPECT_TRUE(chart_.text().contains("4,000,000")) << chart_.text().toStdString();
    QTest::keyClick(&chart_, Qt::Key_W);
    QTest::mouseClick(&chart_, Qt::LeftButton);
    turn_wheel(100, 1);
    show();
    EXPECT_TRUE(chart_.sentence().isEmpty()) << "and comes back";
}

}  // namespace
}  // namespace shardscope::gui
