// What keys and mouse do in bar charts, and what tooltips say.
#include <QClipboard>
#include <QSignalSpy>
#include <QTest>

#include <gtest/gtest.h>

#include "tests/gui/views/bar_charts.h"

namespace shardscope::gui {
namespace {

using test::comparison, test::show;

class RowChartInput : public testing::Test {
protected:
    RowChartInput() : clicks(&chart, &Chart::strategy_clicked) {
        chart.set_bars(memory_by_strategy(comparison()));
        show(chart, {600, 340});
    }

    int last_click() { return clicks.isEmpty() ? -1 : clicks.takeLast().at(0).toInt(); }
    QPoint middle(int row) { return chart.row_rect(row).center().toPoint(); }
    void key(Qt::Key key) {
        QTest::keyClick(&chart, key);
        chart.replot();
    }
    void wheel(const QPoint& at, int delta, Qt::KeyboardModifiers modifiers = {}) {
        QWheelEvent event(at, chart.mapToGlobal(at), {}, {0, delta}, Qt::NoButton, modifiers,
                          Qt::NoScrollPhase, false);
        QCoreApplication::sendEvent(&chart, &event);
        chart.replot();
    }

    MemoryChart chart;
    QSignalSpy clicks;
};

TEST_F(RowChartInput, AClickSelectsAndChangesNothingItself) {
    for (const int row : {0, 4, 7}) {
        QTest::mouseClick(&chart, Qt::LeftButton, {}, middle(row));
        EXPECT_EQ(last_click(), row);
    }
    EXPECT_EQ(chart.selected(), -1);
    QTest::mouseClick(&chart, Qt::LeftButton, {}, {300, 5});
    EXPECT_TRUE(clicks.isEmpty()) << "of the title";
}

TEST_F(RowChartInput, ArrowsMoveTheSelection) {
    QObject::connect(&chart, &Chart::strategy_clicked, &chart,
                     [&](int strategy) { chart.set_selected(strategy); });
    key(Qt::Key_Down);
    EXPECT_EQ(chart.selected(), 0);
    key(Qt::Key_Down);
    EXPECT_EQ(chart.selected(), 1);
    key(Qt::Key_Up);
    key(Qt::Key_Up);
    EXPECT_EQ(chart.selected(), 0);
    key(Qt::Key_End);
    EXPECT_EQ(chart.selected(), 7);
    key(Qt::Key_Down);
    EXPECT_EQ(chart.selected(), 7);
    key(Qt::Key_Home);
    EXPECT_EQ(chart.selected(), 0);
}

TEST_F(RowChartInput, TheWheelZoomsAtTheCursorAndFitsBack) {
    const auto per_gib = [&] { return chart.x_of(1) - chart.x_of(0); };
    const double whole = per_gib(), value = 10, x = chart.x_of(value);
    wheel({static_cast<int>(x), middle(6).y()}, 240);
    EXPECT_GT(per_gib(), whole);
    EXPECT_NEAR(chart.x_of(value), x, 1);
    for (const Qt::Key fit : {Qt::Key_F, Qt::Key_Escape}) {
        key(Qt::Key_Plus);
        EXPECT_GT(per_gib(), whole);
        key(fit);
        EXPECT_EQ(per_gib(), whole);
    }
    key(Qt::Key_Minus);
    EXPECT_EQ(per_gib(), whole) << "there is nothing more to see";
}

TEST_F(RowChartInput, ADragPansWhatIsZoomedAndSelectsNothing) {
    key(Qt::Key_Plus);
    const double before = chart.x_of(20);
    QTest::mousePress(&chart, Qt::LeftButton, {}, {400, 200});
    QTest::mouseMove(&chart, {380, 200});
    QMouseEvent move(QEvent::MouseMove, QPointF(380, 200), chart.mapToGlobal(QPointF(380, 200)),
                     Qt::NoButton, Qt::LeftButton, {});
    QCoreApplication::sendEvent(&chart, &move);
    QTest::mouseRelease(&chart, Qt::LeftButton, {}, {380, 200});
    chart.replot();
    EXPECT_NEAR(chart.x_of(20), before - 20, 1);
    EXPECT_TRUE(clicks.isEmpty());
}

TEST_F(RowChartInput, ZoomStaysWhenNewFiguresCome) {
    key(Qt::Key_Plus);
    const double before = chart.x_of(20);
    chart.set_bars(memory_by_strategy(comparison()));
    chart.replot();
    EXPECT_EQ(chart.x_of(20), before);
}

TEST_F(RowChartInput, TheWheelScrollsRowsThatDoNotFit) {
    chart.set_bars(test::many_rows(60));
    chart.replot();
    ASSERT_TRUE(chart.row_rect(59).isEmpty());
    for (int i = 0; i < 30; ++i) wheel({300, 200}, -120);
    EXPECT_FALSE(chart.row_rect(59).isEmpty());
    EXPECT_TRUE(chart.row_rect(0).isEmpty());
    key(Qt::Key_Home);
    EXPECT_EQ(last_click(), 0);
    EXPECT_FALSE(chart.row_rect(0).isEmpty()) << "what is selected is shown";
}

TEST_F(RowChartInput, CtrlCCopiesThePicture) {
    QGuiApplication::clipboard()->clear();
    QTest::keyClick(&chart, Qt::Key_C, Qt::ControlModifier);
    EXPECT_EQ(QGuiApplication::clipboard()->image().size(), chart.size());
}

TEST_F(RowChartInput, TooltipsAreThoseOfTheRow) {
    for (int row = 0; row < 8; ++row)
        EXPECT_EQ(chart.tooltip_at(middle(row)),
                  tooltip(chart.bars().rows[static_cast<std::size_t>(row)], chart.bars().capacity,
                          MemoryShow::binary));
    EXPECT_TRUE(chart.tooltip_at({10, 10}).isEmpty());
    QTest::mouseMove(&chart, middle(2));
    QMouseEvent move(QEvent::MouseMove, QPointF(middle(2)), QPointF(middle(2)), Qt::NoButton,
                     Qt::NoButton, {});
    QCoreApplication::sendEvent(&chart, &move);
    EXPECT_TRUE(chart.last_tooltip().startsWith("ZeRO-2, ranks 0–15\nParameters\t23.97 GiB\t"))
        << chart.last_tooltip().toStdString();
}

TEST_F(RowChartInput, ScreenReadersHearTheTable) {
    EXPECT_EQ(chart.accessibleName(), "Peak memory per GPU");
    EXPECT_EQ(chart.accessibleDescription(), chart.text());
    EXPECT_TRUE(chart.text().contains("82.0 OOM +2.9"));
    EXPECT_EQ(chart.focusPolicy(), Qt::StrongFocus);
}

TEST_F(RowChartInput, RanksOfOneStrategyAllSelectIt) {
    chart.set_bars(memory_by_rank(comparison(), 5));
    chart.set_selected(5);
    chart.replot();
    QTest::mouseClick(&chart, Qt::LeftButton, {}, middle(2));
    EXPECT_EQ(last_click(), 5);
}

TEST(StepChartInput, TooltipsAndClicksAreThoseOfTheRow) {
    StepChart chart;
    chart.set_bars(step_bars(comparison()));
    show(chart, {400, 340});
    QSignalSpy clicks(&chart, &Chart::strategy_clicked);
    const QPoint at = chart.row_rect(5).center().toPoint();
    EXPECT_TRUE(chart.tooltip_at(at).startsWith("TP4 × PP4\nCompute\t6.8"))
        << chart.tooltip_at(at).toStdString();
    QTest::mouseClick(&chart, Qt::LeftButton, {}, at);
    EXPECT_EQ(clicks.takeLast().at(0).toInt(), 5);
}

}  // namespace
}  // namespace shardscope::gui
