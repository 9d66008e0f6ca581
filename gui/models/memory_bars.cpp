#include "gui/models/memory_bars.h"

#include <algorithm>
#include <cmath>

#include "core/report/figures.h"
#include "core/report/text_table.h"
#include "gui/models/chart_text.h"

namespace shardscope::gui {
namespace {

constexpr double kMB = 1e6;

QString range_name(int first, int last) {
    return first == last ? QString("rank %1").arg(first)
                         : QString("ranks %1–%2").arg(first).arg(last);
}

void fill_memory(MemoryRow& row, const MemoryUse& memory) {
    row.known = true;
    row.categories = memory.categories;
    row.peak = memory.peak;
}

QString whose_peak(const Result& result) {
    const std::vector<RankGroup> groups = rank_groups(result);
    for (const RankGroup& group : groups) {
        if (result.peak_rank.value < group.first || result.peak_rank.value > group.last) continue;
        const QString name = range_name(group.first, group.last);
        return groups.size() == 1 ? name : name + ", the fullest";
    }
    return {};
}

QString bytes_text(Bytes bytes) { return QString::fromStdString(format_count(bytes.value)) + " B"; }

QString line(const QString& name, const QString& figure, Bytes bytes) {
    return name + '\t' + figure + '\t' + bytes_text(bytes) + '\n';
}

}  // namespace

MemoryBars memory_by_strategy(const Evaluation& evaluation,
                              std::span<const std::optional<MeasuredMemory>> measured) {
    const Report& report = evaluation.report;
    MemoryBars bars;
    bars.capacity = report.scenario.cluster.device.memory;
    if (evaluation.error) bars.error = evaluation.error->what();
    for (std::size_t i = 0; i < report.strategies.size(); ++i) {
        const StrategyReport& strategy = report.strategies[i];
        MemoryRow row;
        row.name = QString::fromStdString(strategy.name);
        row.strategy = static_cast<int>(i);
        row.status = strategy.status;
        if (strategy.simulated) {
            fill_memory(row, strategy.simulated->peak_memory());
            row.which = whose_peak(*strategy.simulated);
        }
        if (strategy.error) {
            row.message = short_message(*strategy.error, report.scenario);
            row.details = strategy.error->what();
        }
        if (i < measured.size()) row.measured = measured[i];
        bars.rows.push_back(std::move(row));
    }
    return bars;
}

MemoryBars memory_by_rank(const Evaluation& evaluation, std::size_t strategy) {
    MemoryBars bars;
    bars.capacity = evaluation.report.scenario.cluster.device.memory;
    if (evaluation.error) bars.error = evaluation.error->what();
    if (strategy >= evaluation.report.strategies.size()) return bars;
    const StrategyReport& report = evaluation.report.strategies[strategy];
    bars.subject = QString::fromStdString(report.name);
    if (report.error) bars.error = report.error->what();
    if (!report.simulated) return bars;
    for (const RankGroup& group : rank_groups(*report.simulated)) {
        MemoryRow row;
        row.name = row.which = range_name(group.first, group.last);
        row.strategy = static_cast<int>(strategy);
        row.status = group.memory->peak > bars.capacity ? Status::does_not_fit : Status::fits;
        fill_memory(row, *group.memory);
        bars.rows.push_back(std::move(row));
    }
    return bars;
}

MemoryScale::MemoryScale(MemoryShow show, Bytes largest, Bytes capacity) {
    const bool small = gib(largest) < 0.1;  // as MemoryUnit of core/report/figures.h
    switch (show) {
        case MemoryShow::binary:
            unit_ = small ? "MiB" : "GiB";
            per_unit_ = small ? kMiB : kGiB;
            break;
        case MemoryShow::decimal:
            unit_ = small ? "MB" : "GB";
            per_unit_ = small ? kMB : kGB;
            break;
        case MemoryShow::percent:
            unit_ = "%";
            per_unit_ = std::max(1.0, static_cast<double>(capacity.value)) / 100;
            break;
    }
}

QString MemoryScale::format(Bytes bytes, int decimals) const {
    return decimal(value(bytes), decimals);
}

QString MemoryScale::format_signed(Bytes bytes, int decimals) const {
    return decimal(value(bytes), decimals, true);
}

MemoryScale scale_of(const MemoryBars& bars, MemoryShow show) {
    Bytes largest;
    for (const MemoryRow& row : bars.rows) largest = std::max(largest, row.peak);
    // Where nothing could be simulated, in the unit of the capacity, which is all there is to read.
    return {show, largest.value == 0 ? bars.capacity : largest, bars.capacity};
}

QString end_label(const MemoryRow& row, Bytes capacity, const MemoryScale& scale) {
    if (!row.known) return {};
    const bool percent = scale.unit() == "%";
    QString text = scale.format(row.peak) + (percent ? " %" : "");
    if (row.status == Status::does_not_fit && row.peak > capacity) {
        const QString over = scale.format_signed(row.peak - capacity);
        return text + " OOM " + (over.startsWith('+') ? over : "+<0.1");
    }
    if (!percent && capacity.value > 0)
        text += QString(" · %1 %").arg(decimal(100 * (row.peak / capacity), 0));
    return text;
}

QString measured_label(const MemoryRow& row, const MemoryScale& scale) {
    if (!row.measured) return {};
    const MeasuredMemory& measured = *row.measured;
    QString text = QString(measured.stale ? "◇ " : "◆ ") + scale.format(measured.peak);
    if (measured.stale) return text + " (stale)";
    const QString error = deviation_text(measured.error);
    return error.isEmpty() ? text : text + " (" + error + ")";
}

QString capacity_text(Bytes capacity, MemoryShow show) {
    // Of the whole device, percent would say nothing.
    const MemoryScale scale(show == MemoryShow::percent ? MemoryShow::binary : show, capacity,
                            capacity);
    // Two decimals, as the command line has it: rounded up, what is just above would seem to fit.
    const QString text = scale.format(capacity, 2) + ' ' + scale.unit();
    return show == MemoryShow::percent ? "usable, 100 % = " + text : "usable " + text;
}

QString tooltip(const MemoryRow& row, Bytes capacity, MemoryShow show) {
    QString text = row.name;
    if (!row.known) return text + '\n' + (row.details.isEmpty() ? "not simulated" : row.details);
    if (!row.which.isEmpty() && row.which != row.name) text += ", " + row.which;
    text += '\n';
    const MemoryScale scale(show, row.peak, capacity);
    const auto figure = [&](Bytes bytes) { return scale.format(bytes, 2) + ' ' + scale.unit(); };
    for (std::size_t i = 0; i < kCategories; ++i)
        text += line(category_title(static_cast<Category>(i)), figure(row.categories[i]),
                     row.categories[i]);
    text += line("Peak", figure(row.peak), row.peak);
    text += line("Usable", figure(capacity), capacity);
    const Bytes room = capacity - row.peak;
    text += line(room.value < 0 ? "Does not fit by" : "Headroom",
                 figure(room.value < 0 ? row.peak - capacity : room),
                 room.value < 0 ? row.peak - capacity : room);
    if (row.measured) {
        const MeasuredMemory& measured = *row.measured;
        text += line(measured.stale ? "Measured (stale)" : "Measured", figure(measured.peak),
                     measured.peak);
        if (const QString error = deviation_text(measured.error);
            !error.isEmpty() && !measured.stale)
            text += "Simulated against measured\t" + error + '\n';
    }
    text.chop(1);
    return text;
}

std::string to_text(const MemoryBars& bars, MemoryShow show) {
    const MemoryScale scale = scale_of(bars, show);
    const bool measured = std::any_of(bars.rows.begin(), bars.rows.end(), [](const MemoryRow& row) {
        return row.measured.has_value();
    });
    TextTable table;
    table.add_column(bars.subject.isEmpty() ? "strategy" : bars.subject.toStdString(),
                     TextTable::Align::left);
    for (std::size_t i = 0; i < kCategories; ++i)
        table.add_column(std::string(category_name(static_cast<Category>(i))));
    table.add_column("peak " + scale.unit().toStdString(), TextTable::Align::left);
    if (measured) table.add_column("measured", TextTable::Align::left);
    table.add_column("whose", TextTable::Align::left);
    for (const MemoryRow& row : bars.rows) {
        std::vector<std::string> cells{row.name.toStdString()};
        for (const Bytes bytes : row.categories)
            cells.push_back(row.known ? scale.format(bytes).toStdString() : kUnknown);
        cells.push_back(cell_or_unknown(end_label(row, bars.capacity, scale)));
        if (measured) cells.push_back(cell_or_unknown(measured_label(row, scale)));
        cells.push_back(row.known ? row.which.toStdString() : row.message.toStdString());
        table.add_row(std::move(cells));
    }
    std::string text = table.empty() ? "" : table.to_string();
    if (!bars.error.isEmpty()) text += bars.error.toStdString() + '\n';
    return text + capacity_text(bars.capacity, show).toStdString() + '\n';
}

QString category_title(Category category) {
    QString title = QString::fromUtf8(category_name(category).data(),
                                      static_cast<qsizetype>(category_name(category).size()));
    title.replace('_', ' ');
    title[0] = title[0].toUpper();
    return title;
}

}  // namespace shardscope::gui
