#include "core/validation/validation_text.h"

#include <cmath>

#include <fmt/format.h>

#include "core/report/figures.h"
#include "core/report/text_table.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

std::string percent(double fraction) {
    return std::isfinite(fraction) ? fmt::format("{:.1f}", 100 * fraction) : kUnknown;
}

std::string signed_percent(double fraction) {
    return std::isfinite(fraction) ? fmt::format("{:+.1f}", 100 * fraction) : kUnknown;
}

void add_error_columns(TextTable& table) {
    for (const char* name : {"n", "MAPE %", "median %", "worst %"}) table.add_column(name);
    table.add_column("of", TextTable::Align::left);
    table.add_column("bias %");
}

void add_error_row(TextTable& table, std::vector<std::string> cells,
                   const ErrorStatistics& errors) {
    for (std::string cell : {format_count(static_cast<std::int64_t>(errors.runs)),
                             percent(errors.mape), percent(errors.median), percent(errors.worst),
                             errors.worst_id, signed_percent(errors.bias)})
        cells.push_back(std::move(cell));
    table.add_row(std::move(cells));
}

std::string time_text(const Validation& validation) {
    TextTable table;
    table.add_column("step time", TextTable::Align::left);
    add_error_columns(table);
    for (const ErrorGroup& group : time_errors(validation))
        add_error_row(table, {group.family.empty() ? "all" : group.family}, group.errors);
    return table.to_string();
}

std::string memory_text(const Validation& validation) {
    const std::vector<ErrorGroup> groups = memory_errors(validation);
    if (groups.back().errors.runs == 0) return "";
    TextTable table;
    table.add_column("peak memory", TextTable::Align::left);
    table.add_column("kind", TextTable::Align::left);
    add_error_columns(table);
    for (const ErrorGroup& group : groups)
        add_error_row(table, {group.family.empty() ? "all" : group.family, group.kind},
                      group.errors);
    return '\n' + table.to_string();
}

// "a-001, a-002, a-003 and 9 more"
std::string some_of(const std::vector<std::string>& ids, std::size_t shown = 3) {
    std::string text;
    for (std::size_t i = 0; i < std::min(ids.size(), shown); ++i)
        text += (i > 0 ? ", " : "") + ids[i];
    if (ids.size() > shown) text += fmt::format(" and {} more", ids.size() - shown);
    return text;
}

std::string columns_text(const Validation& validation) {
    if (validation.columns_not_read.empty()) return "";
    constexpr std::size_t kShown = 12;
    std::vector<std::string> names;
    for (const std::string& name : validation.columns_not_read) names.push_back(printable(name));
    return fmt::format("Columns that are not read: {}\n", some_of(names, kShown));
}

std::string skips_text(const char* title, const std::vector<SkipGroup>& groups) {
    if (groups.empty()) return "";
    std::string text = fmt::format("\n{}\n", title);
    for (const SkipGroup& group : groups)
        text +=
            fmt::format("{:>6}  {}  ({})\n", group.ids.size(), group.reason, some_of(group.ids));
    return text;
}

std::string verdicts_text(const Validation& validation) {
    std::string text;
    const auto add = [&](const char* title, const std::vector<std::string>& ids) {
        if (ids.empty()) return;
        text += fmt::format("{}{}: {} ({})\n", text.empty() ? "\n" : "", title, ids.size(),
                            some_of(ids));
    };
    const Verdicts out_of_memory = verdicts_of_out_of_memory(validation);
    add("Said not to fit, and predicted all the same", verdicts_of_made(validation).does_not_fit);
    add("Ran out of memory, and said not to fit", out_of_memory.does_not_fit);
    add("Ran out of memory, but said to fit", out_of_memory.fits);
    return text;
}

}  // namespace

std::string validation_text(const Validation& validation) {
    const std::size_t skipped = validation.skipped();
    const auto count = [](std::size_t n) { return format_count(static_cast<std::int64_t>(n)); };
    return fmt::format("{}: {} runs, {} predicted, {} skipped\n", validation.file,
                       count(validation.runs.size()), count(validation.runs.size() - skipped),
                       count(skipped)) +
           columns_text(validation) + '\n' + time_text(validation) + memory_text(validation) +
           verdicts_text(validation) + skips_text("Skipped:", skipped_rows(validation)) +
           skips_text("Memory not predicted:", skipped_memory(validation));
}

}  // namespace shardscope
