// Horizontal stacked bars in rows, with names, end labels, an axis, a limit line and markers: the element
// that a RowChart lays out and draws. Knows pixels and values, not what they mean.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "gui/views/chart.h"

namespace shardscope::gui {

struct BarSegment {
    double value = 0;  // length, in the axis' unit
    QColor colour;
    bool hatched = false;  // lines of the colour instead of a filled area
    QString text;          // inside, where it is wide enough
};

struct BarRow {
    QString name;
    int strategy = -1;
    std::vector<BarSegment> segments;
    QString end;                                                                // behind the bar
    enum class Tone : std::uint8_t { plain, muted, alert } tone = Tone::plain;  // of `end`
    QString message;               // instead of a bar, in the alert colour
    std::optional<double> marker;  // ◆, in the axis' unit
    bool marker_hollow = false;
    QString marker_text;  // behind `end`
    double total() const;
};

struct BarAxis {
    QString unit;
    double end = 1;  // shown when nothing is zoomed: [0, end]; bars beyond it are broken
    std::optional<double> limit;  // the dashed line; beyond it bars are hatched
    QString limit_text;
    bool limit_beyond = false;     // the limit is far outside: it stands behind a break of the axis
    bool labels_in_column = true;  // end labels in one column, else right behind each bar
};

class RowPlot : public QCPLayoutElement {
    Q_OBJECT

public:
    static constexpr double kMargin = 10, kGap = 8;
    static constexpr double kBeyond = 26;  // between the axis and a limit behind its break

    explicit RowPlot(Chart* chart);

    void set_rows(std::vector<BarRow> rows, BarAxis axis);
    const std::vector<BarRow>& rows() const { return rows_; }
    const BarAxis& axis() const { return axis_; }
    Theme theme;
    int marked = -1;     // strategy whose row is highlighted
    QString empty_text;  // without rows
    bool empty_is_error = false;
    std::function<bool()> names_elsewhere;  // empty: they are not

    // Where things are since the last layout.
    QRectF row_rect(int row) const;               // empty: scrolled out
    QRectF bar_rect(int row) const;               // as drawn, clipped to the axis
    int row_at(double y) const;                   // −1: none
    const QRectF& area() const { return area_; }  // of the bars
    double x_of(double value) const;
    double value_at(double x) const;

    // Rows that do not fit: the first that is shown.
    int first_row() const { return first_; }
    int visible_rows() const { return shown_; }
    bool scrolls() const { return shown_ < static_cast<int>(rows_.size()); }
    bool scroll_to(int first);  // whether something changed
    bool make_visible(int row);
    // Scrolls to the marked strategy's row: now, where it is laid out already, else as soon as it is. Whether
    // something changed now.
    bool show_marked();

    // The part of the axis that is shown.
    bool zoomed() const { return low_ != 0 || high_ != axis_.end; }
    void zoom(double factor, double at);  // `at` stays where it is
    void pan(double by);
    void fit();

    void update(UpdatePhase phase) override;

protected:
    void draw(QCPPainter* painter) override;
    void applyDefaultAntialiasingHint(QCPPainter* painter) const override;

private:
    void lay_out_rows();
    void lay_out_columns();
    int marked_row() const;               // −1: none
    void keep_marked_in_view();           // on the screen, whose height may have changed
    QString rows_shown(int first) const;  // "1–13 of 100"
    void draw_background(QPainter& painter) const;
    void draw_axis(QPainter& painter) const;
    void draw_bar(QPainter& painter, int row) const;
    void draw_segment_text(QPainter& painter, const BarSegment& segment, QRectF where,
                           std::optional<double> marker) const;
    std::optional<double> marker_x(int row) const;  // of what is in view
    double diamond_height() const;
    // Left out on the screen where the chart beside it has them.
    bool names_shown() const { return all_rows() || !names_elsewhere || !names_elsewhere(); }
    void draw_limit(QPainter& painter) const;
    void draw_labels(QPainter& painter, int row) const;
    void draw_message(QPainter& painter, int row) const;
    void draw_what_is_hidden(QPainter& painter) const;
    void draw_nothing(QPainter& painter) const;
    std::optional<double> limit_x() const;  // where the line stands; empty: out of view
    QColor behind(int row) const;           // its background

    // In files nothing scrolls: rows get as small as they must.
    bool all_rows() const { return chart_->drawing_to_file(); }

    Chart* chart_;  // whose layout this is in
    std::vector<BarRow> rows_;
    BarAxis axis_;
    double low_ = 0, high_ = 1;
    int first_ = 0, shown_ = 0;
    // Which files do not change: the first row on the screen, and how many there are at the last layout.
    int wanted_ = 0, shown_on_screen_ = 0;
    bool shows_marked_ = false;  // at the next layout that has its row
    double row_height_ = 24;
    QFont font_, small_;     // of rows; of ticks
    QRectF area_;            // bars
    double name_width_ = 0;  // column on the left
    double end_width_ = 0,
           marker_width_ = 0;  // columns on the right; 0: no room, or nothing to say
};

}  // namespace shardscope::gui
