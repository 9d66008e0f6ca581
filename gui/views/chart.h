// What all charts have in common: title, legend that wraps, theme, tooltips, keyboard focus, export.
//
// A chart is a QCustomPlot; subclasses put their axis rectangles into row 1 of plotLayout() and rebuild
// them from the data they were given. They show data and emit what the user asks for; they change nothing
// by themselves.
#pragma once

#include <functional>
#include <vector>

#include <qcustomplot.h>

#include "gui/views/theme.h"

namespace shardscope::gui {

struct LegendEntry {
    QString text;
    QColor colour;
    enum class Mark : std::uint8_t { square, hatched, diamond, line } mark = Mark::square;
};

class Chart : public QCustomPlot {
    Q_OBJECT

public:
    // `name`: objectName, and the word that --chart takes; `title`: above the chart, and what screen
    // readers say.
    Chart(const QString& name, const QString& title, QWidget* parent);

    const Theme& theme() const { return theme_; }
    void set_theme(const Theme& theme);
    const QString& title() const { return title_; }
    void set_subtitle(const QString& text);
    void set_legend(std::vector<LegendEntry> entries);

    // What the mouse over a point says, in lines; empty: nothing is there.
    virtual QString tooltip_at(const QPointF& point) const;
    // The last one that was shown: for tests and --dump-tooltip.
    const QString& last_tooltip() const { return tooltip_; }
    // The chart in words, one line per bar or figure: its accessible description.
    virtual QString text() const = 0;
    // Shows everything again after zooming.
    virtual void fit();

    // Draws the chart as large as `size` with that theme, showing the range that is zoomed to. What is on
    // the screen stays as it is. `header_height`: at least so high, for charts side by side.
    void draw_to(QCPPainter& painter, const QSize& size, const Theme& theme, int header_height = 0);
    // Whether draw_to is at work: nothing scrolls in a file.
    bool drawing_to_file() const { return drawing_to_file_; }
    // Of title, subtitle and legend at that width.
    int header_height(int width) const;
    // A file in the format of its name's ending: .png (`scale` pixels per unit of `size`), .svg, .pdf. The
    // same chart gives the same bytes. Throws Error "output" where it cannot be written, "format" for another ending (both exit code 2).
    void export_to(const QString& path, const QSize& size, double scale, const Theme& theme);
    QImage image(const QSize& size, double scale, const Theme& theme);

signals:
    void strategy_clicked(int row);
    void painted();  // after a frame

protected:
    // Makes all plottables anew from the data and theme(): after set_theme, and when subclasses call it.
    virtual void rebuild() = 0;
    // After new data: rebuild(), text() as the accessible description, and a frame as soon as there is time.
    void refresh();
    // At least so high on the screen, asked at every layout.
    void set_least_header_height(std::function<int()> height);

    // Ctrl+C copies the picture, F and Esc fit.
    void keyPressEvent(QKeyEvent* event) override;

    void mouseMoveEvent(QMouseEvent* event) override;
    void leaveEvent(QEvent* event) override;
    void paintEvent(QPaintEvent* event) override;
    void focusInEvent(QFocusEvent* event) override;
    void focusOutEvent(QFocusEvent* event) override;

private:
    void draw_with(QCPPainter& painter, const QSize& size);
    std::vector<QCPRange> ranges() const;  // of all axes
    void set_ranges(const std::vector<QCPRange>& ranges);

    Theme theme_ = Theme::light();
    QString title_, tooltip_;
    bool drawing_to_file_ = false;
    class ChartHeader* header_;  // of the layout; title, subtitle and legend
};

}  // namespace shardscope::gui
