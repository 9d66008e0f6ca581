#include "gui/views/timeline_overlay.h"

#include <cmath>

namespace shardscope::gui {
namespace {

constexpr int kPad = 6;

}  // namespace

TimelineLabels::TimelineLabels(QCustomPlot* plot, TimelineLanes& lanes, MemoryLayers& memory)
    : QCPLayerable(plot, "axes"), lanes_(lanes), memory_(memory) {}

void TimelineLabels::applyDefaultAntialiasingHint(QCPPainter* painter) const {
    painter->setAntialiasing(true);
}

int TimelineLabels::left_width() const {
    const QFontMetrics metrics(mParentPlot->font());
    int width = metrics.horizontalAdvance(memory_of) + metrics.horizontalAdvance("000.0") + 8;
    for (const TimelineLanes::Row& row : lanes_.rows())
        width = std::max(width, metrics.horizontalAdvance(row.label));
    return width + 2 * kPad + 4;
}

std::vector<TimelineLabels::Amount> TimelineLabels::amounts() const {
    std::vector<Amount> amounts;
    if (memory_.empty()) return amounts;
    const auto number = [&](Bytes bytes) {
        return QString::number(static_cast<double>(bytes.value) / memory_per_unit, 'f', 1);
    };
    if (memory_.shows_capacity())
        amounts.push_back({memory_.capacity(),
                           number(memory_.capacity()) + " " + memory_unit + " usable",
                           theme.alert});
    const Bytes peak = memory_.peak().total();
    amounts.push_back({memory_.planned(), "planned " + number(memory_.planned()), theme.muted});
    amounts.push_back({peak, "peak " + number(peak), theme.text});
    return amounts;
}

int TimelineLabels::right_width() const {
    const QFontMetrics metrics(mParentPlot->font());
    int width = metrics.horizontalAdvance(step_time);
    for (const Amount& amount : amounts())
        width = std::max(width, metrics.horizontalAdvance(amount.text));
    return width + 2 * kPad;
}

void TimelineLabels::draw(QCPPainter* painter) {
    painter->setFont(mParentPlot->font());
    if (!sentence.isEmpty()) {
        painter->setPen(theme.muted);
        const QRect all = lanes_.scale().rect.toRect() | memory_.scale().rect.toRect();
        painter->drawText(all.adjusted(kPad, 0, -kPad, 0), Qt::AlignCenter | Qt::TextWordWrap,
                          sentence);
        return;
    }
    draw_rows(*painter);
    draw_memory(*painter);
}

void TimelineLabels::draw_rows(QCPPainter& painter) const {
    const QFontMetricsF metrics(mParentPlot->font());
    const std::vector<TimelineLanes::Row> rows = lanes_.rows();
    double below = -1;  // of the label before
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const bool first = i == 0 || rows[i].rank != rows[i - 1].rank;
        if (rows[i].rect.isEmpty() || rows[i].label.isEmpty()) continue;
        QRectF place = rows[i].rect;
        // Alone beside its rows the name is in the middle of them.
        for (std::size_t k = i + 1; k < rows.size() && rows[k].rank == rows[i].rank; ++k)
            if (rows[k].label.isEmpty() && !rows[k].rect.isEmpty()) place |= rows[k].rect;
        const bool marked = first && rows[i].rank == current && lanes_.ranks() > 1;
        const double top = place.center().y() - metrics.height() / 2;
        const QRectF text(kPad + 4, top, place.left() - 2 * kPad - 4, metrics.height());
        if (marked) painter.fillRect(QRectF(2, place.top(), 3, place.height()), theme.accent);
        if (top < below && !marked) continue;
        below = top + metrics.height() * 0.9;
        painter.setPen(first ? theme.text : theme.muted);
        painter.drawText(text, Qt::AlignRight | Qt::AlignVCenter | Qt::TextDontClip, rows[i].label);
    }
    // At the end of the lanes: when that is, and how many ranks there are that are not shown.
    std::size_t hidden = 0;
    for (std::size_t i = 0; i < rows.size(); ++i)
        if (rows[i].rect.isEmpty() && (i == 0 || rows[i].rank != rows[i - 1].rank)) ++hidden;
    const QRectF lanes = lanes_.scale().rect;
    QRectF line(lanes.right() + kPad, lanes.bottom() - metrics.height(), 1, metrics.height());
    painter.setPen(theme.text);
    painter.drawText(line, Qt::AlignLeft | Qt::TextDontClip, step_time);
    if (hidden == 0) return;
    line.translate(0, -metrics.height());
    painter.setPen(theme.muted);
    painter.drawText(line, Qt::AlignLeft | Qt::TextDontClip, QString("%1 more ↑↓").arg(hidden));
}

void TimelineLabels::draw_memory(QCPPainter& painter) const {
    if (memory_.empty()) return;
    const QFontMetricsF metrics(mParentPlot->font());
    const QRectF rect = memory_.scale().rect;
    painter.setPen(theme.text);
    const double width = rect.left() - 2 * kPad - metrics.horizontalAdvance("000.0");
    const double line = metrics.height();
    const double top = rect.center().y() - 1.5 * line;
    painter.drawText(QRectF(0, top, width, line), Qt::AlignRight | Qt::TextDontClip, "memory");
    painter.drawText(QRectF(0, top + line, width, line), Qt::AlignRight | Qt::TextDontClip,
                     memory_of);
    painter.setPen(theme.muted);
    painter.drawText(QRectF(0, top + 2 * line, width, line), Qt::AlignRight | Qt::TextDontClip,
                     memory_unit);
    const QRectF below(0, rect.bottom() + 5, rect.left() - 20, line);
    painter.drawText(below, Qt::AlignRight | Qt::TextDontClip, "time, " + time_unit);

    // From the top down, pushed apart where they would overlap.
    std::vector<Amount> amounts = this->amounts();
    std::stable_sort(amounts.begin(), amounts.end(),
                     [](const Amount& a, const Amount& b) { return a.bytes > b.bytes; });
    double next = rect.top() - line / 2;
    for (const Amount& amount : amounts) {
        const double y = std::max(next, memory_.y(amount.bytes) - line / 2);
        painter.setPen(amount.colour);
        painter.drawText(QRectF(rect.right() + kPad, y, 1, line), Qt::AlignLeft | Qt::TextDontClip,
                         amount.text);
        next = y + line * 0.95;
    }
}

TimelineOverlay::TimelineOverlay(QCustomPlot* plot, TimelineLanes& lanes, MemoryLayers& memory)
    : QCPLayerable(plot, "overlay"), lanes_(lanes), memory_(memory) {}

void TimelineOverlay::applyDefaultAntialiasingHint(QCPPainter* painter) const {
    painter->setAntialiasing(false);
}

void TimelineOverlay::draw(QCPPainter* painter) {
    painter->setFont(mParentPlot->font());
    if (!selection.empty()) draw_selection(*painter);
    if (mouse) draw_crosshair(*painter);
}

void TimelineOverlay::draw_box(QCPPainter& painter, const QRectF& rect) const {
    QColor fill = theme.panel;
    fill.setAlpha(235);
    painter.setPen(QPen(theme.grid, 1));
    painter.setBrush(fill);
    painter.drawRect(rect);
}

void TimelineOverlay::draw_selection(QCPPainter& painter) const {
    const TimeScale scale = lanes_.scale();
    const double left = std::max(scale.x(selection.start), scale.rect.left());
    const double right = std::min(scale.x(selection.end), scale.rect.right());
    if (right < left) return;
    QColor fill = theme.accent;
    fill.setAlpha(46);
    for (const QRectF& part : {scale.rect, memory_.scale().rect}) {
        painter.fillRect(QRectF(left, part.top(), right - left, part.height()), fill);
        painter.setPen(QPen(theme.accent, 1));
        painter.drawLine(QLineF(left, part.top(), left, part.bottom()));
        painter.drawLine(QLineF(right, part.top(), right, part.bottom()));
    }
    draw_totals(painter, left, right);
}

void TimelineOverlay::draw_totals(QCPPainter& painter, double left, double right) const {
    const QFontMetricsF metrics(mParentPlot->font());
    std::array<double, TotalsTable::kColumns> width{};
    for (const auto& row : totals.rows)
        for (std::size_t c = 0; c < width.size(); ++c)
            width[c] = std::max(width[c], metrics.horizontalAdvance(row.cells[c]) + 12);
    const double mark = 14;
    double wide = mark + kPad;
    for (const double column : width) wide += column;
    const double line = metrics.height() + 1;
    const double high = line * static_cast<double>(totals.rows.size()) + 2 * kPad;
    const QRectF lanes = lanes_.scale().rect;
    const QRectF all(lanes.left(), lanes.top(), lanes.width(),
                     memory_.scale().rect.bottom() - lanes.top());
    if (wide > all.width() || high > all.height()) return;  // the tooltip says it
    // Beside the selection if there is room, on the side that has more.
    const bool after = all.right() - right > left - all.left();
    double x = after ? right + kPad : left - kPad - wide;
    x = std::clamp(x, all.left(), all.right() - wide);
    draw_box(painter, QRectF(x, all.top(), wide, high));
    double y = all.top() + kPad;
    for (const auto& row : totals.rows) {
        if (row.kind && *row.kind != SpanKind::wait)
            painter.fillRect(QRectF(x + kPad, y + (line - 9) / 2, 9, 9),
                             colour(span_kind_colour(*row.kind)));
        painter.setPen(row.kind ? theme.text : theme.muted);
        double at = x + mark + kPad;
        for (std::size_t c = 0; c < width.size(); ++c) {
            painter.drawText(QRectF(at, y, width[c] - 12, line),
                             (c == 0 ? Qt::AlignLeft : Qt::AlignRight) | Qt::TextDontClip,
                             row.cells[c]);
            at += width[c];
        }
        y += line;
    }
}

void TimelineOverlay::draw_crosshair(QCPPainter& painter) const {
    const QRectF lanes = lanes_.scale().rect, memory = memory_.scale().rect;
    painter.setPen(QPen(theme.text, 1, Qt::DotLine));
    for (const QRectF& part : {lanes, memory})
        painter.drawLine(QLineF(mouse->x(), part.top(), mouse->x(), part.bottom()));
    if (memory.contains(*mouse))
        painter.drawLine(QLineF(memory.left(), mouse->y(), memory.right(), mouse->y()));
    const QFontMetricsF metrics(mParentPlot->font());
    const double width = metrics.horizontalAdvance(at_mouse) + 2 * kPad;
    double x = mouse->x() + 4;
    if (x + width > memory.right()) x = mouse->x() - 4 - width;
    const QRectF box(x, memory.top() + 1, width, metrics.height() + 2);
    draw_box(painter, box);
    painter.setPen(theme.text);
    painter.drawText(box, Qt::AlignCenter | Qt::TextDontClip, at_mouse);
}

}  // namespace shardscope::gui
