#include "gui/models/run_log.h"

#include <algorithm>

namespace shardscope::gui {

RunSeries* RunLog::find(const QString& strategy) {
    const auto found =
        std::ranges::find(series_, strategy, [](const RunSeries& s) { return s.start.strategy; });
    return found == series_.end() ? nullptr : &*found;
}

RunSeries& RunLog::at(const QString& strategy) {
    if (RunSeries* known = find(strategy)) return *known;
    series_.push_back({});
    series_.back().start.strategy = strategy;
    return series_.back();
}

void RunLog::clear() {
    series_.clear();
    emit changed();
}

void RunLog::add(const RunStarted& event) {
    at(event.strategy).start = event;
    emit changed();
}

void RunLog::add(const RunStep& event) {
    at(event.strategy).steps.push_back(event);
    emit changed();
}

void RunLog::add(const RunOver& event) {
    RunSeries& series = at(event.strategy);
    series.state = event.state;
    series.error = event.error;
    emit changed();
}

void RunLog::end_all() {
    for (RunSeries& series : series_)
        if (series.state == RunState::running) series.state = RunState::cancelled;
    emit changed();
}

}  // namespace shardscope::gui
