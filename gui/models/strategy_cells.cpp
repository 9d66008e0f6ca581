// What the cells and headers of the table of strategies say.
#include <cmath>

#include "gui/models/chart_text.h"
#include "gui/models/strategy_table.h"
#include "gui/models/verdict_text.h"

namespace shardscope::gui {
namespace {

QString none() { return text_of(kUnknown); }

const Result* simulated(const StrategyReport* report) {
    return report != nullptr && report->simulated ? &*report->simulated : nullptr;
}

QString share(double fraction) { return decimal(100 * fraction, 1) + " %"; }

// Down to the microsecond; what the figures of a tooltip add up to is then the same.
QString seconds(Seconds time) {
    return std::isfinite(time.value) ? decimal(time.value, 6) + " s" : none();
}

QString exact(Bytes bytes) {
    const MemoryScale scale(MemoryShow::binary, Bytes(std::abs(bytes.value)), Bytes{});
    return scale.format(bytes, 2) + " " + scale.unit() + " (" +
           QString::fromStdString(format_count(bytes.value)).replace('-', "−") + " bytes)";
}

QString time_parts(const Result& result) {
    const StepTime& t = result.time;
    return QString("Step %1\nCompute %2\nExposed communication %3\nBubble %4\nOptimizer %5")
        .arg(seconds(result.step_time), seconds(t.compute), seconds(t.exposed_communication),
             seconds(t.bubble), seconds(t.optimizer));
}

struct Header {
    const char* title;
    const char* meaning;
};

// %M: the unit of memory; %T: of time; %W: tokens or samples.
constexpr Header kHeaders[] = {
    {"Strategy", "Name of the strategy; the scenario's file has it too"},
    {"TP", "Tensor-parallel degree: ranks that every layer is cut into"},
    {"PP", "Pipeline-parallel degree: stages that the layers are divided over"},
    {"DP", "Data-parallel degree: ranks / (TP · CP · PP), unless it is set"},
    {"ZeRO",
     "ZeRO stage: data-parallel ranks divide optimizer states (1), gradients too (2), "
     "parameters too (3)"},
    {"μ-batch", "Samples per rank and micro-batch"},
    {"Recompute",
     "Activations that the backward pass computes again: none, selective (the core of "
     "attention), full, or every k-th block"},
    {"Schedule", "Order of a pipeline's micro-batches; vN: N chunks of layers per stage"},
    {"Peak %M",
     "Largest memory of any rank at its own peak, simulated, all categories with the "
     "runtime's"},
    {"Headroom", "Usable memory of a device less the peak; − does not fit"},
    {"Measured",
     "Peak that a real run measured, and simulated / measured − 1; stale: of another "
     "scenario or strategy"},
    {"Step %T", "Time of one optimizer step: the slowest rank's, simulated"},
    {"%W/s/GPU", "%W that the global batch has, over step time and ranks"},
    {"MFU",
     "Model FLOPs utilisation: matrix multiplies of forward and backward (causal attention "
     "counted once, no recomputation) over step time, ranks and the device's dense peak of the "
     "precision"},
    {"Verdict",
     "Whether the fullest rank fits into a device; ✕: the rule that the strategy breaks"},
};
static_assert(std::size(kHeaders) == StrategyTable::kColumns);

}  // namespace

QVariant StrategyTable::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation == Qt::Vertical)
        return role == Qt::DisplayRole && section >= 0 && section < rowCount()
                   ? QVariant(section + 1)
                   : QVariant();
    if (section < 0 || section >= kColumns) return {};
    const Header& header = kHeaders[section];
    const bool tokens = !evaluation_ || !evaluation_->model || evaluation_->model->tokens;
    const auto filled = [&](const char* text) {
        QString result = QString::fromUtf8(text);
        result.replace("%M", memory_.unit()).replace("%T", time_.name());
        return result.replace("%W", tokens ? "tokens" : "samples");
    };
    if (role == Qt::DisplayRole) return filled(header.title);
    if (role == Qt::ToolTipRole) return filled(header.meaning);
    return {};
}

QString StrategyTable::word(const Row& row, int column) const {
    const Strategy& s = row.strategy;
    switch (column) {
        case name:
            return QString::fromStdString(s.name);
        case tp:
            return QString::number(s.tp);
        case pp:
            return QString::number(s.pp);
        case dp:
            if (row.dp) return QString::number(*row.dp);
            return s.dp ? QString::number(*s.dp) : none();
        case zero:
            return QString::number(s.zero);
        case micro_batch:
            if (row.micro_batch) return QString::number(*row.micro_batch);
            return s.micro_batch ? QString::number(*s.micro_batch) : none();
        case recompute:
            return text_of(recompute_text(s.recompute));
        default:
            return s.pp == 1 && s.virtual_stages == 1 ? none() : schedule_text(s);
    }
}

QString StrategyTable::figure(int row, int column) const {
    const StrategyReport* const report = reports_[static_cast<std::size_t>(row)];
    const Result* const result = simulated(report);
    if (column == measured) return measured_text(row);
    if (column == verdict) {
        if (report != nullptr) return short_verdict(*report);
        const bool failed = evaluation_ && evaluation_->error;
        return failed ? "✕ " + QString::fromStdString(evaluation_->error->rule) : none();
    }
    if (result == nullptr) return none();
    const Bytes needed = result->peak_memory().peak;
    switch (column) {
        case peak:
            return memory_.format(needed);
        case headroom:
            return memory_.format_signed(result->capacity - needed);
        case step:
            return QString::fromStdString(time_.format(result->step_time));
        case throughput:
            return QString::fromStdString(format_count(result->tokens_per_s_per_gpu));
        default:
            return result->mfu > 0 ? share(result->mfu) : none();
    }
}

QString StrategyTable::measured_text(int row) const {
    const auto index = static_cast<std::size_t>(row);
    if (index >= measured_.size() || !measured_[index]) return none();
    const MeasuredCell& cell = *measured_[index];
    const QString text = memory_.format(cell.peak);
    if (cell.stale) return text + " (stale)";
    const QString error = deviation_text(cell.peak_error);
    return error.isEmpty() ? text : text + " (" + error + ")";
}

QVariant StrategyTable::value(int row, int column) const {
    const auto index = static_cast<std::size_t>(row);
    const Row& shown = rows_[index];
    const StrategyReport* const report = reports_[index];
    const Result* const result = simulated(report);
    switch (column) {
        case tp:
            return shown.strategy.tp;
        case pp:
            return shown.strategy.pp;
        case dp:
            return shown.dp ? QVariant(*shown.dp) : QVariant();
        case zero:
            return shown.strategy.zero;
        case micro_batch:
            return shown.micro_batch ? QVariant(qlonglong{*shown.micro_batch}) : QVariant();
        case measured:
            if (index >= measured_.size() || !measured_[index]) return {};
            return qlonglong{measured_[index]->peak.value};
        case verdict:
            return report == nullptr ? QVariant() : QVariant(static_cast<int>(report->status));
        default:
            break;
    }
    if (column < peak) return word(shown, column);
    if (result == nullptr) return {};
    const Bytes needed = result->peak_memory().peak;
    switch (column) {
        case peak:
            return qlonglong{needed.value};
        case headroom:
            return qlonglong{(result->capacity - needed).value};
        case step:
            return result->step_time.value;
        case throughput:
            return result->tokens_per_s_per_gpu;
        default:
            return result->mfu;
    }
}

QString StrategyTable::tooltip(int row, int column) const {
    const auto index = static_cast<std::size_t>(row);
    const StrategyReport* const report = reports_[index];
    const Result* const result = simulated(report);
    if (column == measured && index < measured_.size() && measured_[index]) {
        const MeasuredCell& cell = *measured_[index];
        QString text = "Peak " + exact(cell.peak) + "\nStep " + seconds(cell.step_time);
        if (const QString error = deviation_text(cell.step_time_error);
            !error.isEmpty() && !cell.stale)
            text += " (simulated " + error + ")";
        text += "\n" + cell.source;
        return cell.stale ? text + "\nstale: measured of another scenario or strategy" : text;
    }
    if (report == nullptr)
        return evaluation_ && evaluation_->error
                   ? "✕ " + QString::fromUtf8(evaluation_->error->what())
                   : QString();
    if (report->error || column == verdict) return long_verdict(*report);
    if (column < peak) return QString::fromStdString(report->layout);
    if (result == nullptr) return {};
    const MemoryUse& memory = result->peak_memory();
    switch (column) {
        case peak: {
            QString text;
            for (std::size_t i = 0; i < kCategories; ++i)
                text += category_title(static_cast<Category>(i)) + " " +
                        exact(memory.categories[i]) + "\n";
            return text + "Peak " + exact(memory.peak) +
                   QString(", of rank %1").arg(result->peak_rank.value);
        }
        case headroom:
            return exact(result->capacity - memory.peak) + "\nof " + exact(result->capacity) +
                   " usable";
        case step:
            return time_parts(*result);
        case throughput:
            return decimal(result->tokens_per_s_per_gpu, 2) + " of each GPU, " +
                   decimal(result->tokens_per_s, 2) + " of all, per second";
        case mfu:
            return result->mfu > 0 ? decimal(100 * result->mfu, 3) + " %"
                                   : "no peak is known of this device and precision";
        default:
            return {};
    }
}

}  // namespace shardscope::gui
