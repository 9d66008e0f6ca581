// One step: what every stage does when, and the memory of one of them under it, on the same axis of time.
//
// Keys: wheel, W and S zoom, A, D, Left and Right pan, Up and Down choose the stage whose memory is
// shown, F zooms to the selection or fits, Esc fits, Backspace goes back to the zoom before, E shows all
// streams and ranks. Dragging selects a range of time.
#pragma once

#include <QElapsedTimer>
#include <memory>
#include <optional>
#include <vector>

#include "gui/models/evaluation.h"
#include "gui/models/timeline_text.h"
#include "gui/views/chart.h"

namespace shardscope::gui {

class MemoryLayers;
class TimelineLabels;
class TimelineLanes;
class TimelineOverlay;
class UnitTicker;

class TimelineChart : public Chart {
    Q_OBJECT

public:
    using TimeRange = gui::TimeRange;

    explicit TimelineChart(QWidget* parent = nullptr);
    ~TimelineChart() override;

    // Shows a step. The visible range stays where the new one is of the same row (a slider moves), and
    // covers all otherwise. One without a timeline says why; null: nothing is selected.
    void set_detail(std::shared_ptr<const StepDetail> detail);
    // Shows a sentence instead: nothing is selected, or why the selected one has no timeline.
    void set_empty(const QString& sentence);
    const std::shared_ptr<const StepDetail>& detail() const { return detail_; }
    const QString& sentence() const { return sentence_; }  // empty: a step is shown

    TimeRange visible() const { return visible_; }
    void show_range(TimeRange range);  // clamped to the step; can be undone by zoom_back()
    // Zooms by `factor` (> 1: in) with the time at x (pixels of the widget) kept in place.
    void zoom_at(double x, double factor);
    void zoom_back();
    const TimeRange& selection() const { return selection_; }
    void select_range(TimeRange range);
    // Of all lanes that are shown; the sum of kinds and idle time is the selected duration · lanes.
    RangeTotals selected_totals() const;
    QString totals_text() const;  // of the selection, in lines; empty without one
    bool expanded() const { return expanded_; }
    void set_expanded(bool expanded);  // every stream and rank a row of its own
    std::size_t memory_rank() const { return memory_rank_; }  // index in Trace::ranks
    void set_memory_rank(std::size_t rank);

    // Where a time is, and what is where, in pixels of the widget.
    double x_of(std::int64_t time) const;
    std::int64_t time_at(double x) const;
    QRect lanes_rect() const;
    QRect memory_rect() const;
    QRect lane_rect(std::size_t lane) const;  // of Timeline::lanes(); empty: not shown
    double y_of(Bytes bytes) const;           // in the memory's part

    QString tooltip_at(const QPointF& point) const override;
    QString text() const override;
    void fit() override;

signals:
    void range_selected(qint64 start, qint64 end);  // nanoseconds; both 0: no longer
    void visible_changed();

protected:
    void rebuild() override;
    void resizeEvent(QResizeEvent* event) override;
    void wheelEvent(QWheelEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void mouseReleaseEvent(QMouseEvent* event) override;
    void mouseDoubleClickEvent(QMouseEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void leaveEvent(QEvent* event) override;

private:
    void make_layout();
    void apply_theme();
    void apply_step();   // rows, axes and labels of the data
    void apply_range();  // axes of the visible range
    void refresh();      // draws everything soon
    void refresh_overlay();
    bool shown() const { return detail_ && detail_->timeline && sentence_.isEmpty(); }
    TimeRange clamped(TimeRange range) const;
    // `steady`: one of many small changes, which together are one step back.
    void move_to(TimeRange range, bool steady);
    void pan(double share);
    void point_at(const QPointF& point);
    std::vector<std::size_t> shown_lanes(bool compute) const;
    std::optional<std::size_t> lane_at(const QPointF& point) const;
    QString tooltip_of_lane(std::size_t lane, double x) const;

    std::shared_ptr<const StepDetail> detail_;
    std::shared_ptr<const TimelineText> words_;
    QString sentence_;
    TimeRange visible_{0, 1}, selection_;
    std::vector<TimeRange> before_;  // visible ranges to go back to
    QElapsedTimer moved_;            // since the last steady change
    bool expanded_ = false;
    std::size_t memory_rank_ = 0;
    std::optional<QPointF> pressed_;
    bool dragging_ = false;
    bool drawn_ = false;  // at least one frame

    // Owned by the plot.
    QCPAxisRect *lanes_rect_, *memory_rect_;
    TimelineLanes* lanes_;
    MemoryLayers* memory_;
    TimelineLabels* labels_;
    TimelineOverlay* overlay_;
    QSharedPointer<UnitTicker> time_ticks_, memory_ticks_;
};

}  // namespace shardscope::gui
