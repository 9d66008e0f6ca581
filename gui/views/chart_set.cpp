#include "gui/views/chart_set.h"

namespace shardscope::gui {
namespace {

std::optional<MeasuredMemory> memory_of(const std::optional<MeasuredRow>& row) {
    if (!row) return std::nullopt;
    const MemoryUse& use = row->result->peak_memory();
    return MeasuredMemory{use.peak, row->peak_error, use.categories, row->stale()};
}

std::optional<MeasuredTime> time_of(const std::optional<MeasuredRow>& row) {
    if (!row) return std::nullopt;
    return MeasuredTime{row->result->step_time, row->step_time_error, row->result->time,
                        row->stale()};
}

QString why_no_timeline(const Session& session) {
    const StrategyReport* const report = session.strategy_report(session.selected());
    if (session.selected() < 0) return "no strategy is selected";
    if (report == nullptr) return "updating…";
    if (report->error) return QString::fromUtf8(report->error->what());
    return "updating…";
}

}  // namespace

ChartSet::ChartSet(Workspace& workspace, QWidget* parent)
    : workspace_(workspace),
      owned_(parent == nullptr),
      memory_(new MemoryChart(parent)),
      ranks_(new MemoryChart(parent)),
      time_(new StepChart(parent)),
      search_(new SearchChart(parent)),
      timeline_(new TimelineChart(parent)) {
    ranks_->setObjectName("ranks");
    ranks_->setAccessibleName("Peak memory of every rank");
    search_->set_map(&workspace.search().map());
    connect_all();
    show_evaluation();
    show_selection();
    show_search();
}

ChartSet::~ChartSet() {
    if (!owned_) return;
    for (Chart* chart : all()) delete chart;
}

void ChartSet::connect_all() {
    Session& session = workspace_.session();
    // Follows every evaluation, too.
    connect(&workspace_, &Workspace::measured_changed, this, &ChartSet::show_evaluation);
    connect(&session, &Session::selected_changed, this, &ChartSet::show_selection);
    connect(&session, &Session::detail_changed, this, &ChartSet::show_selection);
    connect(&workspace_.search(), &SearchTask::started, this, &ChartSet::show_search);
    connect(&workspace_.search(), &SearchTask::advanced, this, &ChartSet::show_search);
    connect(&workspace_.search(), &SearchTask::finished, this, &ChartSet::show_search);
    for (Chart* chart : all())
        connect(chart, &Chart::strategy_clicked, this,
                [this](int row) { workspace_.session().select(row); });
    connect(search_, &SearchChart::strategy_chosen, this, [this](const Strategy& strategy) {
        workspace_.document().add_strategy(strategy, "add a candidate of the search");
        workspace_.session().select(
            static_cast<int>(workspace_.document().scenario().strategies.size()) - 1);
    });
}

Chart* ChartSet::named(const QString& name) {
    for (Chart* chart : all())
        if (chart->objectName() == name) return chart;
    return nullptr;
}

void ChartSet::set_theme(const Theme& theme) {
    for (Chart* chart : all()) chart->set_theme(theme);
}

void ChartSet::show_evaluation() {
    const auto& evaluation = workspace_.session().evaluation();
    if (!evaluation) return;
    std::vector<std::optional<MeasuredMemory>> memory;
    std::vector<std::optional<MeasuredTime>> time;
    for (const auto& row : workspace_.measured()) {
        memory.push_back(memory_of(row));
        time.push_back(time_of(row));
    }
    memory_->set_bars(memory_by_strategy(*evaluation, memory));
    time_->set_bars(step_bars(*evaluation, time));
    show_search_state();
    search_->set_evaluation(evaluation);
    show_selection();
}

void ChartSet::show_selection() {
    Session& session = workspace_.session();
    const int row = session.selected();
    memory_->set_selected(row);
    time_->set_selected(row);
    search_->set_selected(row);
    show_ranks();
    const auto& detail = session.detail();
    if (detail && static_cast<int>(detail->strategy) == row) {
        if (timeline_->detail() != detail) timeline_->set_detail(detail);
    } else {
        timeline_->set_empty(why_no_timeline(session));
    }
}

void ChartSet::show_ranks() {
    const auto& evaluation = workspace_.session().evaluation();
    if (!evaluation || !(owned_ || ranks_->isVisible())) return;
    const int row = std::max(0, workspace_.session().selected());
    ranks_->set_bars(memory_by_rank(*evaluation, static_cast<std::size_t>(row)));
}

void ChartSet::show_search() {
    show_search_state();
    search_->update_points();
}

// What the search says of itself, and whether it is of the scenario as it is.
void ChartSet::show_search_state() {
    SearchTask& task = workspace_.search();
    search_->set_status(task.status_text(), task.empty_text());
    const auto& evaluation = workspace_.session().evaluation();
    search_->set_stale(evaluation && task.revision() != 0 && !workspace_.search_is_current());
}

}  // namespace shardscope::gui
