// The charts of a workspace, kept up to date with it: in the window and, without one, for files.
#pragma once

#include <vector>

#include "gui/session/workspace.h"
#include "gui/views/memory_chart.h"
#include "gui/views/search_chart.h"
#include "gui/views/step_chart.h"
#include "gui/views/timeline_chart.h"

namespace shardscope::gui {

class ChartSet : public QObject {
    Q_OBJECT

public:
    // The charts are children of `parent` (null: of nobody, and then live as long as this object).
    ChartSet(Workspace& workspace, QWidget* parent);
    ~ChartSet() override;

    MemoryChart& memory() { return *memory_; }  // of every strategy
    StepChart& time() { return *time_; }        // the same rows
    SearchChart& search() { return *search_; }  // "pareto"
    TimelineChart& timeline() { return *timeline_; }
    MemoryChart& ranks() { return *ranks_; }  // of the selected strategy, rank by rank
    std::vector<Chart*> all() { return {memory_, time_, search_, timeline_, ranks_}; }
    Chart* named(const QString& name);  // a word of --chart; null: there is none

    void set_theme(const Theme& theme);
    // The chart of ranks is kept up to date while it is shown only; call this when it appears.
    void show_ranks();

private:
    void show_evaluation();
    void show_selection();
    void show_search();
    void show_search_state();
    void connect_all();

    Workspace& workspace_;
    bool owned_;
    MemoryChart *memory_, *ranks_;
    StepChart* time_;
    SearchChart* search_;
    TimelineChart* timeline_;
};

}  // namespace shardscope::gui
