// The search: every candidate by peak memory and throughput, the frontier of the best ones that fit, the
// capacity line, and the document's strategies as numbered markers.
//
// Up to kMostDots points are dots, more are a map of how many fall on each pixel. The wheel zooms at the
// mouse, dragging moves. Keys: Left and Right walk along the frontier, Enter adds that strategy, F and
// Esc show everything, Backspace goes back to the zoom before.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/strategy/strategy.h"
#include "gui/models/evaluation.h"
#include "gui/models/search_map.h"
#include "gui/views/chart.h"

namespace shardscope::gui {

constexpr std::size_t kMostDots = 5'000;

class SearchPlot;

class SearchChart : public Chart {
    Q_OBJECT

public:
    explicit SearchChart(QWidget* parent = nullptr);  // objectName "pareto"

    // Not owned, must live as long as the chart (SearchTask::map()); null: no search.
    void set_map(const SearchMap* map);
    // Draws what the map has new: for SearchTask::advanced. Axes follow until the user zooms.
    void update_points();
    // What the line under the title says of the search (SearchTask::status_text()), and what the empty
    // chart says (SearchTask::empty_text()).
    void set_status(const QString& status, const QString& empty);
    // The points are of an older state of the scenario: they are drawn pale, and the subtitle says so.
    void set_stale(bool stale);

    // The document's strategies, numbered from 1 as in the table; null: none.
    void set_evaluation(std::shared_ptr<const Evaluation> evaluation);
    void set_selected(int row);  // −1: none

    // Where a figure is, and which marker is at a point, in pixels of the widget; −1: none.
    QPointF place_of(Bytes peak, double throughput) const;
    int marker_at(const QPointF& point) const;
    // The point of the frontier that the keys have walked to.
    const std::optional<SearchPoint>& current() const { return current_; }

    QString tooltip_at(const QPointF& point) const override;
    QString text() const override;
    void fit() override;

signals:
    // The user wants this candidate among the document's strategies.
    void strategy_chosen(const shardscope::Strategy& strategy);

protected:
    void rebuild() override;
    void wheelEvent(QWheelEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseReleaseEvent(QMouseEvent* event) override;
    void mouseDoubleClickEvent(QMouseEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;

private:
    struct Zoom {
        QCPRange x, y;
        bool operator==(const Zoom& o) const { return x == o.x && y == o.y; }
    };
    Zoom zoom() const;
    Zoom whole() const;  // what fit() shows
    void show_zoom(const Zoom& zoom);
    void remember_zoom();
    std::optional<SearchPoint> point_at(const QPointF& point) const;
    void walk(int by);
    void refresh_texts();
    void refresh_markers();

    const SearchMap* map_ = nullptr;
    std::shared_ptr<const Evaluation> evaluation_;
    int selected_ = -1;
    bool stale_ = false, zoomed_ = false;
    QString status_, empty_;
    std::vector<Zoom> zooms_;  // to go back to
    std::optional<Zoom> pressed_;
    QPointF press_;
    std::optional<SearchPoint> current_;
    std::uint64_t generation_ = 0;  // of the map that zooms_ and current_ are of
    SearchPlot* plot_;              // of the axes
};

}  // namespace shardscope::gui
