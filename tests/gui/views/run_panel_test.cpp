#include "gui/views/run_panel.h"

#include <QComboBox>
#include <QLabel>
#include <QPushButton>
#include <QSignalSpy>
#include <QSpinBox>
#include <QTest>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/report/report_import.h"
#include "core/scenario_io.h"
#include "gui/views/run_chart.h"

namespace shardscope::gui {
namespace {

using testing::HasSubstr;
constexpr int kPatience = 60'000;  // ms

Scenario tiny() {
    return parse_scenario(
        "model: {gpt: {layers: 2, hidden: 16, heads: 2, vocab: 64, seq: 8}}\n"
        "training: {global_batch: 4, micro_batch: 2, steps: 4}\n"
        "cluster: {nodes: 2, gpus_per_node: 8, gpu: a100-80gb}\n"
        "strategies: [{name: ddp}, {name: zero-1, zero: 1}, {name: bad, dp: 7}]\n",
        "tiny.yaml", {});
}

class RunPanelTest : public testing::Test {
protected:
    RunPanelTest() : panel(SHARDSCOPE_BINARY, 2, nullptr) {
        panel.set_theme(Theme::light());
        panel.set_scenario(tiny(), 0);
        panel.resize(1100, 300);
        panel.show();
    }
    template <class Widget>
    Widget* find(const char* name) {
        auto* const widget = panel.findChild<Widget*>(name);
        EXPECT_NE(widget, nullptr) << name;
        return widget;
    }
    bool wait_for_end() {
        return QTest::qWaitFor([&] { return panel.task().state() == RunTask::State::idle; },
                               kPatience);
    }
    QString error() { return find<QLabel>("run_error")->text(); }

    RunPanel panel;
};

// Pixels of the colour; antialiased lines have some of it in full.
int count(const QImage& image, const QColor& colour) {
    int found = 0;
    for (int y = 0; y < image.height(); ++y)
        for (int x = 0; x < image.width(); ++x) found += image.pixelColor(x, y) == colour;
    return found;
}

TEST_F(RunPanelTest, RunsAllStrategiesByKeyboardAndPlotsThem) {
    find<QComboBox>("run_strategies")->setCurrentIndex(1);
    QSignalSpy ready(&panel, &RunPanel::report_ready), running(&panel, &RunPanel::running_changed);
    QTest::keyClick(find<QPushButton>("run_start"), Qt::Key_Space);
    EXPECT_FALSE(find<QPushButton>("run_start")->isEnabled());
    EXPECT_TRUE(find<QPushButton>("run_cancel")->isEnabled());
    ASSERT_TRUE(wait_for_end());
    ASSERT_EQ(ready.size(), 1);
    EXPECT_EQ(running.size(), 2);
    const Report report = load_report(ready[0][0].toString().toStdString());
    EXPECT_EQ(report.strategies.size(), 3u);
    EXPECT_EQ(report.strategies[1].measured->losses.size(), 4u);
    EXPECT_EQ(find<QLabel>("run_status")->text(), "2 finished, 1 failed");
    // The same sentence as in the report.
    EXPECT_EQ(error().toStdString(), std::string("bad: ") + report.strategies[2].error->what());
    RunChart& chart = panel.chart();
    chart.show_now();
    EXPECT_THAT(chart.text().toStdString(), HasSubstr("ddp: step 4 of 4, loss 4."));
    EXPECT_THAT(chart.text().toStdString(), HasSubstr("MiB on the fullest rank"));
    const QImage image = chart.image(QSize(900, 300), 1, Theme::light());
    EXPECT_GT(count(image, colour(category_colour(Category::parameters))), 20);
    EXPECT_GT(count(image, colour(category_colour(Category::optimizer_states))), 20);
}

TEST_F(RunPanelTest, RunsTheSelectedStrategyWithItsSettings) {
    panel.set_scenario(tiny(), 1);
    find<QSpinBox>("run_steps")->setValue(7);
    find<QSpinBox>("run_ranks")->setValue(1);
    panel.start();
    ASSERT_TRUE(wait_for_end());
    ASSERT_EQ(panel.log().series().size(), 1u);
    EXPECT_EQ(panel.log().current()->start.strategy, "zero-1");
    EXPECT_EQ(panel.log().current()->start.ranks, 1);
    EXPECT_EQ(panel.log().current()->steps.size(), 7u);
}

TEST_F(RunPanelTest, CancelsAndKeepsWhatWasMeasured) {
    find<QSpinBox>("run_steps")->setValue(100'000'000);
    QSignalSpy ready(&panel, &RunPanel::report_ready);
    panel.start();
    ASSERT_TRUE(QTest::qWaitFor(
        [&] { return panel.log().current() != nullptr && panel.log().current()->steps.size() > 2; },
        kPatience));
    panel.chart().show_now();
    const QString tooltip = panel.chart().tooltip_at(panel.chart().rect().center());
    EXPECT_THAT(tooltip.toStdString(), HasSubstr("ddp: step "));
    QTest::keyClick(find<QPushButton>("run_cancel"), Qt::Key_Space);
    EXPECT_EQ(find<QPushButton>("run_cancel")->text(), "&Kill");
    ASSERT_TRUE(wait_for_end());
    EXPECT_EQ(find<QLabel>("run_status")->text(), "0 finished, 1 cancelled");
    EXPECT_EQ(error(), "");
    EXPECT_EQ(ready.size(), 1);
}

TEST_F(RunPanelTest, SaysWhatWentWrongInALine) {
    RunPanel lost("/nowhere/shardscope", 2, nullptr);
    lost.set_scenario(tiny(), 0);
    QSignalSpy ready(&lost, &RunPanel::report_ready);
    lost.start();
    ASSERT_TRUE(
        QTest::qWaitFor([&] { return lost.task().state() == RunTask::State::idle; }, kPatience));
    const auto* const label = lost.findChild<QLabel*>("run_error");
    EXPECT_THAT(label->text().toStdString(), HasSubstr("run: cannot start /nowhere/shardscope"));
    EXPECT_TRUE(label->isVisibleTo(&lost));
    EXPECT_EQ(ready.size(), 0);
}

TEST_F(RunPanelTest, EveryControlHasAName) {
    for (const QWidget* widget : panel.findChildren<QWidget*>()) {
        const bool control =
            widget->focusPolicy() != Qt::NoFocus && widget->objectName() != "qt_spinbox_lineedit";
        if (!control || qobject_cast<const QLabel*>(widget) != nullptr) continue;
        EXPECT_FALSE(widget->objectName().isEmpty()) << widget->metaObject()->className();
        EXPECT_FALSE(widget->accessibleName().isEmpty()) << widget->objectName().toStdString();
    }
    find<QComboBox>("run_backend")->setCurrentIndex(1);
    EXPECT_FALSE(find<QSpinBox>("run_threads")->isEnabled());
}

TEST(RunChartTest, ManyStepsAreDrawnQuicklyEnough) {
    RunLog log;
    RunChart chart(log, nullptr);
    chart.resize(900, 300);
    RunStarted start;
    start.strategy = "ddp";
    start.steps = 200'000;
    log.add(start);
    for (int i = 1; i <= 200'000; ++i)
        log.add(RunStep{"ddp", i, 200'000, 5.0 / i, 1e4, Seconds(i), {Bytes(1 << 30)}});
    chart.show_now();
    EXPECT_EQ(chart.graph(0)->dataCount(), 200'000);
    EXPECT_THAT(chart.text().toStdString(), HasSubstr("step 200000 of 200000, loss 0.000"));
    log.clear();
    chart.show_now();
    EXPECT_EQ(chart.text(), "nothing has run yet");
    EXPECT_EQ(chart.graphCount(), 0);
}

}  // namespace
}  // namespace shardscope::gui
