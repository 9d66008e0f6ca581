#include "gui/models/evaluation.h"

#include <algorithm>

namespace shardscope::gui {

const StrategyReport* report_of_row(const Evaluation* evaluation,
                                    const std::vector<Strategy>& strategies, int row) {
    if (evaluation == nullptr || row < 0 || row >= static_cast<int>(strategies.size()))
        return nullptr;
    const auto& reports = evaluation->report.strategies;
    const auto index = static_cast<std::size_t>(row);
    const std::string& name = strategies[index].name;
    if (index < reports.size() && reports[index].name == name) return &reports[index];
    const auto found = std::find_if(reports.begin(), reports.end(),
                                    [&](const StrategyReport& r) { return r.name == name; });
    if (found != reports.end()) return &*found;
    // Renamed a moment ago.
    return reports.size() == strategies.size() ? &reports[index] : nullptr;
}

}  // namespace shardscope::gui
