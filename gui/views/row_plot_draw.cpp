// How a RowPlot is drawn: from what lies behind to what lies in front.
#include <algorithm>
#include <cmath>

#include "gui/views/bar_paint.h"
#include "gui/views/row_plot.h"

namespace shardscope::gui {
namespace {

constexpr double kLeastText = 34;  // pixels of a segment that has its value inside
constexpr double kBreak = 18;      // that the strokes of a broken bar take

}  // namespace

void RowPlot::applyDefaultAntialiasingHint(QCPPainter* painter) const {
    painter->setAntialiasing(false);
}

void RowPlot::draw(QCPPainter* painter) {
    painter->save();
    if (rows_.empty()) {
        draw_nothing(*painter);
    } else {
        draw_background(*painter);
        draw_axis(*painter);
        painter->setFont(font_);
        for (int row = first_; row < first_ + shown_; ++row) draw_bar(*painter, row);
        draw_limit(*painter);
        for (int row = first_; row < first_ + shown_; ++row) draw_labels(*painter, row);
        draw_what_is_hidden(*painter);
    }
    painter->restore();
}

void RowPlot::draw_nothing(QPainter& painter) const {
    painter.setFont(font_);
    painter.setPen(empty_is_error ? theme.alert : theme.muted);
    painter.drawText(QRectF(rect()).adjusted(kMargin, 4, -kMargin, -4),
                     Qt::AlignLeft | Qt::AlignTop | Qt::TextWordWrap, empty_text);
}

void RowPlot::draw_background(QPainter& painter) const {
    for (int row = first_; row < first_ + shown_; ++row) {
        if (behind(row) == theme.panel) continue;
        painter.fillRect(row_rect(row), theme.selection);
        painter.fillRect(QRectF(row_rect(row).topLeft(), QSizeF(3, row_height_)), theme.accent);
    }
}

void RowPlot::draw_axis(QPainter& painter) const {
    painter.setFont(small_);
    const QFontMetricsF metrics(small_);
    const double widest = metrics.horizontalAdvance(QLocale::c().toString(high_, 'f', 0)) + 12;
    const Ticks ticks =
        ticks_of(low_, high_, std::max(3, static_cast<int>(area_.width() / widest)));
    const double bottom = area_.bottom() + 1;
    const QRectF unit(area_.right() + 4, bottom + 4, metrics.horizontalAdvance(axis_.unit) + 2,
                      metrics.height());
    for (const double value : ticks.at) {
        const double x = std::round(x_of(value));
        painter.fillRect(QRectF(x, area_.top(), 1, area_.height()), theme.grid);
        const QString text = QLocale::c().toString(value, 'f', ticks.decimals);
        const double half = metrics.horizontalAdvance(text) / 2;
        if (x + half > unit.left() - 2 && unit.right() <= rect().right()) continue;
        painter.setPen(theme.muted);
        draw_text(painter, QRectF(x - half, unit.top(), 2 * half + 1, unit.height()),
                  Qt::AlignCenter, text);
    }
    painter.fillRect(QRectF(area_.left(), bottom, area_.width(), 1), theme.grid);
    painter.setPen(theme.muted);
    if (unit.right() <= rect().right())
        draw_text(painter, unit, Qt::AlignLeft | Qt::AlignVCenter, axis_.unit);
    if (!axis_.limit_beyond) return;
    // The axis goes on behind a break.
    painter.setPen(theme.muted);
    for (const double x : {area_.right() + 3, area_.right() + 7})
        painter.drawLine(QPointF(x + 2, bottom - 4), QPointF(x - 2, bottom + 4));
}

void RowPlot::draw_bar(QPainter& painter, int row) const {
    const QRectF bar = bar_rect(row);
    if (bar.width() <= 0) return;
    const BarRow& data = rows_[static_cast<std::size_t>(row)];
    const bool broken = x_of(data.total()) > area_.right() + 0.5;
    const double limit = axis_.limit && !axis_.limit_beyond ? x_of(*axis_.limit) : bar.right();
    double at = 0;
    std::vector<QRectF> where;
    for (const BarSegment& segment : data.segments) {
        const double left = std::clamp(std::round(x_of(at)), bar.left(), bar.right());
        at += segment.value;
        const double right = std::clamp(std::round(x_of(at)), bar.left(), bar.right());
        const QRectF rect(left, bar.top(), right - left, bar.height());
        where.push_back(rect);
        if (rect.width() <= 0) continue;
        if (!segment.hatched) painter.fillRect(rect, segment.colour);
        if (segment.hatched) hatch(painter, rect, theme.muted, 5);
        // A gap between neighbours, unless it would be all there is.
        if (right < bar.right() && rect.width() >= 3)
            painter.fillRect(QRectF(right - 1, bar.top(), 1, bar.height()), behind(row));
    }
    if (bar.right() > limit + 1)
        hatch(painter, QRectF(QPointF(std::max(bar.left(), limit), bar.top()), bar.bottomRight()),
              QColor(0, 0, 0, 150));
    painter.setPen(QPen(theme.frame, 1));
    painter.setBrush(Qt::NoBrush);
    painter.drawRect(bar.adjusted(0, 0, -1, -1));
    if (broken) draw_break(painter, bar, behind(row), theme.frame);
    for (std::size_t i = 0; i < where.size(); ++i) {
        if (broken) where[i].setRight(std::min(where[i].right(), bar.right() - kBreak));
        draw_segment_text(painter, data.segments[i], where[i], marker_x(row));
    }
}

void RowPlot::draw_segment_text(QPainter& painter, const BarSegment& segment, QRectF where,
                                std::optional<double> marker) const {
    if (segment.text.isEmpty() || segment.hatched) return;
    // What crosses the segment leaves the larger of its two sides.
    const auto avoid = [&](double x, double half) {
        if (where.right() <= x - half || where.left() >= x + half) return;
        if (where.right() - x > x - where.left())
            where.setLeft(x + half);
        else
            where.setRight(x - half);
    };
    const std::optional<double> limit = axis_.limit_beyond ? std::nullopt : limit_x();
    if (limit) avoid(*limit, 3);
    if (marker) avoid(*marker, diamond_height() * kDiamondWidth / 2 + 2);
    const QFontMetricsF metrics(font_);
    const double width = metrics.horizontalAdvance(segment.text);
    if (where.width() < std::max(kLeastText, width + 6) || where.height() < metrics.ascent())
        return;
    if (limit && where.left() >= *limit) {  // on plain ground, not on hatching
        QRectF patch(0, 0, width + 6, where.height() - 4);
        patch.moveCenter(where.center());
        painter.fillRect(patch, segment.colour);
    }
    painter.setPen(Theme::text_on(segment.colour));
    draw_text(painter, where, Qt::AlignCenter, segment.text);
}

void RowPlot::draw_limit(QPainter& painter) const {
    const std::optional<double> x = limit_x();
    if (!x) return;
    const double top = area_.top() - 2, bottom = area_.bottom() + 1;
    painter.fillRect(QRectF(*x - 1, top, 4, bottom - top), theme.panel);
    for (int row = first_; row < first_ + shown_; ++row)
        painter.fillRect(QRectF(*x - 1, row_rect(row).top(), 4, row_height_), behind(row));
    for (double y = top; y < bottom; y += 9)
        painter.fillRect(QRectF(*x, y, 2, std::min(6.0, bottom - y)), colour(kAlertColour));
    painter.setFont(small_);
    painter.setPen(theme.alert);
    const QFontMetricsF metrics(small_);
    const double width =
        std::min<double>(rect().width(), metrics.horizontalAdvance(axis_.limit_text));
    const double left = std::clamp(*x + 1 - width / 2, static_cast<double>(rect().left()),
                                   std::max<double>(rect().left(), rect().right() - width - 2));
    draw_text(painter, QRectF(left, rect().top() + 1, width + 1, metrics.height()),
              Qt::AlignLeft | Qt::AlignVCenter, axis_.limit_text);
    painter.setFont(font_);
}

void RowPlot::draw_labels(QPainter& painter, int row) const {
    const BarRow& data = rows_[static_cast<std::size_t>(row)];
    const QRectF whole = row_rect(row), bar = bar_rect(row);
    painter.setPen(theme.text);
    // Strategies differ at the end of their names as often as at the beginning.
    if (names_shown())
        draw_text(painter,
                  QRectF(rect().left() + kMargin, whole.top(), name_width_ + 1, whole.height()),
                  Qt::AlignRight | Qt::AlignVCenter, data.name, Qt::ElideMiddle);
    if (!data.message.isEmpty()) return draw_message(painter, row);
    double left = area_.right() + kGap + (axis_.limit_beyond ? kBeyond : 0);
    if (!axis_.labels_in_column) left = std::max(bar.right(), area_.left()) + kGap;
    if (const std::optional<double> x = marker_x(row)) {
        const double height = diamond_height();
        draw_diamond(painter, QPointF(*x, whole.center().y()), height, theme.text, theme.panel,
                     data.marker_hollow);
        left = std::max(left, *x + height * kDiamondWidth / 2 + kGap);
    }
    if (end_width_ > 0) {
        using Tone = BarRow::Tone;
        painter.setPen(data.tone == Tone::alert   ? theme.alert
                       : data.tone == Tone::muted ? theme.muted
                                                  : theme.text);
        const double width =
            axis_.labels_in_column ? end_width_ : QFontMetricsF(font_).horizontalAdvance(data.end);
        if (!axis_.labels_in_column)  // among the lines of the grid
            painter.fillRect(QRectF(left - 2, whole.top(), width + 4, whole.height()), behind(row));
        draw_text(painter, QRectF(left, whole.top(), width + 1, whole.height()),
                  Qt::AlignLeft | Qt::AlignVCenter, data.end);
        left += width + kGap;
    }
    if (marker_width_ > 0 && !data.marker_text.isEmpty()) {
        painter.setPen(data.marker_hollow ? theme.muted : theme.text);
        draw_text(painter, QRectF(left, whole.top(), marker_width_ + 1, whole.height()),
                  Qt::AlignLeft | Qt::AlignVCenter, data.marker_text);
    }
}

std::optional<double> RowPlot::marker_x(int row) const {
    const std::optional<double>& marker = rows_[static_cast<std::size_t>(row)].marker;
    if (!marker || *marker < low_) return std::nullopt;
    return std::min(x_of(*marker), area_.right());
}

double RowPlot::diamond_height() const { return std::round(row_height_ * 0.66); }

void RowPlot::draw_message(QPainter& painter, int row) const {
    const QRectF whole = row_rect(row);
    const QString& message = rows_[static_cast<std::size_t>(row)].message;
    QRectF where(area_.left(), whole.top(), rect().right() - kMargin - area_.left(),
                 whole.height());
    const double width = std::min(where.width(), QFontMetricsF(font_).horizontalAdvance(message));
    // Over the lines that cross the row.
    painter.fillRect(QRectF(where.left() - 1, whole.top(), width + 6, whole.height()), behind(row));
    painter.setPen(theme.alert);
    draw_text(painter, where.adjusted(2, 0, 0, 0), Qt::AlignLeft | Qt::AlignVCenter, message);
}

void RowPlot::draw_what_is_hidden(QPainter& painter) const {
    if (!scrolls()) return;
    const int rows = static_cast<int>(rows_.size());
    painter.setFont(small_);
    painter.setPen(theme.muted);
    const QFontMetricsF metrics(small_);
    if (names_shown())
        draw_text(
            painter,
            QRectF(rect().left() + kMargin, area_.bottom() + 5, name_width_ + 1, metrics.height()),
            Qt::AlignRight | Qt::AlignVCenter, rows_shown(first_));
    if (all_rows()) return;
    const double x = rect().right() - 5, height = area_.height();
    painter.fillRect(QRectF(x, area_.top(), 4, height), theme.grid);
    painter.fillRect(
        QRectF(x, area_.top() + height * first_ / rows, 4, std::max(8.0, height * shown_ / rows)),
        theme.muted);
}

}  // namespace shardscope::gui
