#include "core/validation/measured_run.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "core/csv_reader.h"
#include "core/error.h"
#include "core/nearest.h"
#include "core/validation/run_words.h"
#include "core/yaml_number.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

using Text = std::string MeasuredRun::*;
using Count = std::optional<std::int64_t> MeasuredRun::*;
using Flag = std::optional<bool> MeasuredRun::*;
using Amount = std::optional<double> MeasuredRun::*;
struct IgnoredColumn {};  // for readers of the file

struct Column {
    std::string_view name;
    std::variant<IgnoredColumn, Text, Count, Flag, Amount> value;
    bool required = false;  // the column must be there; only the id must not be empty
    std::int64_t least = 1, most = 16'777'216;  // of a Count
};

using Run = MeasuredRun;
constexpr std::int64_t kMostRanks = 1'000'000;
constexpr double kMostAmount = 1e12;

constexpr auto kRunColumns = std::to_array<Column>({
    {"id", &Run::id, true},
    {"family", &Run::family, true},
    {"quality", IgnoredColumn{}},
    {"source", &Run::source},
    {"gpu", &Run::gpu, true},
    {"gpu_memory_gb", &Run::gpu_memory_gb},
    {"gpus_per_node", &Run::gpus_per_node, false, 1, 4096},
    {"gpus", &Run::gpus, true, 1, kMostRanks},
    {"intra_node_GBps", &Run::intra_node_GBps},
    {"inter_node_Gbps_per_node", &Run::inter_node_Gbps_per_node},
    {"network_note", &Run::network_note},
    {"model", &Run::model},
    {"layers", &Run::layers, true, 1, 10'000},
    {"hidden", &Run::hidden, true},
    {"ffn", &Run::ffn},
    {"mlp", &Run::mlp},
    {"heads", &Run::heads, true, 1, 65'536},
    {"kv_heads", &Run::kv_heads, false, 1, 65'536},
    {"head_dim", &Run::head_dim, false, 1, 65'536},
    {"vocab", &Run::vocab, true},
    {"seq", &Run::seq, true},
    {"tied_embeddings", &Run::tied_embeddings},
    {"experts", &Run::experts, false, 0},
    {"experts_per_token", &Run::experts_per_token, false, 0},
    {"expert_ffn", &Run::expert_ffn, false, 0},
    {"framework", &Run::framework, true},
    {"precision", &Run::precision},
    {"grad_dtype", &Run::grad_dtype},
    {"dp", &Run::dp, false, 1, kMostRanks},
    {"tp", &Run::tp, false, 1, kMostRanks},
    {"pp", &Run::pp, false, 1, kMostRanks},
    {"virtual_stages", &Run::virtual_stages, false, 1, 10'000},
    {"cp", &Run::cp, false, 1, kMostRanks},
    {"ep", &Run::ep, false, 1, kMostRanks},
    {"etp", &Run::etp, false, 1, kMostRanks},
    {"sequence_parallel", &Run::sequence_parallel},
    {"zero_stage", &Run::zero_stage, false, 0, 3},
    {"schedule", &Run::schedule},
    {"recompute", &Run::recompute},
    {"recompute_note", &Run::recompute_note},
    {"attention", &Run::attention},
    {"micro_batch", &Run::micro_batch, false, 1, 1'000'000'000},
    {"global_batch", &Run::global_batch, true, 1, 1'000'000'000},
    {"step_time_s", &Run::step_time_s},
    {"tokens_per_s_per_gpu", &Run::tokens_per_s_per_gpu},
    {"peak_memory_gib", &Run::peak_memory_gib},
    {"memory_kind", &Run::memory_kind},
    {"assumptions", &Run::assumptions},
});

// Stands for every column that is not one of these.
constexpr Column kNotRead{"", IgnoredColumn{}};

// One field of a row, and where it is.
struct Cell {
    const Column& column;
    const std::string& text;
    const std::string& file;
    int line;

    [[noreturn]] void fail(const char* rule, const std::string& what,
                           const std::string& fix) const {
        throw Error(rule,
                    fmt::format("{}:{}: column \"{}\": \"{}\" {}", file, line, column.name,
                                printable(text), what),
                    fix);
    }
};

// "1024" of "1,024": commas in front of every three digits.
std::string without_thousands(const std::string& text) {
    const std::size_t first = text.find(',');
    if (first == 0 || first > 3) return text;
    std::string digits;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool separates = i >= first && (i - first) % 4 == 0;
        if (separates != (text[i] == ',')) return text;
        if (!separates) digits += text[i];
    }
    return (text.size() - first) % 4 == 0 ? digits : text;
}

// "8" and, as programs write it that keep unknown values beside whole ones, "8.0".
std::optional<std::int64_t> exact_integer(const std::string& written) {
    const std::string text = without_thousands(written);
    if (const auto integer = parse_integer(text)) return integer;
    const auto number = parse_number(text);
    constexpr double kExact = 9007199254740992.0;  // 2⁵³
    if (!number || std::abs(*number) > kExact || *number != std::floor(*number))
        return std::nullopt;
    return static_cast<std::int64_t>(*number);
}

void read(const Cell& cell, MeasuredRun& run, Text member) {
    for (const char c : cell.text)
        if (c == '\n' || c == '\r') cell.fail("type", "has several lines", "write one line");
    run.*member = cell.text;
}

void read(const Cell& cell, MeasuredRun& run, Count member) {
    if (is_unknown_mark(cell.text)) return;
    const auto value = exact_integer(cell.text);
    if (!value) cell.fail("type", "is no whole number", "write one, or nothing where unknown");
    if (*value < cell.column.least || *value > cell.column.most)
        cell.fail("range", "is out of range",
                  fmt::format("use {} to {}, or nothing where unknown", cell.column.least,
                              cell.column.most));
    if (*value == 0 && member != &Run::zero_stage) return;  // no experts
    run.*member = value;
}

void read(const Cell& cell, MeasuredRun& run, Flag member) {
    if (is_unknown_mark(cell.text)) return;
    auto value = exact_integer(cell.text);
    const std::string word = folded(cell.text);
    if (word == "true" || word == "yes") value = 1;
    if (word == "false" || word == "no") value = 0;
    if (value != 0 && value != 1)
        cell.fail("type", "is neither 0 nor 1", "write 1 for yes, 0 for no, nothing where unknown");
    run.*member = *value == 1;
}

bool is_measurement(Amount member) {
    return member == &Run::step_time_s || member == &Run::tokens_per_s_per_gpu ||
           member == &Run::peak_memory_gib;
}

void read(const Cell& cell, MeasuredRun& run, Amount member) {
    if (is_unknown_mark(cell.text)) return;
    if (is_measurement(member) && is_out_of_memory_mark(cell.text)) {
        run.out_of_memory = true;
        return;
    }
    const auto value = parse_number(cell.text);
    if (!value)
        cell.fail("type", "is no number",
                  is_measurement(member)
                      ? "write one, nothing where unknown, or OOM where the run ran out of memory"
                      : "write one, or nothing where unknown");
    if (*value == 0) return;  // not measured, or no network
    if (*value < 0 || *value > kMostAmount)
        cell.fail(
            "range", "is out of range",
            fmt::format("use a positive number up to {:g}, or nothing where unknown", kMostAmount));
    run.*member = value;
}

void read(const Cell&, MeasuredRun&, IgnoredColumn) {}

bool has(const CsvTable& table, std::string_view name) {
    return std::find(table.columns.begin(), table.columns.end(), name) != table.columns.end();
}

// A name near to one that the file lacks is that one misspelt, whose figures must not get lost.
void check_misspelling(const std::string& name, const CsvTable& table, const std::string& file) {
    std::vector<std::string_view> lacking;
    for (const std::string_view column : measured_run_columns())
        if (!has(table, column)) lacking.push_back(column);
    if (!nearest_name(name, lacking)) return;
    throw Error("unknown-column",
                fmt::format("{}:{}: unknown column \"{}\"", file, table.line, printable(name)),
                suggest_name(name, lacking) + ", or remove the column");
}

// One per column of the file; adds the names that none has to `not_read`.
std::vector<const Column*> columns_of(const CsvTable& table, const std::string& file,
                                      std::vector<std::string>& not_read) {
    std::vector<const Column*> columns;
    for (const std::string& name : table.columns) {
        const auto* found = std::ranges::find(kRunColumns, name, &Column::name);
        if (found == kRunColumns.end()) {
            check_misspelling(name, table, file);
            not_read.push_back(name);
            found = &kNotRead;
        }
        columns.push_back(found);
    }
    return columns;
}

// What spreadsheets write where a comma is the decimal point, and what is copied out of them.
void check_separator(std::string_view text, const std::string& file) {
    const std::string_view names = text.substr(0, text.find('\n'));
    if (names.find(',') != std::string_view::npos) return;
    for (const auto& [separator, words] : {std::pair{';', "\";\""}, std::pair{'\t', "tabs"}})
        if (names.find(separator) != std::string_view::npos)
            throw Error("csv",
                        fmt::format("{}:1: the names of columns are separated by {}", file, words),
                        "separate fields with commas, and write numbers with a decimal point");
}

void check_run_columns(const CsvTable& table, const std::string& file) {
    for (const std::string_view name : required_run_columns())
        if (!has(table, name))
            throw Error("missing-column",
                        fmt::format("{}:{}: there is no column \"{}\"", file, table.line, name),
                        fmt::format("add \"{}\" to the first line", name));
    if (!has(table, "step_time_s") && !has(table, "tokens_per_s_per_gpu") &&
        !has(table, "peak_memory_gib"))
        throw Error("missing-column",
                    fmt::format("{}:{}: no column has a measurement", file, table.line),
                    "add \"step_time_s\", \"tokens_per_s_per_gpu\" or \"peak_memory_gib\"");
}

std::string_view without_spaces(std::string_view text) {
    while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
    while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
    return text;
}

// What such a run had taken when it ended is not what it needs; a time it cannot have.
void set_out_of_memory(MeasuredRun& run, const std::string& file) {
    if (!run.out_of_memory) return;
    run.peak_memory_gib.reset();
    if (!run.step_time_s && !run.tokens_per_s_per_gpu) return;
    if (!run.unreadable)
        run.unreadable = Error(
            "out-of-memory",
            fmt::format("{}:{}: a run that ran out of memory has no step time", file, run.line),
            "remove the time, or what says that it ran out of memory");
}

MeasuredRun read_measured_run(const CsvRow& row, const std::vector<const Column*>& columns,
                              const std::string& file) {
    MeasuredRun run;
    run.line = row.line;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        const std::string text(without_spaces(row.fields[i]));
        const Cell cell{*columns[i], text, file, row.line};
        if (text.empty()) continue;
        try {
            std::visit([&](auto member) { read(cell, run, member); }, columns[i]->value);
        } catch (const Error& error) {
            if (cell.column.name == "id") throw;  // what would name the row
            if (!run.unreadable) run.unreadable = error;
        }
    }
    set_out_of_memory(run, file);
    run.memory_kind = usual_word(RunWord::memory_kind, run.memory_kind);
    if (run.id.empty())
        throw Error("missing-value", fmt::format("{}:{}: column \"id\" is empty", file, row.line),
                    "give every row a name of its own");
    return run;
}

std::optional<double> step_time_of_tokens(const MeasuredRun& run) {
    if (!run.tokens_per_s_per_gpu || !run.global_batch || !run.seq || !run.gpus)
        return std::nullopt;
    return static_cast<double>(*run.global_batch * *run.seq) /
           (*run.tokens_per_s_per_gpu * static_cast<double>(*run.gpus));
}

}  // namespace

std::optional<double> MeasuredRun::measured_step_time() const {
    return step_time_s ? step_time_s : step_time_of_tokens(*this);
}

std::optional<double> MeasuredRun::throughput_deviation() const {
    const auto of_tokens = step_time_of_tokens(*this);
    if (!step_time_s || !of_tokens) return std::nullopt;
    return *step_time_s / *of_tokens - 1;
}

std::vector<std::string_view> measured_run_columns() {
    std::vector<std::string_view> names;
    for (const Column& column : kRunColumns) names.push_back(column.name);
    return names;
}

std::vector<std::string_view> required_run_columns() {
    std::vector<std::string_view> names;
    for (const Column& column : kRunColumns)
        if (column.required) names.push_back(column.name);
    return names;
}

MeasuredRuns parse_measured_runs(std::string_view text, const std::string& file) {
    check_text(text, file);
    check_separator(text, file);
    const CsvTable table = parse_csv(text, file);
    MeasuredRuns runs;
    const std::vector<const Column*> columns = columns_of(table, file, runs.columns_not_read);
    check_run_columns(table, file);
    std::map<std::string, int> lines;
    for (const CsvRow& row : table.rows) {
        runs.rows.push_back(read_measured_run(row, columns, file));
        const std::string& id = runs.rows.back().id;
        const auto [earlier, fresh] = lines.emplace(id, row.line);
        if (!fresh)
            throw Error("duplicate-id",
                        fmt::format("{}:{}: column \"id\": \"{}\" is also in line {}", file,
                                    row.line, printable(id), earlier->second),
                        "give every row a name of its own");
    }
    return runs;
}

MeasuredRuns load_measured_runs(const std::string& path) {
    constexpr std::int64_t kMostBytes = 64 * kTextMaxBytes;
    return parse_measured_runs(read_text_file(path, "CSV", kMostBytes), path);
}

}  // namespace shardscope
