#include "core/report/report_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <variant>

#include <fmt/format.h>

#include "core/report/basis_text.h"
#include "core/report/beside_text.h"
#include "core/report/figures.h"
#include "core/report/published_comparison.h"
#include "core/report/run_text.h"
#include "core/report/runtime_text.h"
#include "core/report/text_table.h"
#include "core/report/variation_text.h"

namespace shardscope {
namespace {

using Align = TextTable::Align;
using Pick = std::optional<Result> StrategyReport::*;

// The units of one report's figures: chosen once, so that all its tables can be compared by eye.
struct Units {
    MemoryUnit memory;
    TimeUnit time;
    std::string samples;  // "tokens", or "samples" for models without a sequence
};

Units report_units(const Report& report) {
    Bytes peak;
    Seconds step;
    for (const StrategyReport& strategy : report.strategies) {
        for (const auto* result : {&strategy.simulated, &strategy.measured}) {
            if (!*result) continue;
            peak = std::max(peak, (*result)->peak_memory().peak);
            if ((*result)->step_time > step) step = (*result)->step_time;
        }
    }
    const bool layers = std::holds_alternative<LayerListSpec>(report.scenario.model.kind);
    return {MemoryUnit(peak), TimeUnit(step), layers ? "samples" : "tokens"};
}

// Adds the row, whose third cell is the strategy's verdict.
void add_strategy_row(TextTable& table, std::vector<std::string> row, Status status) {
    table.add_row(std::move(row));
    table.set_colour(2, status == Status::fits ? Colour::green : Colour::red);
}

std::string plural(int count, const char* noun) {
    return fmt::format("{} {}{}", format_count(std::int64_t{count}), noun, count == 1 ? "" : "s");
}

std::string machine_text(const Cluster& cluster) {
    if (cluster.this_machine) {
        const int threads = cluster.device.threads;
        return fmt::format("{}{} on {}", plural(cluster.world_size(), "rank"),
                           threads > 1 ? " of " + plural(threads, "thread") : "",
                           cluster.nodes > 1 ? plural(cluster.nodes, "host") + " with " +
                                                   plural(cluster.cores, "core") + " each"
                                             : plural(cluster.cores, "core") + " of this machine");
    }
    return fmt::format("{} {} ({} × {})", format_count(std::int64_t{cluster.world_size()}),
                       cluster.device.name.empty() ? "devices" : cluster.device.name,
                       plural(cluster.nodes, "node"), cluster.gpus_per_node);
}

std::string losses_text(const std::vector<double>& losses) {
    if (losses.empty()) return kUnknown;
    return fmt::format("{:.3f} → {:.3f}", losses.front(), losses.back());
}

void add_strategy_columns(TextTable& table) {
    table.add_column("strategy", Align::left);
    table.add_column("layout", Align::left);
    table.add_column("verdict", Align::left);
}

// In the order of Category; broken so that fifteen columns stay readable.
void add_category_columns(TextTable& table, const char* unit) {
    static constexpr std::array<const char*, kCategories> kHeaders{
        "para-\nmeters", "gradi-\nents", "optimizer\nstates", "activa-\ntions", "commu-\nnication",
        "work-\nspace",  "runtime"};
    for (const char* header : kHeaders) table.add_column(fmt::format("{}\n{}", header, unit));
}

TextTable results_table(const Report& report, Pick pick, bool losses) {
    const Units units = report_units(report);
    TextTable table;
    add_strategy_columns(table);
    table.add_column(fmt::format("peak\nmemory\n{}", units.memory.name()));
    add_category_columns(table, units.memory.name());
    table.add_column(fmt::format("step\ntime\n{}", units.time.name()));
    table.add_column(units.samples + "/s");
    table.add_column(units.samples + "/s\nper GPU");
    table.add_column("MFU\n%");
    if (losses) table.add_column("loss\nfirst → last");
    for (const StrategyReport& strategy : report.strategies) {
        std::vector<std::string> row{strategy.name, strategy.layout, verdict_text(strategy)};
        if (const std::optional<Result>& result = strategy.*pick) {
            const MemoryUse& memory = result->peak_memory();
            row.push_back(units.memory.format(memory.peak));
            for (const Bytes bytes : memory.categories) row.push_back(units.memory.format(bytes));
            row.push_back(units.time.format(result->step_time));
            row.push_back(format_count(result->tokens_per_s));
            row.push_back(format_count(result->tokens_per_s_per_gpu));
            row.push_back(result->mfu > 0 ? format_percent(result->mfu) : kUnknown);
            if (losses) row.push_back(losses_text(result->losses));
        } else {
            row.resize(losses ? 16 : 15, kUnknown);
        }
        add_strategy_row(table, std::move(row), strategy.status);
    }
    return table;
}

// Each error once, with the strategies that have it.
std::string errors_text(const Report& report) {
    std::vector<std::pair<std::string, std::string>> errors;  // what, "invalid: names"
    for (const StrategyReport& strategy : report.strategies) {
        if (!strategy.error) continue;
        const std::string what = strategy.error->what();
        const auto same = std::find_if(errors.begin(), errors.end(),
                                       [&](const auto& error) { return error.first == what; });
        if (same != errors.end()) {
            same->second += ", " + strategy.name;
        } else {
            errors.emplace_back(what, verdict_text(strategy) + ": " + strategy.name);
        }
    }
    std::string text;
    for (const auto& [what, strategies] : errors) text += strategies + ": " + what + '\n';
    return text;
}

std::string report_heading(const Report& report) { return heading_text(report) + "\n\n"; }

std::string remarks(const Report& report) {
    const std::string text = remarks_text(report);
    return text.empty() ? text : '\n' + text;
}

TextTable overview_table(const Report& report, const Units& units) {
    TextTable table;
    add_strategy_columns(table);
    table.add_column(fmt::format("memory\npredicted\n{}", units.memory.name()));
    table.add_column(fmt::format("memory\nmeasured\n{}", units.memory.name()));
    table.add_column("difference\nbytes");
    table.add_column(fmt::format("step time\npredicted\n{}", units.time.name()));
    table.add_column(fmt::format("step time\nmeasured\n{}", units.time.name()));
    table.add_column("error\n%");
    table.add_column(fmt::format("{}/s\nmeasured", units.samples));
    table.add_column("loss\nfirst → last");
    for (const StrategyReport& strategy : report.strategies) {
        const auto &simulated = strategy.simulated, &measured = strategy.measured;
        std::vector<std::string> row{strategy.name, strategy.layout, verdict_text(strategy)};
        row.resize(11, kUnknown);
        if (simulated) {
            row[3] = units.memory.format(simulated->peak_memory().peak);
            row[6] = units.time.format(simulated->step_time);
        }
        if (measured) {
            row[4] = units.memory.format(measured->peak_memory().peak);
            row[7] = units.time.format(measured->step_time);
            row[9] = format_count(measured->tokens_per_s);
            row[10] = losses_text(measured->losses);
        }
        if (simulated && measured) {
            row[5] = format_difference(
                (simulated->peak_memory().peak - measured->peak_memory().peak).value);
            const double error = simulated->step_time / measured->step_time - 1.0;
            row[8] = std::isfinite(error) ? fmt::format("{:+.1f}", 100.0 * error) : kUnknown;
        }
        add_strategy_row(table, std::move(row), strategy.status);
    }
    return table;
}

// "12.43", with predicted − measured in bytes behind it where that is not zero.
std::string category_text(Bytes predicted, Bytes measured, const Units& units) {
    std::string text = units.memory.format(predicted);
    if (predicted != measured)
        text += fmt::format(" ({} B)", format_difference((predicted - measured).value));
    return text;
}

std::string categories_text(const Report& report, const Units& units) {
    TextTable table;
    table.add_column("strategy", Align::left);
    add_category_columns(table, units.memory.name());
    bool equal = true;
    for (const StrategyReport& strategy : report.strategies) {
        if (!strategy.simulated || !strategy.measured) continue;
        const auto& predicted = strategy.simulated->peak_memory().categories;
        const auto& measured = strategy.measured->peak_memory().categories;
        equal &= predicted == measured;
        std::vector<std::string> row{strategy.name};
        for (std::size_t i = 0; i < kCategories; ++i)
            row.push_back(category_text(predicted[i], measured[i], units));
        table.add_row(std::move(row));
    }
    if (table.empty()) return "";
    return fmt::format("\nMemory by category at the peak of the fullest rank: predicted {}\n\n{}",
                       equal ? "= measured, to the byte"
                             : "(in parentheses: predicted − measured, where they differ)",
                       table.to_string());
}

std::array<Seconds, 5> parts_of(const StepTime& time) {
    return {time.compute, time.exposed_communication, time.bubble, time.optimizer, time.wall};
}

// Predicted − measured in % of the measured step, so that the parts' errors add up to the step's.
std::vector<std::string> part_errors(const StepTime& predicted, const StepTime& measured) {
    std::vector<std::string> cells;
    for (std::size_t i = 0; i < parts_of(predicted).size(); ++i) {
        const Seconds difference = parts_of(predicted)[i] - parts_of(measured)[i];
        cells.push_back(fmt::format("{:+.1f}", 100 * (difference / measured.wall)));
    }
    return cells;
}

TextTable parts_table(const Report& report, const Units& units) {
    TextTable table;
    table.add_column("strategy", Align::left);
    table.add_column("", Align::left);
    for (const char* part :
         {"compute", "exposed\ncommunication", "bubble", "optimizer", "step time"})
        table.add_column(fmt::format("{}\n{}", part, units.time.name()));
    for (const StrategyReport& strategy : report.strategies) {
        std::string name = strategy.name;
        for (const Pick pick : {&StrategyReport::simulated, &StrategyReport::measured}) {
            if (!(strategy.*pick)) continue;
            const StepTime& time = (strategy.*pick)->time;
            const bool predicted = pick == &StrategyReport::simulated;
            std::vector<std::string> row{name, predicted ? "predicted" : "measured"};
            for (const Seconds part : parts_of(time)) row.push_back(units.time.format(part));
            table.add_row(std::move(row));
            name.clear();  // once per strategy
        }
        if (!strategy.simulated || !strategy.measured) continue;
        std::vector<std::string> row{"", "error, %"};
        for (std::string& cell : part_errors(strategy.simulated->time, strategy.measured->time))
            row.push_back(std::move(cell));
        table.add_row(std::move(row));
    }
    return table;
}

// Largest difference of a group's measured peaks from the predicted one.
std::string largest_difference(const RankGroup& group, const Result& measured) {
    Bytes largest;
    for (const RankTrace& trace : measured.ranks) {
        if (trace.rank.value < group.first || trace.rank.value > group.last) continue;
        const Bytes difference = group.memory->peak - trace.memory.peak;
        if (std::abs(difference.value) > std::abs(largest.value)) largest = difference;
    }
    return format_difference(largest.value);
}

// Pipeline stages hold different things: a table of all ranks, for strategies where they differ.
std::string ranks_text(const Report& report, Pick pick, const Units& units) {
    TextTable table;
    table.add_column("strategy", Align::left);
    table.add_column("ranks", Align::left);
    table.add_column(fmt::format("peak\nmemory\n{}", units.memory.name()));
    add_category_columns(table, units.memory.name());
    const bool compare =
        std::any_of(report.strategies.begin(), report.strategies.end(),
                    [](const StrategyReport& s) { return s.simulated && s.measured; });
    if (compare) table.add_column("predicted −\nmeasured\nbytes");
    for (const StrategyReport& strategy : report.strategies) {
        if (!(strategy.*pick)) continue;
        const std::vector<RankGroup> groups = rank_groups(*(strategy.*pick));
        if (groups.size() < 2) continue;
        std::string name = strategy.name;
        for (const RankGroup& group : groups) {
            std::vector<std::string> row{name, group.first == group.last
                                                   ? fmt::format("{}", group.first)
                                                   : fmt::format("{}–{}", group.first, group.last)};
            row.push_back(units.memory.format(group.memory->peak));
            for (const Bytes bytes : group.memory->categories)
                row.push_back(units.memory.format(bytes));
            if (compare)
                row.push_back(strategy.measured ? largest_difference(group, *strategy.measured)
                                                : kUnknown);
            table.add_row(std::move(row));
            name.clear();  // once per strategy
        }
    }
    if (table.empty()) return "";
    return "\nMemory of every rank at its own peak, where ranks differ\n\n" + table.to_string();
}

}  // namespace

std::string heading_text(const Report& report) {
    const Scenario& scenario = report.scenario;
    const Bytes capacity = scenario.cluster.device.memory;
    const MemoryUnit unit(capacity);
    return fmt::format("{}: global batch {}, {}; {}, {} {} each", scenario.name,
                       scenario.training.global_batch, name_of(scenario.training.arithmetic()),
                       machine_text(scenario.cluster), unit.format(capacity), unit.name());
}

std::string remarks_text(const Report& report) {
    std::string text = errors_text(report);
    for (const std::string& note : all_notes(report)) text += fmt::format("note: {}\n", note);
    return text;
}

std::string simulation_text(const Report& report, bool colours) {
    const Pick pick = &StrategyReport::simulated;
    return report_heading(report) + results_table(report, pick, false).to_string(colours) +
           ranks_text(report, pick, report_units(report)) + beside_text(report) +
           variation_text(report) + run_text(report) + published_text(report) + basis_text(report) +
           remarks(report);
}

std::string measurement_text(const Report& report, bool colours) {
    const Pick pick = &StrategyReport::measured;
    return report_heading(report) + results_table(report, pick, true).to_string(colours) +
           ranks_text(report, pick, report_units(report)) + runtime_text(report) + remarks(report);
}

std::string comparison_text(const Report& report, bool colours) {
    const Units units = report_units(report);
    std::string text = report_heading(report) + overview_table(report, units).to_string(colours);
    text += categories_text(report, units);
    text += ranks_text(report, &StrategyReport::simulated, units);
    text += runtime_text(report);
    const TextTable parts = parts_table(report, units);
    if (!parts.empty())
        text += "\nParts of the slowest rank's median step; errors in % of the measured step\n\n" +
                parts.to_string();
    return text + remarks(report);
}

}  // namespace shardscope
