#include "gui/views/search_chart.h"

#include <QKeyEvent>
#include <QToolTip>
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/report/figures.h"
#include "gui/views/search_plot.h"

namespace shardscope::gui {
namespace {

constexpr double kPointReach = 8;      // pixels from the mouse to what it points at
constexpr double kMostCapacities = 2;  // that the whole view shows of the memory axis

}  // namespace

SearchChart::SearchChart(QWidget* parent) : Chart("pareto", tr("Search"), parent) {
    auto* rect = new QCPAxisRect(this);
    plotLayout()->addElement(1, 0, rect);
    for (QCPAxis* axis : rect->axes())
        for (QCPLayerable* layerable :
             {static_cast<QCPLayerable*>(axis), static_cast<QCPLayerable*>(axis->grid())})
            layerable->setLayer(layerable == axis ? "axes" : "grid");
    plot_ = new SearchPlot(rect->axis(QCPAxis::atBottom), rect->axis(QCPAxis::atLeft));
    setInteractions(QCP::iRangeDrag | QCP::iRangeZoom);
    rect->setRangeDrag(Qt::Horizontal | Qt::Vertical);
    rect->setRangeZoom(Qt::Horizontal | Qt::Vertical);
    set_status({}, tr("No search yet."));
    rebuild();
    fit();
}

void SearchChart::set_map(const SearchMap* map) {
    map_ = map;
    generation_ = map != nullptr ? map->generation() : 0;
    current_.reset();
    zooms_.clear();
    zoomed_ = false;
    rebuild();
    fit();
}

void SearchChart::update_points() {
    if (map_ != nullptr && generation_ != map_->generation()) {
        generation_ = map_->generation();
        current_.reset();
    }
    rebuild();
    if (!zoomed_) show_zoom(whole());
    replot(rpQueuedReplot);
}

void SearchChart::set_status(const QString& status, const QString& empty) {
    status_ = status;
    empty_ = empty;
    refresh_texts();
    replot(rpQueuedReplot);
}

void SearchChart::set_stale(bool stale) {
    if (stale_ == stale) return;
    stale_ = stale;
    refresh_texts();
    replot(rpQueuedReplot);
}

void SearchChart::set_evaluation(std::shared_ptr<const Evaluation> evaluation) {
    evaluation_ = std::move(evaluation);
    rebuild();
    if (!zoomed_) show_zoom(whole());
    replot(rpQueuedReplot);
}

void SearchChart::set_selected(int row) {
    if (selected_ == row) return;
    selected_ = row;
    refresh_markers();
    replot(rpQueuedReplot);
}

void SearchChart::refresh_texts() {
    set_subtitle(stale_ && !status_.isEmpty() ? tr("of an earlier scenario · ") + status_
                                              : status_);
    plot_->sentence = empty_;
    plot_->pale = stale_;
}

// Strategies that were simulated, whether they fit or not.
void SearchChart::refresh_markers() {
    plot_->selected = selected_;
    plot_->current = current_;
    plot_->markers.clear();
    plot_->capacity = map_ != nullptr && map_->capacity().value > 0 ? map_->capacity() : Bytes();
    if (!evaluation_) return;
    plot_->capacity = evaluation_->report.scenario.cluster.device.memory;
    const auto& strategies = evaluation_->report.strategies;
    for (std::size_t row = 0; row < strategies.size(); ++row) {
        if (!strategies[row].simulated) continue;
        const Result& result = *strategies[row].simulated;
        plot_->markers.push_back({static_cast<int>(row), gib(result.peak_memory().peak),
                                  result.tokens_per_s_per_gpu,
                                  strategies[row].status == Status::fits});
    }
}

void SearchChart::rebuild() {
    plot_->theme = theme();
    plot_->map = map_;
    refresh_markers();
    refresh_texts();
    using Mark = LegendEntry::Mark;
    set_legend({{tr("fits"), SearchPlot::fitting_colour(), Mark::square},
                {tr("does not fit"), SearchPlot::beyond_colour(), Mark::square},
                {tr("best for its memory"), theme().text, Mark::line},
                {tr("your strategies"), SearchPlot::marker_colour(), Mark::square}});
    QCPAxisRect* rect = plot_->keyAxis()->axisRect();
    for (QCPAxis* axis : rect->axes()) {
        axis->setBasePen(QPen(theme().grid));
        axis->setTickPen(Qt::NoPen);
        axis->setSubTicks(false);
        axis->setTickLabelColor(theme().muted);
        axis->setLabelColor(theme().muted);
        axis->setTickLabelFont(font());
        axis->setLabelFont(font());
        axis->setNumberFormat("gb");
        axis->grid()->setPen(QPen(theme().grid, 1));
        axis->grid()->setZeroLinePen(QPen(theme().grid, 1));
    }
    plot_->keyAxis()->setLabel(tr("peak memory per GPU, GiB"));
    const QString unit = map_ != nullptr ? map_->throughput_unit() : "tokens/s/GPU";
    plot_->valueAxis()->setLabel(unit);
    setAccessibleDescription(text());
}

SearchChart::Zoom SearchChart::zoom() const {
    return {plot_->keyAxis()->range(), plot_->valueAxis()->range()};
}

void SearchChart::show_zoom(const Zoom& zoom) {
    // Labels that touch say nothing.
    constexpr int kLabel = 55, kLine = 24, kMostTicks = 7;  // pixels
    plot_->keyAxis()->ticker()->setTickCount(
        std::clamp(viewport().width() / kLabel - 1, 2, kMostTicks));
    plot_->valueAxis()->ticker()->setTickCount(
        std::clamp(viewport().height() / 2 / kLine, 2, kMostTicks));
    plot_->keyAxis()->setRange(zoom.x);
    plot_->valueAxis()->setRange(zoom.y);
}

// All points and markers, but no more memory than kMostCapacities times what a device has: what needs
// more is far from being of use. The capacity line is always there.
SearchChart::Zoom SearchChart::whole() const {
    const double limit = gib(plot_->capacity);
    double memory = 0, throughput = 0;
    if (map_ != nullptr && !map_->empty()) {
        memory = map_->largest_gib();
        throughput = map_->largest_throughput();
    }
    for (const SearchPlot::Marker& marker : plot_->markers) {
        memory = std::max(memory, marker.gib);
        throughput = std::max(throughput, marker.throughput);
    }
    if (limit > 0) memory = std::clamp(memory, 1.25 * limit, kMostCapacities * limit);
    if (memory <= 0) memory = 1;
    if (throughput <= 0) throughput = 1;
    return {QCPRange(0, 1.02 * memory), QCPRange(0, 1.08 * throughput)};
}

void SearchChart::fit() {
    if (zoomed_) zooms_.push_back(zoom());
    zoomed_ = false;
    show_zoom(whole());
    replot(rpQueuedReplot);
}

void SearchChart::remember_zoom() {
    constexpr std::size_t kMostZooms = 50;
    if (zooms_.size() == kMostZooms) zooms_.erase(zooms_.begin());
    zooms_.push_back(zoom());
}

QPointF SearchChart::place_of(Bytes peak, double throughput) const {
    return {plot_->keyAxis()->coordToPixel(gib(peak)),
            plot_->valueAxis()->coordToPixel(throughput)};
}

int SearchChart::marker_at(const QPointF& point) const {
    int found = -1;
    double least = SearchPlot::kMarkerRadius + 2;
    for (const SearchPlot::Marker& marker : plot_->markers) {
        const double distance = QLineF(plot_->marker_place(marker), point).length();
        // The selected one is drawn on top.
        if (distance > least || (distance == least && marker.row != selected_)) continue;
        least = distance;
        found = marker.row;
    }
    return found;
}

std::optional<SearchPoint> SearchChart::point_at(const QPointF& point) const {
    const QRect area = plot_->keyAxis()->axisRect()->rect();
    if (map_ == nullptr || map_->empty() || !area.contains(point.toPoint())) return std::nullopt;
    SearchMap::Place place;
    place.gib = plot_->keyAxis()->pixelToCoord(point.x());
    place.throughput = plot_->valueAxis()->pixelToCoord(point.y());
    place.gib_per_pixel = plot_->keyAxis()->range().size() / area.width();
    place.throughput_per_pixel = plot_->valueAxis()->range().size() / area.height();
    return map_->nearest(place, kPointReach);
}

QString SearchChart::tooltip_at(const QPointF& point) const {
    if (const int row = marker_at(point); row >= 0) {
        const auto& report = evaluation_->report.strategies[static_cast<std::size_t>(row)];
        const Result& result = *report.simulated;
        const Bytes peak = result.peak_memory().peak;
        return QString::fromStdString(
            fmt::format("{}  {}\n{}\nPeak memory\t{:.2f} GiB\t{} bytes\nThroughput\t{} {}", row + 1,
                        report.name, report.layout, gib(peak), format_count(peak.value),
                        format_count(result.tokens_per_s_per_gpu),
                        map_ != nullptr ? map_->throughput_unit() : "per GPU"));
    }
    if (const auto found = point_at(point)) {
        const QString description = map_->description(*found);
        return description + "\n" + tr("Double-click adds it as a strategy");
    }
    return {};
}

QString SearchChart::text() const {
    QString text = title() + ": " + (status_.isEmpty() ? empty_ : status_);
    if (stale_) text += "\n" + tr("The search is of an earlier scenario.");
    if (map_ != nullptr && !map_->empty()) {
        text += QString::fromStdString(fmt::format(
            "\n{} candidates, {} fit into {:.1f} GiB. Best for their memory:",
            format_count(static_cast<std::int64_t>(map_->points().size())),
            format_count(static_cast<std::int64_t>(map_->fitting())), gib(map_->capacity())));
        for (const SearchPoint& point : map_->frontier())
            text += QString::fromStdString(fmt::format("\n{:.1f} GiB, {} {}: {}", gib(point.peak),
                                                       format_count(point.tokens_per_s_per_gpu),
                                                       map_->throughput_unit(),
                                                       map_->strategy(point).name));
    }
    for (const SearchPlot::Marker& marker : plot_->markers)
        text += QString::fromStdString(fmt::format(
            "\nStrategy {}: {:.1f} GiB, {} per second and GPU, {}", marker.row + 1, marker.gib,
            format_count(marker.throughput), marker.fits ? "fits" : "does not fit"));
    return text;
}

void SearchChart::wheelEvent(QWheelEvent* event) {
    const Zoom before = zoom();
    Chart::wheelEvent(event);
    if (zoom() == before) return;
    zooms_.push_back(before);
    zoomed_ = true;
}

void SearchChart::mousePressEvent(QMouseEvent* event) {
    pressed_ = zoom();
    press_ = event->position();
    Chart::mousePressEvent(event);
}

void SearchChart::mouseReleaseEvent(QMouseEvent* event) {
    Chart::mouseReleaseEvent(event);
    if (!pressed_) return;
    const bool moved = QLineF(press_, event->position()).length() >= 3;
    if (moved && !(zoom() == *pressed_)) {
        zooms_.push_back(*pressed_);
        zoomed_ = true;
    } else if (event->button() == Qt::LeftButton && !moved) {
        show_zoom(*pressed_);
        if (const int row = marker_at(event->position()); row >= 0) emit strategy_clicked(row);
    }
    pressed_.reset();
}

void SearchChart::mouseDoubleClickEvent(QMouseEvent* event) {
    pressed_.reset();
    if (marker_at(event->position()) >= 0) return;  // is a strategy already
    if (const auto found = point_at(event->position()))
        emit strategy_chosen(map_->strategy(*found));
}

// To the next point of the frontier; from the best one where there was none.
void SearchChart::walk(int by) {
    if (map_ == nullptr) return;
    const std::vector<SearchPoint> frontier = map_->frontier();
    if (frontier.empty()) return;
    auto index = std::ssize(frontier) - 1;
    if (current_) {
        const auto it =
            std::lower_bound(frontier.begin(), frontier.end(), current_->peak,
                             [](const SearchPoint& p, Bytes peak) { return p.peak < peak; });
        index = std::clamp<std::ptrdiff_t>(it - frontier.begin() + by, 0, index);
    }
    current_ = frontier[static_cast<std::size_t>(index)];
    refresh_markers();
    replot(rpQueuedReplot);
    const QPointF at = place_of(current_->peak, current_->tokens_per_s_per_gpu);
    QToolTip::showText(mapToGlobal(at.toPoint()), tooltip_at(at), this);
}

void SearchChart::keyPressEvent(QKeyEvent* event) {
    switch (event->key()) {
        case Qt::Key_Left:
            return walk(-1);
        case Qt::Key_Right:
            return walk(+1);
        case Qt::Key_Return:
        case Qt::Key_Enter:
            if (current_) emit strategy_chosen(map_->strategy(*current_));
            return;
        case Qt::Key_Backspace:
            if (zooms_.empty()) return;
            show_zoom(zooms_.back());
            zooms_.pop_back();
            zoomed_ = !zooms_.empty();
            replot(rpQueuedReplot);
            return;
        default:
            Chart::keyPressEvent(event);  // F and Esc
    }
}

}  // namespace shardscope::gui
