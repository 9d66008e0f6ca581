#include "gui/models/step_bars.h"

#include <algorithm>
#include <cmath>

#include "core/report/figures.h"
#include "core/report/text_table.h"
#include "gui/models/chart_text.h"

namespace shardscope::gui {
namespace {

constexpr std::array<Seconds StepTime::*, kStepParts> kMembers{
    &StepTime::compute, &StepTime::exposed_communication, &StepTime::bubble, &StepTime::optimizer};

void fill_step(StepRow& row, const Result& result) {
    row.known = std::isfinite(result.step_time.value);
    if (!row.known) return;
    for (std::size_t i = 0; i < kStepParts; ++i) row.parts[i] = result.time.*kMembers[i];
    row.step_time = result.step_time;
    row.mfu = result.mfu;
    row.tokens_per_s_per_gpu = result.tokens_per_s_per_gpu;
}

}  // namespace

StepBars step_bars(const Evaluation& evaluation,
                   std::span<const std::optional<MeasuredTime>> measured) {
    const Report& report = evaluation.report;
    StepBars bars;
    bars.samples = std::holds_alternative<LayerListSpec>(report.scenario.model.kind);
    if (evaluation.error) bars.error = evaluation.error->what();
    for (std::size_t i = 0; i < report.strategies.size(); ++i) {
        const StrategyReport& strategy = report.strategies[i];
        StepRow row;
        row.name = QString::fromStdString(strategy.name);
        row.strategy = static_cast<int>(i);
        row.status = strategy.status;
        if (strategy.simulated) fill_step(row, *strategy.simulated);
        if (strategy.error) {
            row.message = short_message(*strategy.error, report.scenario);
            row.details = strategy.error->what();
        }
        if (i < measured.size()) row.measured = measured[i];
        bars.rows.push_back(std::move(row));
    }
    return bars;
}

StepScale::StepScale(Seconds longest) {
    if (longest.value >= 1 || !(longest.value > 0)) {
        unit_ = "s", per_unit_ = 1;
    } else if (longest.value >= 1e-3) {
        unit_ = "ms", per_unit_ = 1e-3;
    } else {
        unit_ = "µs", per_unit_ = 1e-6;
    }
    const double largest = longest.value / per_unit_;
    decimals_ = largest >= 100 ? 0 : largest >= 10 ? 1 : 2;
}

QString StepScale::format(Seconds time) const { return decimal(value(time), decimals_); }

QString StepScale::format_exact(Seconds time) const { return decimal(value(time), decimals_ + 2); }

StepScale scale_of(const StepBars& bars) {
    Seconds longest;
    for (const StepRow& row : bars.rows) longest = std::max(longest, row.step_time);
    return StepScale(longest);
}

QString end_label(const StepRow& row, const StepScale& scale) {
    if (!row.known) return {};
    const QString text = scale.format(row.step_time) + ' ' + scale.unit();
    return row.mfu > 0 ? QString("%1 · %2 %").arg(text, decimal(100 * row.mfu, 0)) : text;
}

QString measured_label(const StepRow& row, const StepScale& scale) {
    if (!row.measured || !std::isfinite(row.measured->step_time.value)) return {};
    const MeasuredTime& measured = *row.measured;
    QString text = QString(measured.stale ? "◇ " : "◆ ") + scale.format(measured.step_time);
    if (measured.stale) return text + " (stale)";
    const QString error = deviation_text(measured.error);
    return error.isEmpty() ? text : text + " (" + error + ")";
}

QString tooltip(const StepRow& row, const StepScale& scale, bool samples) {
    QString text = row.name + '\n';
    if (!row.known) return text + (row.details.isEmpty() ? "not simulated" : row.details);
    const auto line = [&](const QString& name, Seconds time) {
        text += QString("%1\t%2 %3\t%4 %\n")
                    .arg(name, scale.format_exact(time), scale.unit(),
                         decimal(100 * (time / row.step_time), 1));
    };
    for (std::size_t i = 0; i < kStepParts; ++i)
        line(step_part_title(static_cast<StepPart>(i)), row.parts[i]);
    line("Step time", row.step_time);
    text += QString("Throughput\t%1 %2/s per GPU\n")
                .arg(QString::fromStdString(format_count(row.tokens_per_s_per_gpu)),
                     samples ? "samples" : "tokens");
    if (row.mfu > 0) text += "MFU\t" + decimal(100 * row.mfu, 1) + " %\n";
    if (row.status == Status::does_not_fit) text += "does not fit into memory\n";
    if (row.measured) {
        text += QString("%1\t%2 %3\n")
                    .arg(row.measured->stale ? "Measured (stale)" : "Measured",
                         scale.format_exact(row.measured->step_time), scale.unit());
        const QString error = deviation_text(row.measured->error);
        if (!error.isEmpty() && !row.measured->stale)
            text += "Simulated against measured\t" + error + '\n';
    }
    text.chop(1);
    return text;
}

std::string to_text(const StepBars& bars) {
    const StepScale scale = scale_of(bars);
    TextTable table;
    table.add_column("strategy", TextTable::Align::left);
    for (std::size_t i = 0; i < kStepParts; ++i)
        table.add_column(step_part_title(static_cast<StepPart>(i)).toLower().toStdString());
    table.add_column("step time " + scale.unit().toStdString(), TextTable::Align::left);
    table.add_column("measured", TextTable::Align::left);
    table.add_column("note", TextTable::Align::left);
    for (const StepRow& row : bars.rows) {
        std::vector<std::string> cells{row.name.toStdString()};
        for (const Seconds part : row.parts)
            cells.push_back(row.known ? scale.format(part).toStdString() : kUnknown);
        cells.push_back(cell_or_unknown(end_label(row, scale)));
        cells.push_back(cell_or_unknown(measured_label(row, scale)));
        cells.push_back(row.status == Status::does_not_fit ? "does not fit"
                                                           : row.message.toStdString());
        table.add_row(std::move(cells));
    }
    std::string text = table.empty() ? "" : table.to_string();
    if (!bars.error.isEmpty()) text += bars.error.toStdString() + '\n';
    return text;
}

QString step_part_title(StepPart part) {
    switch (part) {
        case StepPart::compute:
            return "Compute";
        case StepPart::exposed_communication:
            return "Exposed communication";
        case StepPart::bubble:
            return "Bubble";
        case StepPart::optimizer:
            break;
    }
    return "Optimizer";
}

}  // namespace shardscope::gui
