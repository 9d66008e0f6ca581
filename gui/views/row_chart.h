// A chart of horizontal bars, a row per strategy: what the memory and the step-time chart have in common.
//
// Names on the left, bars, text at their end, an axis below with ticks of 1, 2 or 5 times a power of ten. One
// row can be selected. Rows that do not fit scroll on the screen; files show them all, as small as need be.
// Mouse: a click selects, the wheel scrolls where rows do not fit and zooms the axis with Ctrl, a drag pans a
// zoomed axis. Keys: arrows, Home and End select, + − zoom, F and Esc fit, Ctrl+C copies the picture.
#pragma once

#include <QPointer>

#include "gui/views/chart.h"

namespace shardscope::gui {

class RowPlot;

class RowChart : public Chart {
    Q_OBJECT

public:
    RowChart(const QString& name, const QString& title, QWidget* parent);

    // The strategy whose row is marked; −1: none. Scrolls to it.
    void set_selected(int strategy);
    int selected() const { return selected_; }

    // From now on both charts' rows begin at the same height, are as tall, and scroll together, as long as
    // they have as many rows; the other one, to the right, leaves out the names then (not in files). For
    // charts side by side with equal heights; undone by destroying either.
    void align_with(RowChart* other);
    RowChart* partner() const { return partner_; }  // null: none

    void fit() override;
    QSize sizeHint() const override;
    QSize minimumSizeHint() const override;

    // Where the row and the bar in it lie, in the widget's coordinates as last laid out: for tests.
    QRectF row_rect(int row) const;
    QRectF bar_rect(int row) const;
    double x_of(double value) const;  // in the axis' unit

protected:
    RowPlot& plot() { return *plot_; }
    const RowPlot& plot() const { return *plot_; }

    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void mouseReleaseEvent(QMouseEvent* event) override;
    void wheelEvent(QWheelEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;

    // Whether rows are strategies, so that one of them can be marked.
    void set_marks(bool marks);

private:
    bool aligned() const;      // with a partner of as many rows
    void frame(bool partner);  // paints anew, the partner too
    void scroll(int first);
    void select_row(int row);

    RowPlot* plot_;  // of the layout
    QPointer<RowChart> partner_;
    int selected_ = -1;
    bool marks_ = true;
    std::optional<QPointF> pressed_;  // where the left button went down
    bool dragged_ = false;
};

}  // namespace shardscope::gui
