// Memory and step-time charts of the first comparison, for tests.
#pragma once

#include "gui/views/memory_chart.h"
#include "gui/views/step_chart.h"
#include "tests/gui/evaluated.h"

namespace shardscope::gui::test {

// One fresh and one stale measurement.
inline MemoryBars measured_memory() {
    std::vector<std::optional<MeasuredMemory>> runs(8);
    runs[1] = MeasuredMemory{Bytes(static_cast<std::int64_t>(78.3 * kGiB)), 0.046, {}, false};
    runs[3] = MeasuredMemory{Bytes(static_cast<std::int64_t>(36.3 * kGiB)), 0.069, {}, true};
    return memory_by_strategy(comparison(), runs);
}

inline StepBars measured_time() {
    std::vector<std::optional<MeasuredTime>> runs(8);
    runs[1] = MeasuredTime{Seconds(5.2), 0.036, {}, false};
    runs[3] = MeasuredTime{Seconds(5.0), 0.063, {}, true};
    return step_bars(comparison(), runs);
}

// Laid out as it would be on the screen.
inline void show(RowChart& chart, const QSize& size) {
    chart.resize(size);
    chart.show();
    QCoreApplication::processEvents();
    chart.replot();
}

// Many rows: the comparison's, over and over.
inline MemoryBars many_rows(int count) {
    MemoryBars bars = memory_by_strategy(comparison());
    const std::vector<MemoryRow> some = bars.rows;
    bars.rows.clear();
    for (int i = 0; i < count; ++i) {
        bars.rows.push_back(some[static_cast<std::size_t>(i) % some.size()]);
        bars.rows.back().name += QString(" number %1").arg(i);
        bars.rows.back().strategy = i;
    }
    return bars;
}

}  // namespace shardscope::gui::test
