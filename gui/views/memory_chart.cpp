#include "gui/views/memory_chart.h"

#include <algorithm>

#include "gui/views/row_plot.h"

namespace shardscope::gui {
namespace {

// The axis ends at this multiple of the capacity at most; longer bars are broken. Otherwise one strategy
// that needs ten times the memory would make all others slivers.
constexpr double kLongest = 1.5;
// A capacity this many times the longest bar stands behind a break of the axis, for the same reason.
constexpr double kFarAway = 12;

BarRow bar_row(const MemoryRow& row, Bytes capacity, const MemoryScale& scale) {
    BarRow bar;
    bar.name = row.name;
    bar.strategy = row.strategy;
    if (!row.known) {
        bar.message = "✕ " + (row.message.isEmpty() ? "not simulated" : row.message);
        return bar;
    }
    for (std::size_t i = 0; i < kCategories; ++i)
        bar.segments.push_back({scale.value(row.categories[i]),
                                colour(category_colour(static_cast<Category>(i))), false,
                                scale.format(row.categories[i])});
    bar.end = end_label(row, capacity, scale);
    bar.tone = row.status == Status::does_not_fit ? BarRow::Tone::alert : BarRow::Tone::plain;
    if (row.measured) {
        bar.marker = scale.value(row.measured->peak);
        bar.marker_hollow = row.measured->stale;
        bar.marker_text = measured_label(row, scale);
    }
    return bar;
}

BarAxis axis_of(const MemoryBars& bars, const MemoryScale& scale, MemoryShow show) {
    double longest = 0;
    for (const MemoryRow& row : bars.rows) {
        longest = std::max(longest, scale.value(row.peak));
        if (row.measured) longest = std::max(longest, scale.value(row.measured->peak));
    }
    BarAxis axis;
    axis.unit = scale.unit();
    if (bars.capacity.value <= 0) {  // not known
        axis.end = longest > 0 ? longest : 1;
        return axis;
    }
    axis.limit = scale.value(bars.capacity);
    axis.limit_text = capacity_text(bars.capacity, show);
    axis.limit_beyond = longest > 0 && *axis.limit > kFarAway * longest;
    axis.end = axis.limit_beyond
                   ? longest
                   : std::clamp(longest * 1.02, *axis.limit * 1.06, *axis.limit * kLongest);
    return axis;
}

}  // namespace

MemoryChart::MemoryChart(QWidget* parent) : RowChart("memory", "Peak memory per GPU", parent) {
    set_bars({});
}

void MemoryChart::set_bars(MemoryBars bars) {
    bars_ = std::move(bars);
    set_marks(bars_.subject.isEmpty());
    refresh();
}

void MemoryChart::set_show(MemoryShow show) {
    show_ = show;
    plot().fit();
    refresh();
}

void MemoryChart::rebuild() {
    const MemoryScale scale = scale_of(bars_, show_);
    const auto any = [&](auto&& condition) {
        return std::any_of(bars_.rows.begin(), bars_.rows.end(), condition);
    };
    const QString unit = show_ == MemoryShow::percent ? "% of the device's memory" : scale.unit();
    set_subtitle(bars_.subject.isEmpty() ? unit + ", fullest rank" : unit + ", " + bars_.subject);
    std::vector<LegendEntry> entries;
    for (std::size_t i = 0; i < kCategories; ++i)
        entries.push_back({category_title(static_cast<Category>(i)),
                           colour(category_colour(static_cast<Category>(i)))});
    if (any([&](const MemoryRow& row) { return row.status == Status::does_not_fit; }))
        entries.push_back({"Does not fit", theme().frame, LegendEntry::Mark::hatched});
    if (any([](const MemoryRow& row) { return row.measured.has_value(); }))
        entries.push_back({"Measured", theme().text, LegendEntry::Mark::diamond});
    set_legend(std::move(entries));

    std::vector<BarRow> rows;
    for (const MemoryRow& row : bars_.rows) rows.push_back(bar_row(row, bars_.capacity, scale));
    plot().theme = theme();
    plot().empty_is_error = !bars_.error.isEmpty();
    plot().empty_text = bars_.error.isEmpty() ? "no strategies" : bars_.error;
    plot().set_rows(std::move(rows), axis_of(bars_, scale, show_));
}

QString MemoryChart::tooltip_at(const QPointF& point) const {
    const int row = plot().row_at(point.y());
    return row < 0 ? QString()
                   : tooltip(bars_.rows[static_cast<std::size_t>(row)], bars_.capacity, show_);
}

QString MemoryChart::text() const { return QString::fromStdString(to_text(bars_, show_)); }

}  // namespace shardscope::gui
