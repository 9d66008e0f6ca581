#include "core/report/variation_text.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/report/figures.h"
#include "core/report/text_table.h"

namespace shardscope {
namespace {

// "kernels ± 5 %, ranks ± 2 %, rank 3 × 1.5, seed 1"
std::string disturbance_text(const Disturbance& disturbance) {
    std::string text;
    if (disturbance.kernel_jitter > 0)
        text += fmt::format("kernels ± {:g} %, ", 100 * disturbance.kernel_jitter);
    if (disturbance.rank_jitter > 0)
        text += fmt::format("ranks ± {:g} %, ", 100 * disturbance.rank_jitter);
    for (const Straggler& straggler : disturbance.stragglers)
        text += fmt::format("rank {} × {:g}, ", straggler.rank.value, straggler.factor);
    return text + fmt::format("seed {}", disturbance.seed);
}

}  // namespace

std::string variation_text(const Report& report) {
    Seconds largest;
    const StepVariation* first = nullptr;
    for (const StrategyReport& strategy : report.strategies)
        if (strategy.simulated && strategy.simulated->variation) {
            if (first == nullptr) first = &*strategy.simulated->variation;
            largest = std::max(largest, strategy.simulated->variation->p95);
        }
    if (first == nullptr) return "";
    const TimeUnit unit(largest);
    TextTable table;
    table.add_column("strategy", TextTable::Align::left);
    table.add_column("steps");
    table.add_column(fmt::format("all alike\n{}", unit.name()));
    table.add_column(fmt::format("mean\n{}", unit.name()));
    table.add_column("longer\n%");
    for (const char* part : {"5 %", "50 %", "95 %"})
        table.add_column(fmt::format("{} below\n{}", part, unit.name()));
    for (const StrategyReport& strategy : report.strategies) {
        if (!strategy.simulated || !strategy.simulated->variation) continue;
        const Result& result = *strategy.simulated;
        const StepVariation& variation = *result.variation;
        table.add_row({strategy.name, format_count(std::int64_t{variation.steps}),
                       unit.format(result.step_time), unit.format(variation.mean),
                       fmt::format("{:+.1f}", 100 * (variation.mean / result.step_time - 1)),
                       unit.format(variation.p5), unit.format(variation.p50),
                       unit.format(variation.p95)});
    }
    return fmt::format("\nStep time where ranks do not run alike: {}\n\n{}",
                       disturbance_text(first->disturbance), table.to_string());
}

}  // namespace shardscope
