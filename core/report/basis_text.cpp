#include "core/report/basis_text.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

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

std::string comparable_text(const std::optional<AccuracyRow>& row, const char* what) {
    if (!row) return fmt::format("{}: no measured run to compare with", what);
    const std::string of = row->quantity == what ? "" : row->quantity + ' ';
    if (!is_comparable(*row))
        return fmt::format(
            "{}{}: no measured run of this profile; of others mean error {:.1f} %, bias "
            "{:+.1f} % over {}",
            of, what, 100 * row->mape, 100 * row->bias, runs_text(*row));
    return fmt::format("{}{}: mean error {:.1f} %, bias {:+.1f} % over {}", of, what,
                       100 * row->mape, 100 * row->bias, runs_text(*row));
}

}  // namespace

std::string memory_with_error(const Result& result) {
    const Bytes peak = result.peak_memory().peak;
    const MemoryUnit unit(peak);
    if (!result.basis || !result.basis->memory || !is_comparable(*result.basis->memory))
        return fmt::format("{} {}", unit.format(peak), unit.name());
    const double error = static_cast<double>(peak.value) * result.basis->memory->mape;
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
    std::vector<std::string> errors;  // each once
    const auto add = [&](const std::optional<AccuracyRow>& row, const char* what) {
        std::string text = comparable_text(row, what) + '\n';
        if (std::ranges::find(errors, text) == errors.end()) errors.push_back(std::move(text));
    };
    for (const StrategyReport& strategy : report.strategies) {
        if (!strategy.simulated || !strategy.simulated->basis) continue;
        const Result& result = *strategy.simulated;
        constants = result.basis->constants;
        if (!result.basis->memory && !result.basis->time) continue;
        lines += fmt::format("{}: {}, {}; step time {}\n", strategy.name,
                             strategy.status == Status::fits ? "fits" : "does not fit",
                             memory_with_error(result), time_with_error(result));
        add(result.basis->memory, "memory");
        add(result.basis->time, "time");
    }
    if (constants.empty()) return "";
    for (const std::string& error : errors) lines += error;
    return fmt::format("\nWhat the figures rest on\n\n{}{}\n", lines, constants);
}

}  // namespace shardscope
