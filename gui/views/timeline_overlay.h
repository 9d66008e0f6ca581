// What lies beside and above the two parts of the timeline: labels, the crosshair, the selection and its
// totals. Two layerables, because the crosshair moves with the mouse and the rest does not.
#pragma once

#include <optional>

#include "gui/views/memory_layers.h"
#include "gui/views/timeline_lanes.h"

namespace shardscope::gui {

// Names of rows on the left, amounts of memory on the right, the unit of time, or a sentence instead.
class TimelineLabels : public QCPLayerable {
    Q_OBJECT

public:
    TimelineLabels(QCustomPlot* plot, TimelineLanes& lanes, MemoryLayers& memory);

    Theme theme = Theme::light();
    QString sentence;  // in the middle of everything, if not empty
    QString time_unit, memory_unit;
    QString step_time;              // at the end of the axis of times
    double memory_per_unit = kGiB;  // bytes
    QString memory_of;              // whose memory is shown
    std::size_t current = 0;        // that rank's row is marked

    // Width that the names need on the left, and the amounts on the right.
    int left_width() const;
    int right_width() const;

protected:
    void applyDefaultAntialiasingHint(QCPPainter* painter) const override;
    void draw(QCPPainter* painter) override;

private:
    struct Amount {
        Bytes bytes;
        QString text;
        QColor colour;
    };
    std::vector<Amount> amounts() const;
    void draw_rows(QCPPainter& painter) const;
    void draw_memory(QCPPainter& painter) const;

    TimelineLanes& lanes_;
    MemoryLayers& memory_;
};

class TimelineOverlay : public QCPLayerable {
    Q_OBJECT

public:
    TimelineOverlay(QCustomPlot* plot, TimelineLanes& lanes, MemoryLayers& memory);

    Theme theme = Theme::light();
    TimeRange selection;
    TotalsTable totals;            // of the selection
    std::optional<QPointF> mouse;  // where the crosshair is
    QString at_mouse;              // what it says

protected:
    void applyDefaultAntialiasingHint(QCPPainter* painter) const override;
    void draw(QCPPainter* painter) override;

private:
    void draw_selection(QCPPainter& painter) const;
    void draw_totals(QCPPainter& painter, double left, double right) const;
    void draw_crosshair(QCPPainter& painter) const;
    void draw_box(QCPPainter& painter, const QRectF& rect) const;

    TimelineLanes& lanes_;
    MemoryLayers& memory_;
};

}  // namespace shardscope::gui
