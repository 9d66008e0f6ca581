// The search: every candidate by peak memory and throughput, the frontier of the best ones that fit, the
// capacity line, and the document's strategies as numbered markers.
//
// Up to kMostDots points are dots, more a map of how many candidates fall on each pixel.
// Keys: Left/Right walk along the frontier, Enter adds that strategy, F or Esc shows everything,
// Backspace goes back to the zoom before.
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

class SearchChart : public Chart {
    Q_OBJECT

public:
    explicit SearchChart(QWidget* parent = nullptr);  // object name "pareto"

    // Not owned, must live as long as the chart (SearchTask::map()); null: no search.
    void set_map(const SearchMap* map);
    // Draws what the map has new; connect to SearchTask::advanced.
    void update_points();
    // The line under the title: SearchTask::status_text().
    void set_status(const QString& text);
    // The search is of an older state of the scenario: drawn pale, and the subtitle says so.
    void set_stale(bool stale);

    // The document's strategies, numbered from 1 as in the table; null: none.
    void set_evaluation(std::shared_ptr<const Evaluation> evaluation);
    void set_selected(int row);  // −1: none

    QString tooltip_at(const QPointF& point) const override;
    QString text() const override;
    void fit() override;

signals:
    // The user wants this candidate among the document's strategies.
    void strategy_chosen(const shardscope::Strategy& strategy);
};

}  // namespace shardscope::gui
