// What both parts of the timeline paint with: where times are, which times are labelled, and text on bars.
#pragma once

#include <functional>

#include <qcustomplot.h>

#include "gui/models/timeline.h"
#include "gui/views/theme.h"

namespace shardscope::gui {

// Times from left to right of a rectangle.
struct TimeScale {
    TimeRange range;
    QRectF rect;
    double x(std::int64_t time) const {
        return rect.left() + static_cast<double>(time - range.start) /
                                 static_cast<double>(range.duration()) * rect.width();
    }
    std::int64_t time(double x) const;  // rounded, clamped to the range
    double nanoseconds_per_pixel() const {
        return static_cast<double>(range.duration()) / rect.width();
    }
};

// Columns per unit of length that a picture can show: 1, the screen's scale, or 4 for files of lines.
double columns_per_pixel(const QCPPainter& painter);

// Round numbers (1, 2, 5 · 10ⁿ) in one unit for the whole axis.
class UnitTicker : public QCPAxisTicker {
public:
    // Coordinates of the axis times `scale` is what labels say.
    double scale = 1;
    // Pixels of the axis in the picture that is being drawn, and of a tick with its label.
    std::function<int()> length;
    int per_tick = 90;

protected:
    double getTickStep(const QCPRange& range) override;
    QString getTickLabel(double tick, const QLocale& locale, QChar format, int precision) override;

private:
    double step_ = 1;
};

// The unit of an axis of times that shows `range`, and how many of it are a second.
struct AxisUnit {
    QString name;
    double per_second = 1;
};
AxisUnit unit_of(const TimeRange& range);

// A line that is seen on everything: with one of the background's colour around it.
void draw_with_halo(QPainter& painter, const QLineF& line, const QPen& pen, const Theme& theme);

}  // namespace shardscope::gui
