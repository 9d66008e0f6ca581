// Memory of one rank over the time of a step, stacked by category, with what it must fit into.
//
// A pixel column shows the moment in it with the most bytes, so that no peak is lost at any zoom.
#pragma once

#include <memory>

#include "gui/models/evaluation.h"
#include "gui/views/timeline_paint.h"

namespace shardscope::gui {

class MemoryLayers : public QCPAbstractPlottable {
    Q_OBJECT

public:
    MemoryLayers(QCPAxis* time, QCPAxis* bytes);

    void set_detail(std::shared_ptr<const StepDetail> detail, std::size_t rank);
    void set_theme(const Theme& theme) { theme_ = theme; }
    void set_range(const TimeRange& range) { range_ = range; }

    TimeScale scale() const;
    double y(Bytes bytes) const;
    // The largest value of the axis: the capacity is inside unless nearly nothing of it is used.
    Bytes top() const;
    bool shows_capacity() const;
    Bytes capacity() const { return detail_->capacity; }
    Bytes planned() const;     // arena and runtime
    MemoryPoint peak() const;  // of the whole step
    bool empty() const;

    double selectTest(const QPointF&, bool, QVariant*) const override { return -1; }
    QCPRange getKeyRange(bool& found, QCP::SignDomain) const override;
    QCPRange getValueRange(bool& found, QCP::SignDomain, const QCPRange&) const override;

protected:
    void draw(QCPPainter* painter) override;
    void drawLegendIcon(QCPPainter*, const QRectF&) const override {}

private:
    void draw_layers(QCPPainter& painter) const;
    void draw_lines(QCPPainter& painter) const;

    std::shared_ptr<const StepDetail> detail_;
    std::size_t rank_ = 0;
    Theme theme_ = Theme::light();
    TimeRange range_{0, 1};
};

}  // namespace shardscope::gui
