// Title, subtitle and legend of a chart, as an element of its layout that wraps to the width it gets.
#pragma once

#include <functional>
#include <vector>

#include "gui/views/chart.h"

namespace shardscope::gui {

class ChartHeader : public QCPLayoutElement {
    Q_OBJECT

public:
    ChartHeader(QCustomPlot* plot, QString title);

    QString title, subtitle;
    std::vector<LegendEntry> legend;
    Theme theme;
    std::function<int()> least_height;  // empty: none

    int height_for(int width) const;  // without least_height
    QSize minimumOuterSizeHint() const override;
    QSize maximumOuterSizeHint() const override;

protected:
    void draw(QCPPainter* painter) override;
    void applyDefaultAntialiasingHint(QCPPainter* painter) const override;

private:
    // Places title, subtitle and entries in `width`; calls `place(index, rect)`: −2 the title, −1 the
    // subtitle, else the legend entry. Returns the height.
    int lay_out(int width, const std::function<void(int, const QRect&)>& place) const;
};

// A square, hatched or plain, a diamond or a dashed line.
void draw_mark(QPainter& painter, const QRectF& rect, const LegendEntry& entry, const Theme& theme);

}  // namespace shardscope::gui
