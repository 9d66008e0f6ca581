#include "gui/views/step_chart.h"

#include <algorithm>

#include "gui/views/row_plot.h"

namespace shardscope::gui {
namespace {

BarRow bar_row(const StepRow& row, const StepScale& scale) {
    BarRow bar;
    bar.name = row.name;
    bar.strategy = row.strategy;
    if (!row.known) {
        // The memory chart beside it has the sentence.
        bar.message = "✕ " + (row.message.isEmpty() ? "not simulated" : row.message);
        return bar;
    }
    for (std::size_t i = 0; i < kStepParts; ++i) {
        const auto part = static_cast<StepPart>(i);
        bar.segments.push_back({scale.value(row.parts[i]), colour(step_part_colour(part)),
                                part == StepPart::bubble, scale.format(row.parts[i])});
    }
    bar.end = end_label(row, scale);
    // It would take so long, if it fitted.
    bar.tone = row.status == Status::does_not_fit ? BarRow::Tone::muted : BarRow::Tone::plain;
    if (row.measured) {
        bar.marker = scale.value(row.measured->step_time);
        bar.marker_hollow = row.measured->stale;
        bar.marker_text = measured_label(row, scale);
    }
    return bar;
}

}  // namespace

StepChart::StepChart(QWidget* parent) : RowChart("time", "Step time", parent) { set_bars({}); }

void StepChart::set_bars(StepBars bars) {
    bars_ = std::move(bars);
    refresh();
}

void StepChart::rebuild() {
    const StepScale scale = scale_of(bars_);
    set_subtitle(scale.unit() + ", slowest rank; MFU");
    std::vector<LegendEntry> entries;
    for (std::size_t i = 0; i < kStepParts; ++i) {
        const auto part = static_cast<StepPart>(i);
        const bool hatched = part == StepPart::bubble;
        entries.push_back({step_part_title(part),
                           hatched ? theme().muted : colour(step_part_colour(part)),
                           hatched ? LegendEntry::Mark::hatched : LegendEntry::Mark::square});
    }
    if (std::any_of(bars_.rows.begin(), bars_.rows.end(),
                    [](const StepRow& row) { return row.measured.has_value(); }))
        entries.push_back({"Measured", theme().text, LegendEntry::Mark::diamond});
    set_legend(std::move(entries));

    BarAxis axis;
    axis.unit = scale.unit();
    axis.labels_in_column = false;
    axis.end = 0;
    std::vector<BarRow> rows;
    for (const StepRow& row : bars_.rows) {
        rows.push_back(bar_row(row, scale));
        axis.end = std::max({axis.end, rows.back().total(), rows.back().marker.value_or(0)});
    }
    axis.end = axis.end > 0 ? axis.end * 1.02 : 1;
    plot().theme = theme();
    plot().empty_is_error = !bars_.error.isEmpty();
    plot().empty_text = bars_.error.isEmpty() ? "no strategies" : bars_.error;
    plot().set_rows(std::move(rows), std::move(axis));
}

QString StepChart::tooltip_at(const QPointF& point) const {
    const int row = plot().row_at(point.y());
    return row < 0
               ? QString()
               : tooltip(bars_.rows[static_cast<std::size_t>(row)], scale_of(bars_), bars_.samples);
}

QString StepChart::text() const { return QString::fromStdString(to_text(bars_)); }

}  // namespace shardscope::gui
