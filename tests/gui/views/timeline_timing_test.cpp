// A step of a million events in the chart: time per frame at many zoom levels, and what it takes of memory.
// The figures are printed; limits are wide enough for a busy machine. Targets: 50 ms a frame, 100 MB.
#include <QElapsedTimer>
#include <algorithm>
#include <cstdio>
#include <fstream>

#include <gtest/gtest.h>

#include "gui/views/timeline_chart.h"
#include "tests/gui/support/step.h"

namespace shardscope::gui {
namespace {

double resident_mb() {
    std::ifstream status("/proc/self/statm");
    std::int64_t pages = 0, resident = 0;
    status >> pages >> resident;
    return static_cast<double>(resident) * 4096e-6;
}

double frame_ms(TimelineChart& chart) {
    QElapsedTimer timer;
    timer.start();
    chart.replot(QCustomPlot::rpImmediateRefresh);
    return static_cast<double>(timer.nsecsElapsed()) * 1e-6;
}

TEST(TimelineTiming, AMillionEventsInOneChart) {
    TimelineChart chart;
    chart.resize(1400, 320);
    chart.set_theme(Theme::light());
    chart.show();
    chart.set_detail(test::step_of("llama-3-70b-trace", "3d").detail);
    frame_ms(chart);

    // Llama 3 70B on a pipeline of four stages, with so many micro-batches that there are a million spans.
    Scenario scenario = test::scenario_of("llama-3-70b-trace");
    scenario.training.global_batch = 260;
    const double before = resident_mb();
    QElapsedTimer timer;
    timer.start();
    chart.set_detail(test::simulate_step_of(scenario, "3d").detail);
    const double made = static_cast<double>(timer.nsecsElapsed()) * 1e-6;
    frame_ms(chart);
    const double resident = resident_mb() - before;
    const Timeline& timeline = *chart.detail()->timeline;
    std::size_t changes = 0;
    for (const MemoryOverTime& memory : chart.detail()->memory) changes += memory.size();
    std::printf("%zu spans, %zu lanes, %zu changes of memory; made in %.0f ms; +%.1f MB resident\n",
                timeline.events(), timeline.lanes().size(), changes, made, resident);
    EXPECT_GE(timeline.events(), 1'000'000u);
    EXPECT_LE(resident, 100);

    double worst = 0;
    for (const bool expanded : {false, true}) {
        chart.set_expanded(expanded);
        for (std::int64_t part = 1; part <= 1'000'000; part *= 4) {
            const std::int64_t length = std::max<std::int64_t>(2000, timeline.end() / part);
            double slowest =
                0;  // place; of its frames the fastest, which others' work disturbs least
            for (const std::int64_t at : {timeline.end() / 7, timeline.end() / 2}) {
                const std::int64_t start = part == 1 ? 0 : at;
                chart.show_range({start, start + length});
                double fastest = frame_ms(chart);
                for (int i = 0; i < 4; ++i) fastest = std::min(fastest, frame_ms(chart));
                slowest = std::max(slowest, fastest);
            }
            std::printf("%s, 1/%lld of the step: %.1f ms a frame\n",
                        expanded ? "all streams" : "two rows a stage", static_cast<long long>(part),
                        slowest);
            worst = std::max(worst, slowest);
        }
    }
    timer.start();
    chart.select_range({timeline.end() / 5, timeline.end() * 4 / 5});
    std::printf("slowest frame %.1f ms; totals of a selection %.2f ms\n", worst,
                static_cast<double>(timer.nsecsElapsed()) * 1e-6);
    EXPECT_LE(worst, 250);
}

}  // namespace
}  // namespace shardscope::gui
