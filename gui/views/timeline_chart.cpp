#include "gui/views/timeline_chart.h"

#include <cmath>

#include "core/report/figures.h"
#include "gui/models/step_detail.h"
#include "gui/views/timeline_overlay.h"

namespace shardscope::gui {
namespace {

constexpr int kLeastLanes = 60, kLeastMemory = 64;  // pixels
constexpr std::int64_t kLeastRange = 2000;          // nanoseconds: several per pixel

}  // namespace

TimelineChart::TimelineChart(QWidget* parent) : Chart("timeline", "One training step", parent) {
    make_layout();
    set_empty("Select a strategy to see one step of it.");
    apply_theme();
}

TimelineChart::~TimelineChart() = default;

void TimelineChart::make_layout() {
    lanes_rect_ = new QCPAxisRect(this, false);
    memory_rect_ = new QCPAxisRect(this, false);
    plotLayout()->addElement(1, 0, lanes_rect_);
    plotLayout()->addElement(2, 0, memory_rect_);
    for (QCPAxisRect* rect : {lanes_rect_, memory_rect_}) {
        rect->addAxes(QCPAxis::atBottom | QCPAxis::atLeft);
        rect->setAutoMargins(QCP::msNone);
    }
    lanes_rect_->axis(QCPAxis::atBottom)->setVisible(false);
    lanes_rect_->axis(QCPAxis::atLeft)->setVisible(false);
    lanes_rect_->axis(QCPAxis::atLeft)->grid()->setVisible(false);
    lanes_rect_->setMinimumSize(50, kLeastLanes);
    memory_rect_->setMinimumSize(50, kLeastMemory);

    time_ticks_.reset(new UnitTicker);
    memory_ticks_.reset(new UnitTicker);
    time_ticks_->length = [this] {
        return viewport().width() - memory_rect_->margins().left() -
               memory_rect_->margins().right();
    };
    memory_ticks_->length = [this] { return memory_rect_->height(); };
    memory_ticks_->per_tick = 32;
    memory_rect_->axis(QCPAxis::atBottom)->setTicker(time_ticks_);
    memory_rect_->axis(QCPAxis::atLeft)->setTicker(memory_ticks_);
    lanes_rect_->axis(QCPAxis::atBottom)->setTicker(time_ticks_);

    lanes_ =
        new TimelineLanes(lanes_rect_->axis(QCPAxis::atBottom), lanes_rect_->axis(QCPAxis::atLeft));
    memory_ = new MemoryLayers(memory_rect_->axis(QCPAxis::atBottom),
                               memory_rect_->axis(QCPAxis::atLeft));
    labels_ = new TimelineLabels(this, *lanes_, *memory_);
    // On a layer with a buffer of its own: moving the mouse draws nothing but the crosshair.
    layer("overlay")->setMode(QCPLayer::lmBuffered);
    overlay_ = new TimelineOverlay(this, *lanes_, *memory_);
    connect(this, &QCustomPlot::afterReplot, this, [this] { drawn_ = true; });
}

void TimelineChart::set_detail(std::shared_ptr<const StepDetail> detail) {
    if (!detail) return set_empty("Select a strategy to see one step of it.");
    if (!detail->timeline) return set_empty(too_many_events(*detail));
    const bool same_row = shown() && detail_->strategy == detail->strategy;
    const bool all = !same_row || visible_ == TimeRange{0, detail_->timeline->end()};
    const bool same_ranks = same_row && detail_->trace->ranks.size() == detail->trace->ranks.size();
    detail_ = std::move(detail);
    words_ = std::make_shared<const TimelineText>(detail_);
    sentence_.clear();
    if (!same_ranks) {
        // The rank that needs most: whether it fits is what decides.
        memory_rank_ = 0;
        for (std::size_t r = 1; r < detail_->trace->ranks.size(); ++r)
            if (detail_->trace->ranks[r].memory.peak >
                detail_->trace->ranks[memory_rank_].memory.peak)
                memory_rank_ = r;
    }
    visible_ = all ? TimeRange{0, detail_->timeline->end()} : clamped(visible_);
    before_.clear();
    select_range({});
    apply_step();
    emit visible_changed();
    refresh();
}

void TimelineChart::set_empty(const QString& sentence) {
    detail_.reset();
    words_.reset();
    sentence_ = sentence;
    selection_ = {};
    before_.clear();
    apply_step();
    refresh();
}

void TimelineChart::apply_step() {
    const bool step = shown();
    lanes_->set_detail(detail_, words_);
    lanes_->set_expanded(expanded_);
    lanes_->set_current(memory_rank_);
    memory_->set_detail(detail_, memory_rank_);
    labels_->sentence = sentence_;
    labels_->current = memory_rank_;
    overlay_->selection = selection_;
    overlay_->mouse.reset();
    for (const auto type : {QCPAxis::atBottom, QCPAxis::atLeft}) {
        memory_rect_->axis(type)->setVisible(step);
        memory_rect_->axis(type)->grid()->setVisible(step);
    }
    lanes_rect_->axis(QCPAxis::atBottom)->grid()->setVisible(step);
    std::vector<LegendEntry> entries;
    if (step) {
        const std::vector<std::size_t> none;
        std::array<bool, kSpanKinds> used{};
        const Timeline& timeline = *detail_->timeline;
        for (std::size_t lane = 0; lane < timeline.lanes().size(); ++lane) {
            const RangeTotals totals = timeline.totals({&lane, 1}, 0, timeline.end());
            for (std::size_t k = 0; k < kSpanKinds; ++k) used[k] |= totals.kinds[k].total > 0;
        }
        for (std::size_t k = 0; k < kSpanKinds; ++k) {
            const auto kind = static_cast<SpanKind>(k);
            if (!used[k] || kind == SpanKind::wait) continue;
            entries.push_back(
                {QString::fromUtf8(span_kind_name(kind).data()), colour(span_kind_colour(kind))});
        }
        const MemoryUnit unit(memory_->top());
        labels_->memory_unit = unit.name();
        labels_->memory_per_unit = labels_->memory_unit == "GiB" ? kGiB : kGiB / 1024;
        memory_ticks_->scale = 1 / labels_->memory_per_unit;
        memory_rect_->axis(QCPAxis::atLeft)->setRange(0, static_cast<double>(memory_->top().value));
        const TimeUnit time(detail_->step_time);
        labels_->step_time =
            "step " + QString::fromStdString(time.format(detail_->step_time)) + " " + time.name();
        labels_->memory_of = rank_label(*detail_, memory_rank_).section(" (", 0, 0);
        set_subtitle(step_title(*detail_) +
                     "; wheel zooms, drag selects, F fits, A/D pan, E expands");
    } else {
        set_subtitle({});
    }
    set_legend(std::move(entries));
    setAccessibleDescription(text());
    apply_range();
}

void TimelineChart::apply_range() {
    lanes_->set_range(visible_);
    memory_->set_range(visible_);
    const QCPRange seconds(static_cast<double>(visible_.start) * 1e-9,
                           static_cast<double>(visible_.end) * 1e-9);
    lanes_rect_->axis(QCPAxis::atBottom)->setRange(seconds);
    memory_rect_->axis(QCPAxis::atBottom)->setRange(seconds);
    const AxisUnit unit = unit_of(visible_);
    time_ticks_->scale = unit.per_second;
    labels_->time_unit = unit.name;

    const int bottom = QFontMetrics(font()).height() + 8;
    const int left = shown() ? labels_->left_width() : 0;
    const int right = shown() ? labels_->right_width() : 0;
    lanes_rect_->setMargins(QMargins(left, 2, right, 3));
    memory_rect_->setMargins(QMargins(left, 3, right, bottom));
    // Memory gets the height that lanes have no use for.
    const int wanted = std::max(kLeastLanes, lanes_->wanted_height() + 8);
    lanes_rect_->setMaximumSize(QWIDGETSIZE_MAX, shown() ? wanted : QWIDGETSIZE_MAX);
    plotLayout()->setRowStretchFactor(1, 1.7);
    plotLayout()->setRowStretchFactor(2, 1);
    plotLayout()->setRowStretchFactor(0, 0.01);
}

void TimelineChart::resizeEvent(QResizeEvent* event) {
    Chart::resizeEvent(event);
    apply_range();
    refresh();
}

void TimelineChart::rebuild() {
    apply_theme();
    apply_range();
}

void TimelineChart::apply_theme() {
    const Theme& theme = this->theme();
    lanes_->set_theme(theme);
    memory_->set_theme(theme);
    labels_->theme = theme;
    overlay_->theme = theme;
    for (QCPAxisRect* rect : {lanes_rect_, memory_rect_})
        for (QCPAxis* axis : rect->axes()) {
            axis->setBasePen(QPen(theme.grid));
            axis->setTickPen(QPen(theme.grid));
            axis->setSubTicks(false);
            axis->setTickLength(0, 4);
            axis->setTickLabelColor(theme.muted);
            axis->setTickLabelFont(font());
            axis->grid()->setPen(QPen(theme.grid, 1, Qt::DotLine));
            axis->grid()->setZeroLinePen(Qt::NoPen);
            axis->grid()->setLayer("background");
        }
}

void TimelineChart::refresh() { replot(rpQueuedReplot); }

// Before the first frame there is nothing to draw on.
void TimelineChart::refresh_overlay() {
    if (drawn_) layer("overlay")->replot();
}

TimeRange TimelineChart::clamped(TimeRange range) const {
    const std::int64_t end = detail_->timeline->end();
    const std::int64_t least = std::min(end, kLeastRange);
    const std::int64_t duration = std::clamp(range.duration(), least, end);
    if (range.duration() < least) range.start -= (least - range.duration()) / 2;
    const std::int64_t start = std::clamp<std::int64_t>(range.start, 0, end - duration);
    return {start, start + duration};
}

void TimelineChart::move_to(TimeRange range, bool steady) {
    if (!shown()) return;
    range = clamped(range);
    if (range == visible_) return;
    constexpr qint64 kOneMove = 1000;  // milliseconds: changes closer together are one
    if (!steady || !moved_.isValid() || moved_.elapsed() > kOneMove) before_.push_back(visible_);
    if (steady)
        moved_.start();
    else
        moved_.invalidate();
    visible_ = range;
    apply_range();
    overlay_->mouse.reset();
    emit visible_changed();
    refresh();
}

void TimelineChart::show_range(TimeRange range) { move_to(range, false); }

void TimelineChart::zoom_back() {
    if (before_.empty() || !shown()) return;
    visible_ = before_.back();
    before_.pop_back();
    moved_.invalidate();
    apply_range();
    emit visible_changed();
    refresh();
}

void TimelineChart::fit() {
    if (shown()) move_to({0, detail_->timeline->end()}, false);
}

void TimelineChart::zoom_at(double x, double factor) {
    if (!shown()) return;
    const TimeScale scale = lanes_->scale();
    const double share = std::clamp((x - scale.rect.left()) / scale.rect.width(), 0.0, 1.0);
    const auto old = static_cast<double>(visible_.duration());
    const auto end = static_cast<double>(detail_->timeline->end());
    const double duration = std::clamp(old / factor, std::min<double>(kLeastRange, end), end);
    const double start = static_cast<double>(visible_.start) + share * (old - duration);
    const std::int64_t first = std::llround(start);
    move_to({first, first + std::llround(duration)}, true);
}

void TimelineChart::pan(double share) {
    const auto by = std::llround(share * static_cast<double>(visible_.duration()));
    move_to({visible_.start + by, visible_.end + by}, true);
}

void TimelineChart::select_range(TimeRange range) {
    if (shown() && !range.empty())
        range = {std::clamp<std::int64_t>(range.start, 0, detail_->timeline->end()),
                 std::clamp<std::int64_t>(range.end, 0, detail_->timeline->end())};
    if (!shown() || range.empty()) range = {};
    const bool changed = !(range == selection_);
    selection_ = range;
    overlay_->selection = range;
    overlay_->totals = {};
    if (!range.empty()) {
        const Timeline& timeline = *detail_->timeline;
        overlay_->totals =
            totals_table(timeline.totals(shown_lanes(true), range.start, range.end),
                         timeline.totals(shown_lanes(false), range.start, range.end));
    }
    if (changed) emit range_selected(range.start, range.end);
    refresh_overlay();
}

std::vector<std::size_t> TimelineChart::shown_lanes(bool compute) const {
    std::vector<std::size_t> lanes;
    for (const TimelineLanes::Row& row : lanes_->rows())
        for (const std::size_t lane : row.lanes)
            if (detail_->timeline->lanes()[lane].compute() == compute) lanes.push_back(lane);
    return lanes;
}

RangeTotals TimelineChart::selected_totals() const {
    if (!shown() || selection_.empty()) return {};
    std::vector<std::size_t> lanes = shown_lanes(true);
    for (const std::size_t lane : shown_lanes(false)) lanes.push_back(lane);
    return detail_->timeline->totals(lanes, selection_.start, selection_.end);
}

QString TimelineChart::totals_text() const {
    if (selection_.empty()) return {};
    return moment_text(selection_.start) + " to " + moment_text(selection_.end) + "\n" +
           overlay_->totals.text();
}

void TimelineChart::set_expanded(bool expanded) {
    if (expanded == expanded_) return;
    expanded_ = expanded;
    apply_step();
    select_range(selection_);
    refresh();
}

void TimelineChart::set_memory_rank(std::size_t rank) {
    if (!shown() || rank >= detail_->trace->ranks.size() || rank == memory_rank_) return;
    memory_rank_ = rank;
    apply_step();
    refresh();
}

double TimelineChart::x_of(std::int64_t time) const { return lanes_->scale().x(time); }
std::int64_t TimelineChart::time_at(double x) const { return lanes_->scale().time(x); }
QRect TimelineChart::lanes_rect() const { return lanes_rect_->rect(); }
QRect TimelineChart::memory_rect() const { return memory_rect_->rect(); }
double TimelineChart::y_of(Bytes bytes) const { return memory_->y(bytes); }

QRect TimelineChart::lane_rect(std::size_t lane) const {
    for (const TimelineLanes::Row& row : lanes_->rows())
        for (const std::size_t shown : row.lanes)
            if (shown == lane) return row.rect.toRect();
    return {};
}

}  // namespace shardscope::gui
