#include "gui/views/bar_paint.h"

#include <algorithm>
#include <cmath>

namespace shardscope::gui {

Ticks ticks_of(double low, double high, int most) {
    Ticks ticks;
    if (!(high > low)) return ticks;
    const double rough = (high - low) / std::max(1, most - 1);
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    double step = 10 * power;
    for (const double factor : {1.0, 2.0, 5.0}) {
        if (factor * power >= rough * (1 - 1e-9)) {
            step = factor * power;
            break;
        }
    }
    ticks.decimals = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
    const auto first = static_cast<std::int64_t>(std::ceil(low / step - 1e-9));
    const auto last = static_cast<std::int64_t>(std::floor(high / step + 1e-9));
    for (std::int64_t i = first; i <= last; ++i) ticks.at.push_back(static_cast<double>(i) * step);
    return ticks;
}

void hatch(QPainter& painter, const QRectF& rect, const QColor& colour, double spacing) {
    if (rect.width() < 1 || rect.height() < 1) return;
    painter.save();
    painter.setRenderHint(QPainter::Antialiasing, true);
    painter.setPen(QPen(colour, 1));
    // Lines x + y = c; those of neighbouring rectangles meet, as c counts from the origin.
    const double from = rect.left() + rect.top(), to = rect.right() + rect.bottom();
    QList<QLineF> lines;
    for (double c = std::ceil(from / spacing) * spacing; c < to; c += spacing) {
        const double left = std::max(rect.left(), c - rect.bottom());
        const double right = std::min(rect.right(), c - rect.top());
        if (right > left) lines.append(QLineF(left, c - left, right, c - right));
    }
    painter.drawLines(lines);
    painter.restore();
}

void draw_diamond(QPainter& painter, const QPointF& centre, double height, const QColor& fill,
                  const QColor& halo, bool hollow) {
    const double h = height / 2, w = h * kDiamondWidth;
    const QPolygonF shape({centre - QPointF(0, h), centre + QPointF(w, 0), centre + QPointF(0, h),
                           centre - QPointF(w, 0)});
    painter.save();
    painter.setRenderHint(QPainter::Antialiasing, true);
    painter.setPen(QPen(halo, hollow ? 4 : 2.5));
    painter.setBrush(hollow ? halo : fill);
    painter.drawPolygon(shape);
    painter.setPen(QPen(fill, hollow ? 1.5 : 0.5));
    painter.drawPolygon(shape);
    painter.restore();
}

void draw_break(QPainter& painter, const QRectF& bar, const QColor& gap, const QColor& edge) {
    const double slant = bar.height() * 0.3, width = 3;
    painter.save();
    painter.setRenderHint(QPainter::Antialiasing, true);
    for (const double x : {bar.right() - 11.0, bar.right() - 5.0}) {
        const double top = bar.top() - 1.5, bottom = bar.bottom() + 1.5;
        painter.setPen(Qt::NoPen);
        painter.setBrush(gap);
        painter.drawPolygon(
            QPolygonF({QPointF(x + slant, top), QPointF(x + slant + width, top),
                       QPointF(x - slant + width, bottom), QPointF(x - slant, bottom)}));
        painter.setPen(QPen(edge, 1));
        painter.drawLine(QPointF(x + slant, top), QPointF(x - slant, bottom));
        painter.drawLine(QPointF(x + slant + width, top), QPointF(x - slant + width, bottom));
    }
    painter.restore();
}

void draw_text(QPainter& painter, const QRectF& rect, Qt::Alignment alignment, const QString& text,
               Qt::TextElideMode elide) {
    const QFontMetricsF metrics(painter.font());
    const QString shown = metrics.horizontalAdvance(text) <= rect.width() + 0.5
                              ? text
                              : metrics.elidedText(text, elide, rect.width());
    painter.drawText(rect, static_cast<int>(alignment) | Qt::TextDontClip | Qt::TextSingleLine,
                     shown);
}

}  // namespace shardscope::gui
