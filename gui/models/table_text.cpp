// The table of strategies as text: Markdown, aligned columns, CSV.
#include <limits>
#include <string>

#include "core/report/csv_text.h"
#include "core/report/text_table.h"
#include "core/strategy/validate.h"
#include "gui/models/strategy_table.h"

namespace shardscope::gui {
namespace {

QStringList header_of(const QAbstractItemModel& table) {
    QStringList header;
    for (int c = 0; c < table.columnCount(); ++c)
        header.append(table.headerData(c, Qt::Horizontal).toString());
    return header;
}

bool is_right(const QAbstractItemModel& table, int column) {
    if (table.rowCount() == 0) return false;
    const QVariant alignment = table.index(0, column).data(Qt::TextAlignmentRole);
    return alignment.value<Qt::Alignment>().testFlag(Qt::AlignRight);
}

QString markdown_cell(QString text) {
    return text.replace('\\', "\\\\").replace('|', "\\|").replace('\n', " ");
}

std::vector<std::string> csv_header() {
    std::vector<std::string> header{"strategy", "status",         "tp",          "pp",
                                    "dp",       "zero",           "micro_batch", "recompute",
                                    "schedule", "capacity_bytes", "peak_bytes"};
    for (std::size_t i = 0; i < kCategories; ++i)
        header.push_back(std::string(category_name(static_cast<Category>(i))) + "_bytes");
    header.insert(header.end(),
                  {"step_time_s", "compute_s", "exposed_communication_s", "bubble_s", "optimizer_s",
                   "tokens_per_s_per_gpu", "mfu", "measured_peak_bytes", "measured_step_time_s",
                   "measured_stale", "error"});
    return header;
}

using Fields = std::vector<std::string>;

void add_strategy(Fields& fields, const Scenario& scenario, const Strategy& s) {
    std::string dp = s.dp ? std::to_string(*s.dp) : "", micro;
    if (s.micro_batch) micro = std::to_string(*s.micro_batch);
    try {
        dp = std::to_string(data_parallel_degree(scenario.cluster, s));
        micro = std::to_string(layout_for(scenario, s).micro_batch);
    } catch (const Error&) {
        // Its report has it.
    }
    fields.insert(fields.end(),
                  {std::to_string(s.tp), std::to_string(s.pp), dp, std::to_string(s.zero), micro,
                   recompute_text(s.recompute), schedule_text(s).toStdString()});
}

void add_result(Fields& fields, const Result* result) {
    if (result == nullptr) {
        fields.resize(fields.size() + 9 + kCategories);
        return;
    }
    const MemoryUse& memory = result->peak_memory();
    fields.push_back(std::to_string(result->capacity.value));
    fields.push_back(std::to_string(memory.peak.value));
    for (const Bytes bytes : memory.categories) fields.push_back(std::to_string(bytes.value));
    const StepTime& time = result->time;
    for (const Seconds part :
         {result->step_time, time.compute, time.exposed_communication, time.bubble, time.optimizer})
        fields.push_back(csv_number(part.value));
    fields.push_back(csv_number(result->tokens_per_s_per_gpu));
    fields.push_back(result->mfu > 0 ? csv_number(result->mfu) : "");
}

void add_measured(Fields& fields, const std::optional<MeasuredCell>& cell) {
    if (!cell) {
        fields.resize(fields.size() + 3);
        return;
    }
    fields.insert(fields.end(),
                  {std::to_string(cell->peak.value), csv_number(cell->step_time.value),
                   cell->stale ? "true" : "false"});
}

}  // namespace

QString table_to_markdown(const QAbstractItemModel& table) {
    const auto line = [](const QStringList& cells) { return "| " + cells.join(" | ") + " |\n"; };
    QStringList rule;
    QStringList header = header_of(table);
    for (int c = 0; c < table.columnCount(); ++c) {
        header[c] = markdown_cell(header[c]);
        rule.append(is_right(table, c) ? "---:" : "---");
    }
    QString text = line(header) + line(rule);
    for (int row = 0; row < table.rowCount(); ++row) {
        QStringList cells;
        for (int c = 0; c < table.columnCount(); ++c)
            cells.append(markdown_cell(table.index(row, c).data().toString()));
        text += line(cells);
    }
    return text;
}

QString table_to_text(const QAbstractItemModel& table) {
    TextTable text;
    const QStringList header = header_of(table);
    for (int c = 0; c < table.columnCount(); ++c)
        text.add_column(header[c].toStdString(),
                        is_right(table, c) ? TextTable::Align::right : TextTable::Align::left);
    for (int row = 0; row < table.rowCount(); ++row) {
        std::vector<std::string> cells;
        for (int c = 0; c < table.columnCount(); ++c)
            cells.push_back(table.index(row, c).data().toString().toStdString());
        text.add_row(std::move(cells));
    }
    return QString::fromStdString(text.to_string());
}

QString strategies_to_csv(const Document& document, const Evaluation* evaluation,
                          const std::vector<std::optional<MeasuredCell>>& measured) {
    const Scenario& scenario = document.scenario();
    std::string text = csv_line(csv_header());
    for (std::size_t i = 0; i < scenario.strategies.size(); ++i) {
        const Strategy& strategy = scenario.strategies[i];
        const StrategyReport* const report =
            report_of_row(evaluation, scenario.strategies, static_cast<int>(i));
        Fields fields{strategy.name,
                      report == nullptr ? "" : std::string(status_name(report->status))};
        add_strategy(fields, scenario, strategy);
        add_result(fields, report != nullptr && report->simulated ? &*report->simulated : nullptr);
        add_measured(fields, i < measured.size() ? measured[i] : std::nullopt);
        const Error* error = report != nullptr && report->error ? &*report->error : nullptr;
        if (error == nullptr && evaluation != nullptr && evaluation->error)
            error = &*evaluation->error;
        fields.emplace_back(error == nullptr ? "" : error->what());
        text += csv_line(fields);
    }
    return QString::fromStdString(text);
}

}  // namespace shardscope::gui
