// Published figures of a scenario beside those of a report.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/report/report.h"

namespace shardscope {

struct PublishedComparison {
    PublishedFigure figure;
    std::optional<double> ours;        // simulated, in the figure's unit
    std::optional<double> difference;  // ours / published − 1
};

// Of the strategies that the report has, in the scenario's order. Nothing is ours where the strategy was
// not simulated, and of ranks and rates that it does not have.
std::vector<PublishedComparison> compare_published(const Report& report);

// A table with a heading; empty where nothing is published.
std::string published_text(const Report& report);

}  // namespace shardscope
