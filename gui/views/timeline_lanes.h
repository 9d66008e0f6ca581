// The Gantt lanes: a row of pixels for what a rank computes and one for its communication.
//
// Every pixel column of a row has the colour of what took most of its time, so a frame costs the same for
// a hundred spans and for a million. A column that is busy for less than half its time is lower instead.
#pragma once

#include <memory>
#include <vector>

#include "gui/models/timeline_text.h"
#include "gui/views/timeline_paint.h"

namespace shardscope::gui {

class TimelineLanes : public QCPAbstractPlottable {
    Q_OBJECT

public:
    struct Row {
        std::size_t rank = 0;            // index in Trace::ranks
        std::vector<std::size_t> lanes;  // of Timeline::lanes()
        QString label;                   // of the first row of a rank; of the others when expanded
        QRectF rect;                     // empty: scrolled away
    };

    TimelineLanes(QCPAxis* time, QCPAxis* value);

    void set_detail(std::shared_ptr<const StepDetail> detail,
                    std::shared_ptr<const TimelineText> text);
    void set_theme(const Theme& theme) { theme_ = theme; }
    void set_range(const TimeRange& range) { range_ = range; }
    void set_expanded(bool expanded) { expanded_ = expanded; }
    void set_current(std::size_t rank) { current_ = rank; }  // kept in sight

    TimeScale scale() const;
    // Where everything is now.
    std::vector<Row> rows() const;
    int wanted_height() const;
    std::size_t ranks() const { return detail_ ? detail_->trace->ranks.size() : 0; }

    double selectTest(const QPointF&, bool, QVariant*) const override { return -1; }
    QCPRange getKeyRange(bool& found, QCP::SignDomain) const override;
    QCPRange getValueRange(bool& found, QCP::SignDomain, const QCPRange&) const override;

protected:
    void draw(QCPPainter* painter) override;
    void drawLegendIcon(QCPPainter*, const QRectF&) const override {}

private:
    std::vector<Row> all_rows() const;
    void fill_columns(const Row& row, std::vector<TimelineColumn>& columns) const;
    void draw_columns(QCPPainter& painter, const Row& row) const;
    void draw_tasks(QCPPainter& painter, const Row& row) const;
    void draw_spans(QCPPainter& painter, const Row& row) const;
    // Text in the middle of the visible part of a bar, where it fits.
    void draw_label(QCPPainter& painter, const QRectF& bar, const QString& text,
                    SpanKind kind) const;
    QRectF bar(const Row& row, std::int64_t start, std::int64_t end) const;

    std::shared_ptr<const StepDetail> detail_;
    std::shared_ptr<const TimelineText> text_;
    Theme theme_ = Theme::light();
    TimeRange range_{0, 1};
    bool expanded_ = false;
    std::size_t current_ = 0;
};

}  // namespace shardscope::gui
