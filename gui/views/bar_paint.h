// The strokes of bar charts. Everything is plain lines and areas, without pattern brushes and clipping, both
// of which SVG files lose.
#pragma once

#include <QPainter>
#include <vector>

#include "gui/views/row_plot.h"

namespace shardscope::gui {

// Ticks of 1, 2 or 5 times a power of ten within [low, high], at most `most` of them (at least 2).
struct Ticks {
    std::vector<double> at;
    int decimals = 0;
};
Ticks ticks_of(double low, double high, int most);

// Diagonal lines within the rectangle.
void hatch(QPainter& painter, const QRectF& rect, const QColor& colour, double spacing = 6);

// ◆ with a halo, kDiamondWidth times as wide as high; hollow: ◇.
constexpr double kDiamondWidth = 0.6;
void draw_diamond(QPainter& painter, const QPointF& centre, double height, const QColor& fill,
                  const QColor& halo, bool hollow);

// Two slanted strokes across a bar, near its right end.
void draw_break(QPainter& painter, const QRectF& bar, const QColor& gap, const QColor& edge);

// Text in one line, elided where it must be.
void draw_text(QPainter& painter, const QRectF& rect, Qt::Alignment alignment, const QString& text,
               Qt::TextElideMode elide = Qt::ElideRight);

}  // namespace shardscope::gui
