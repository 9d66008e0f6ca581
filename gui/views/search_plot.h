// What is drawn between the axes of the search: points or their density, frontier, capacity, markers.
#pragma once

#include <optional>
#include <vector>

#include <qcustomplot.h>

#include "gui/models/density.h"
#include "gui/models/search_map.h"
#include "gui/views/theme.h"

namespace shardscope::gui {

class SearchPlot : public QCPAbstractPlottable {
    Q_OBJECT

public:
    // One of the document's strategies.
    struct Marker {
        int row = 0;
        double gib = 0, throughput = 0;
        bool fits = true;
    };
    static constexpr double kMarkerRadius = 7.5;

    SearchPlot(QCPAxis* x, QCPAxis* y);

    Theme theme;
    const SearchMap* map = nullptr;
    Bytes capacity;  // 0: no line
    std::vector<Marker> markers;
    int selected = -1;                   // row
    std::optional<SearchPoint> current;  // with a ring
    bool pale = false;
    QString sentence;  // in the middle, instead of points

    // Where a marker is drawn: at the right edge when its memory is beyond the axis.
    QPointF marker_place(const Marker& marker) const;

    // Colours of points, the same in every theme.
    static QColor fitting_colour() { return QColor(0x2A, 0x86, 0xC8); }
    static QColor beyond_colour() { return QColor(0x8C, 0x92, 0x9B); }
    static QColor marker_colour() { return QColor(0xE6, 0x9F, 0x00); }

    double selectTest(const QPointF&, bool, QVariant*) const override { return -1; }
    QCPRange getKeyRange(bool& found, QCP::SignDomain) const override;
    QCPRange getValueRange(bool& found, QCP::SignDomain, const QCPRange&) const override;

protected:
    void draw(QCPPainter* painter) override;
    void drawLegendIcon(QCPPainter*, const QRectF&) const override {}

private:
    void draw_dots(QCPPainter& painter, const QRect& area) const;
    void draw_density(QCPPainter& painter, const QRect& area);
    void colour_density(double scale);
    void draw_frontier(QCPPainter& painter) const;
    void draw_capacity(QCPPainter& painter, const QRect& area) const;
    void draw_markers(QCPPainter& painter) const;
    void draw_current(QCPPainter& painter) const;
    void draw_sentence(QCPPainter& painter, const QRect& area) const;
    QPointF place(double gib, double throughput) const;

    Density density_;
    QImage raster_;
    double raster_capacity_ = -1;
};

}  // namespace shardscope::gui
