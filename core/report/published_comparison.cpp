#include "core/report/published_comparison.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/report/figures.h"
#include "core/report/text_table.h"

namespace shardscope {
namespace {

Bytes category(const MemoryUse& memory, Category category) {
    return memory.categories[static_cast<std::size_t>(category)];
}

Bytes memory_of_quantity(const MemoryUse& memory, PublishedQuantity quantity) {
    if (quantity == PublishedQuantity::model_states)
        return category(memory, Category::parameters) + category(memory, Category::gradients) +
               category(memory, Category::optimizer_states);
    if (quantity == PublishedQuantity::reserved_memory)
        return memory.peak - category(memory, Category::runtime);
    return memory.peak;
}

// Empty for a rank that there is not. Above kExpandedRanks an entry stands for several ranks.
std::optional<double> memory_in_bytes(const PublishedFigure& figure, const Result& result) {
    std::optional<double> largest;
    for (const RankTrace& trace : result.ranks) {
        const int last = trace.rank.value + trace.multiplicity - 1;
        if (figure.rank && (*figure.rank < trace.rank || figure.rank->value > last)) continue;
        const auto bytes =
            static_cast<double>(memory_of_quantity(trace.memory, figure.quantity).value);
        largest = std::max(largest.value_or(0), bytes);
    }
    return largest;
}

std::optional<double> known(double value) {
    return std::isfinite(value) && value > 0 ? std::optional(value) : std::nullopt;
}

std::optional<double> ours_in_base_units(const PublishedFigure& figure, const Result& result,
                                         const Scenario& scenario) {
    switch (figure.quantity) {
        case PublishedQuantity::step_time:
            return known(result.step_time.value);
        case PublishedQuantity::tokens_per_s_per_gpu:
            return known(result.tokens_per_s_per_gpu);
        case PublishedQuantity::mfu:
            return known(result.mfu);
        case PublishedQuantity::flops_per_gpu:
            return known(result.mfu *
                         scenario.cluster.device.peak_of(scenario.training.arithmetic()).value);
        default:
            return memory_in_bytes(figure, result);
    }
}

PublishedComparison compare_figure(const PublishedFigure& figure, const StrategyReport& strategy,
                                   const Scenario& scenario) {
    PublishedComparison comparison{figure, {}, {}};
    if (!strategy.simulated) return comparison;
    const auto ours = ours_in_base_units(figure, *strategy.simulated, scenario);
    if (!ours) return comparison;
    const double published = in_base_units(figure);
    comparison.ours = *ours * (figure.value / published);
    comparison.difference = *ours / published - 1;
    return comparison;
}

std::string quantity_text(const PublishedFigure& figure) {
    std::string text(kPublishedQuantities[static_cast<std::size_t>(figure.quantity)]);
    std::ranges::replace(text, '_', ' ');
    return figure.rank ? fmt::format("{} of rank {}", text, figure.rank->value) : text;
}

}  // namespace

std::vector<PublishedComparison> compare_published(const Report& report) {
    std::vector<PublishedComparison> comparisons;
    for (const PublishedFigure& figure : report.scenario.published) {
        const auto strategy =
            std::ranges::find(report.strategies, figure.strategy, &StrategyReport::name);
        if (strategy != report.strategies.end())
            comparisons.push_back(compare_figure(figure, *strategy, report.scenario));
    }
    return comparisons;
}

std::string published_text(const Report& report) {
    TextTable table;
    table.add_column("strategy", TextTable::Align::left);
    table.add_column("published", TextTable::Align::left);
    table.add_column("value");
    table.add_column("ours");
    table.add_column("unit", TextTable::Align::left);
    table.add_column("difference\n%");
    table.add_column("source", TextTable::Align::left);
    for (const PublishedComparison& c : compare_published(report))
        table.add_row({c.figure.strategy, quantity_text(c.figure),
                       fmt::format("{:g}", c.figure.value),
                       c.ours ? fmt::format("{:.4g}", *c.ours) : kUnknown, c.figure.unit,
                       c.difference ? fmt::format("{:+.1f}", 100 * *c.difference) : kUnknown,
                       c.figure.source});
    if (table.empty()) return "";
    return "\nPublished figures beside ours\n\n" + table.to_string();
}

}  // namespace shardscope
