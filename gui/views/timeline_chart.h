// One step: what every stage does when, and the memory of one of them under it, on the same axis of time.
//
// Keys: wheel, W and S zoom, A, D, Left and Right pan, Up and Down choose the stage whose memory is
// shown, F zooms to the selection or fits, Esc fits, Backspace goes back to the zoom before, E shows all
// streams and ranks. Dragging selects a range of time.
#pragma once

#include <memory>
#include <vector>

#include "gui/models/evaluation.h"
#include "gui/views/chart.h"

namespace shardscope::gui {

class TimelineLanes;
class MemoryLayers;

class TimelineChart : public Chart {
    Q_OBJECT

public:
    // A range of time in nanoseconds from the step's start.
    struct TimeRange {
        std::int64_t start = 0, end = 0;
        bool empty() const { return end <= start; }
        bool operator==(const TimeRange&) const = default;
    };

    explicit TimelineChart(QWidget* parent = nullptr);
    ~TimelineChart() override;

    // Shows a step. The visible range stays where the new one is of the same strategy (a slider moves) and
    // covers all otherwise. Null: set_empty.
    void set_detail(std::shared_ptr<const StepDetail> detail);
    // Shows a sentence instead: nothing is selected, or why the selected one has no timeline.
    void set_empty(const QString& sentence);
    const std::shared_ptr<const StepDetail>& detail() const { return detail_; }

    TimeRange visible() const;
    void show_range(TimeRange range);  // clamped to the step; can be undone by zoom_back()
    // Zooms by `factor` (> 1: in) with the time at x (pixels of the widget) kept in place.
    void zoom_at(double x, double factor);
    void zoom_back();
    const TimeRange& selection() const { return selection_; }
    void select_range(TimeRange range);
    QString totals_text() const;  // of the selection, in lines; empty without one
    bool expanded() const { return expanded_; }
    void set_expanded(bool expanded);                 // every stream and rank a row of its own
    int memory_rank() const { return memory_rank_; }  // index in Trace::ranks
    void set_memory_rank(int rank);

    // Where a time is, and what is where, in pixels of the widget.
    double x_of(std::int64_t time) const;
    std::int64_t time_at(double x) const;
    QRect lanes_rect() const;
    QRect memory_rect() const;
    QRect lane_rect(std::size_t lane) const;  // of Timeline::lanes(); empty: not shown

    QString tooltip_at(const QPointF& point) const override;
    QString text() const override;
    void fit() override;

signals:
    void range_selected(qint64 start, qint64 end);  // nanoseconds; both 0: no longer
    void visible_changed();

protected:
    void rebuild() override;
    void wheelEvent(QWheelEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void mouseReleaseEvent(QMouseEvent* event) override;
    void mouseDoubleClickEvent(QMouseEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void leaveEvent(QEvent* event) override;

private:
    std::shared_ptr<const StepDetail> detail_;
    QString sentence_;
    TimeRange selection_;
    bool expanded_ = false;
    int memory_rank_ = 0;
};

}  // namespace shardscope::gui
