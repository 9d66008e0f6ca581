#include "core/report/basis_text.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/nearest.h"
#include "core/report/figures.h"

namespace shardscope {
namespace {

// "43 runs of fsdp on hopper"
std::string runs_text(const AccuracyRow& row) {
    std::string text = fmt::format("{} run{}", row.rows, row.rows == 1 ? "" : "s");
    if (!row.profile.empty()) text += " of " + row.profile;
    if (!row.architecture.empty()) text += " on " + row.architecture;
    return text;
}

// Errors of other profiles are no error bar.
bool is_comparable(const AccuracyRow& row) { return !row.profile.empty(); }

std::string error_text(const AccuracyRow& row) {
    return fmt::format("mean error {:.1f} %, bias {:+.1f} % over {}", 100 * row.mape,
                       100 * row.bias, runs_text(row));
}

// One line of the section: it may hold for strategies of several profiles.
struct Comparison {
    std::optional<AccuracyRow> row, process;
    const char* what;
    std::vector<std::string> profiles;  // without runs of their own
};

std::string comparison_text(const Comparison& comparison) {
    const auto& [row, process, what, profiles] = comparison;
    if (!row) return fmt::format("{}: no measured run to compare with\n", what);
    const std::string of = row->quantity == what ? what : fmt::format("{} {}", row->quantity, what);
    if (!is_comparable(*row))
        return fmt::format("{}: no measured run of {}; of others {}\n", of,
                           profiles.empty() ? "this profile" : "profile " + join_or(profiles),
                           error_text(*row));
    std::string text = fmt::format("{}: {}", of, error_text(*row));
    if (process)
        text += fmt::format(
            "; what a process has beyond it was not measured, so ± is {} of other "
            "profiles' processes, mean error {:.1f} % over {}",
            process->mape > row->mape ? "that" : "its own and not that", 100 * process->mape,
            runs_text(*process));
    return text + "\n";
}

// In the order of the strategies, each once.
class Comparisons {
public:
    void add(const std::optional<AccuracyRow>& row, const char* what, std::string_view profile,
             const std::optional<AccuracyRow>& process = std::nullopt) {
        const auto same = std::ranges::find_if(all_, [&](const Comparison& known) {
            return known.row == row && std::string_view(known.what) == what;
        });
        Comparison& mine =
            same == all_.end() ? all_.emplace_back(Comparison{row, process, what, {}}) : *same;
        if (!profile.empty() && std::ranges::find(mine.profiles, profile) == mine.profiles.end())
            mine.profiles.emplace_back(profile);
    }
    std::string to_string() const {
        std::string text;
        for (const Comparison& comparison : all_) text += comparison_text(comparison);
        return text;
    }

private:
    std::vector<Comparison> all_;
};

// Empty for a report that came without its scenario's strategies.
std::string_view profile_of(const Report& report, const StrategyReport& strategy) {
    for (const Strategy& known : report.scenario.strategies)
        if (known.name == strategy.name) return name_of(known.profile);
    return "";
}

// Why a figure has no error, where that is not for want of measured runs.
std::string without_comparison(const Basis& basis) {
    if (!basis.own.empty())
        return fmt::format("; {} {} not as fitted: no error of such predictions is known",
                           fmt::join(basis.own, ", "), basis.own.size() == 1 ? "is" : "are");
    if (basis.memory || basis.time) return "";
    return "; its profile cannot run this: nothing to compare with";
}

std::string strategy_line(const StrategyReport& strategy) {
    const Result& result = *strategy.simulated;
    return fmt::format("{}: {}, {}; step time {}{}\n", strategy.name,
                       strategy.status == Status::fits ? "fits" : "does not fit",
                       memory_with_error(result), time_with_error(result),
                       without_comparison(*result.basis));
}

}  // namespace

std::string memory_with_error(const Result& result) {
    const Bytes peak = result.peak_memory().peak;
    const MemoryUnit unit(peak);
    if (!result.basis || !result.basis->memory || !is_comparable(*result.basis->memory))
        return fmt::format("{} {}", unit.format(peak), unit.name());
    const Basis& basis = *result.basis;
    const double mape =
        std::max(basis.memory->mape, basis.process ? basis.process->mape : basis.memory->mape);
    const double error = static_cast<double>(peak.value) * mape;
    return fmt::format("{} ± {} {}", unit.format(peak),
                       unit.format(Bytes(static_cast<std::int64_t>(std::llround(error)))),
                       unit.name());
}

std::string time_with_error(const Result& result) {
    const TimeUnit unit(result.step_time);
    const std::string text = fmt::format("{} {}", unit.format(result.step_time), unit.name());
    if (!result.basis || !result.basis->time || !is_comparable(*result.basis->time)) return text;
    return text + fmt::format(" ± {} %", format_percent(result.basis->time->mape));
}

std::string basis_text(const Report& report) {
    std::string lines, constants;
    Comparisons comparisons;
    bool compared = false;
    for (const StrategyReport& strategy : report.strategies) {
        if (!strategy.simulated || !strategy.simulated->basis) continue;
        const Basis& basis = *strategy.simulated->basis;
        constants = basis.constants;
        lines += strategy_line(strategy);
        if (!basis.memory && !basis.time && basis.own.empty()) continue;
        compared = true;
        const std::string_view profile = profile_of(report, strategy);
        if (basis.memory || basis.own.empty())
            comparisons.add(basis.memory, "memory", profile, basis.process);
        if (basis.time || basis.own.empty()) comparisons.add(basis.time, "time", profile);
    }
    if (constants.empty()) return "";
    // Where nothing is, as on CPUs, no line of a strategy says more than the tables.
    if (!compared) lines.clear();
    return fmt::format("\nWhat the figures rest on\n\n{}{}{}\n", lines, comparisons.to_string(),
                       constants);
}

}  // namespace shardscope
