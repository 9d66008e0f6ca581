// What mouse and keyboard do to the timeline, and what it says of the place under the mouse.
#include <QToolTip>
#include <cmath>

#include "gui/views/timeline_chart.h"
#include "gui/views/timeline_overlay.h"

namespace shardscope::gui {
namespace {

constexpr double kTimelineZoomStep = 1.25, kPanStep = 0.15;
constexpr double kDragFrom = 4;   // pixels: less is a click
constexpr double kSpanReach = 2;  // pixels: so near the mouse a span counts as hit

}  // namespace

std::optional<std::size_t> TimelineChart::lane_at(const QPointF& point) const {
    if (!shown()) return std::nullopt;
    for (const TimelineLanes::Row& row : lanes_->rows()) {
        if (!row.rect.contains(point)) continue;
        // Of the streams that share a row, the one that does something there.
        const TimeScale scale = lanes_->scale();
        const auto reach = std::llround(kSpanReach * scale.nanoseconds_per_pixel());
        for (const std::size_t lane : row.lanes)
            if (detail_->timeline->hit(lane, scale.time(point.x()), reach)) return lane;
        return row.lanes.front();
    }
    return std::nullopt;
}

QString TimelineChart::tooltip_of_lane(std::size_t lane, double x) const {
    const Timeline& timeline = *detail_->timeline;
    const TimeScale scale = lanes_->scale();
    const std::int64_t time = scale.time(x);
    const auto hit =
        timeline.hit(lane, time, std::llround(kSpanReach * scale.nanoseconds_per_pixel()));
    if (!hit) return words_->idle(lane, time);
    const std::size_t near =
        timeline.spans(lane, scale.time(x - 0.5), scale.time(x + 0.5) + 1).size();
    return words_->span(lane, timeline.item(lane, *hit), near);
}

QString TimelineChart::tooltip_at(const QPointF& point) const {
    if (!shown()) return sentence_;
    if (memory_->scale().rect.contains(point))
        return words_->memory(memory_rank_, memory_->scale().time(point.x()));
    if (const auto lane = lane_at(point)) return tooltip_of_lane(*lane, point.x());
    return {};
}

QString TimelineChart::text() const {
    if (!shown()) return sentence_;
    QString all = words_->summary();
    if (!selection_.empty()) all += "\n" + totals_text();
    return all;
}

void TimelineChart::point_at(const QPointF& point) {
    const QRectF lanes = lanes_->scale().rect, memory = memory_->scale().rect;
    const bool inside = shown() && point.x() >= lanes.left() && point.x() <= lanes.right() &&
                        point.y() >= lanes.top() && point.y() <= memory.bottom();
    if (!inside && !overlay_->mouse) return;
    overlay_->mouse.reset();
    if (inside) {
        overlay_->mouse = point;
        const std::int64_t time = lanes_->scale().time(point.x());
        overlay_->at_mouse = moment_text(time);
        const MemoryOverTime& bytes = detail_->memory[memory_rank_];
        if (!bytes.empty()) overlay_->at_mouse += " · " + memory_text(bytes.total(bytes.at(time)));
    }
    refresh_overlay();
}

void TimelineChart::wheelEvent(QWheelEvent* event) {
    if (!shown()) return event->ignore();
    const QPoint turned = event->angleDelta();
    if (turned.y() != 0)
        zoom_at(event->position().x(), std::pow(kTimelineZoomStep, turned.y() / 120.0));
    else
        pan(-kPanStep * turned.x() / 120.0);
    event->accept();
}

void TimelineChart::mousePressEvent(QMouseEvent* event) {
    Chart::mousePressEvent(event);
    if (event->button() != Qt::LeftButton || !shown()) return;
    pressed_ = event->position();
    dragging_ = false;
}

void TimelineChart::mouseMoveEvent(QMouseEvent* event) {
    Chart::mouseMoveEvent(event);
    point_at(event->position());
    if (!pressed_) return;
    const QPointF from = *pressed_, to = event->position();
    if (!dragging_ && std::abs(to.x() - from.x()) < kDragFrom) return;
    dragging_ = true;
    select_range({time_at(std::min(from.x(), to.x())), time_at(std::max(from.x(), to.x()))});
}

void TimelineChart::mouseReleaseEvent(QMouseEvent* event) {
    Chart::mouseReleaseEvent(event);
    if (event->button() != Qt::LeftButton || !pressed_) return;
    const QPointF from = *pressed_;
    pressed_.reset();
    if (dragging_) {
        dragging_ = false;
        setAccessibleDescription(text());
        return;
    }
    const std::int64_t time = time_at(from.x());
    if (time < selection_.start || time > selection_.end) select_range({});
    if (const auto lane = lane_at(from)) set_memory_rank(detail_->timeline->lanes()[*lane].rank);
}

void TimelineChart::mouseDoubleClickEvent(QMouseEvent* event) {
    if (!shown() || event->button() != Qt::LeftButton) return;
    selection_.empty() ? fit() : show_range(selection_);
    event->accept();
}

void TimelineChart::keyPressEvent(QKeyEvent* event) {
    if (!shown()) return Chart::keyPressEvent(event);
    // The mouse's place if it is in the chart, else the middle.
    const double x = overlay_->mouse ? overlay_->mouse->x() : lanes_->scale().rect.center().x();
    const std::size_t ranks = detail_->trace->ranks.size();
    switch (event->key()) {
        case Qt::Key_W:
        case Qt::Key_Plus:
            zoom_at(x, kTimelineZoomStep);
            break;
        case Qt::Key_S:
        case Qt::Key_Minus:
            zoom_at(x, 1 / kTimelineZoomStep);
            break;
        case Qt::Key_A:
        case Qt::Key_Left:
            pan(-kPanStep);
            break;
        case Qt::Key_D:
        case Qt::Key_Right:
            pan(kPanStep);
            break;
        case Qt::Key_Up:
            set_memory_rank(memory_rank_ > 0 ? memory_rank_ - 1 : 0);
            break;
        case Qt::Key_Down:
            set_memory_rank(std::min(memory_rank_ + 1, ranks - 1));
            break;
        case Qt::Key_F:
            selection_.empty() ? fit() : show_range(selection_);
            break;
        case Qt::Key_Escape:
            select_range({});
            fit();
            break;
        case Qt::Key_Backspace:
            zoom_back();
            break;
        case Qt::Key_E:
            set_expanded(!expanded_);
            break;
        default:
            return Chart::keyPressEvent(event);
    }
    event->accept();
}

void TimelineChart::leaveEvent(QEvent* event) {
    Chart::leaveEvent(event);
    if (!overlay_->mouse) return;
    overlay_->mouse.reset();
    refresh_overlay();
}

}  // namespace shardscope::gui
