#include "gui/models/measurements.h"

#include <QFileInfo>
#include <algorithm>
#include <cmath>
#include <variant>

#include <fmt/format.h>

#include "core/report/report_import.h"

namespace shardscope::gui {
namespace {

// The same with the sequence of another one, where both have one.
ModelSpec with_sequence_of(ModelSpec model, const ModelSpec& other) {
    const auto take = []<class A, class B>(A& to, const B& from) {
        if constexpr (requires { to.seq = from.seq; }) to.seq = from.seq;
    };
    std::visit(take, model.kind, other.kind);
    return model;
}

void compare_models(const ModelSpec& now, const ModelSpec& measured, QStringList& differences) {
    if (now.kind == measured.kind) return;
    const bool only_sequence = with_sequence_of(now, measured).kind == measured.kind;
    differences << (only_sequence ? "sequence" : "model");
}

// Rates and decays change what is computed, not how much.
bool same_work(const OptimizerSpec& a, const OptimizerSpec& b) {
    return a.kind == b.kind && a.states() == b.states() &&
           (a.weight_decay != 0) == (b.weight_decay != 0);
}

void compare_training(const TrainingSpec& now, const TrainingSpec& measured,
                      QStringList& differences) {
    if (now.global_batch != measured.global_batch) differences << "global batch";
    if (now.arithmetic() != measured.arithmetic()) differences << "precision";
    if (now.gradient_dtype.value_or(now.precision) !=
        measured.gradient_dtype.value_or(measured.precision))
        differences << "gradients";
    if (!same_work(now.optimizer, measured.optimizer)) differences << "optimizer";
    if ((now.clip > 0) != (measured.clip > 0)) differences << "clipping";
}

bool same_machine(const Cluster& now, const Cluster& measured) {
    if (now.nodes != measured.nodes || now.gpus_per_node != measured.gpus_per_node ||
        now.this_machine != measured.this_machine || now.device.kind != measured.device.kind)
        return false;
    if (!now.this_machine) return now.device.name == measured.device.name;
    return now.cores == measured.cores && now.device.threads == measured.device.threads &&
           now.transport == measured.transport;
}

// With what it leaves to the scenario or to its profile filled in, and without what is no value.
Strategy filled_in(Strategy strategy, const TrainingSpec& training, int world) {
    strategy.name.clear();
    if (!strategy.micro_batch && training.micro_batch > 0)
        strategy.micro_batch = training.micro_batch;
    if (!strategy.ranks) strategy.ranks = world;
    const int rest = strategy.tp * strategy.cp * strategy.pp;
    if (!strategy.dp && *strategy.ranks % rest == 0) strategy.dp = *strategy.ranks / rest;
    strategy.bucket = bucket_size(strategy);
    strategy.cp_kind = context_kind(strategy);
    strategy.tp_overlap = tensor_overlap(strategy);
    if (!strategy.etp) strategy.etp = strategy.tp;
    return strategy;
}

double error_of(double predicted, double measured) {
    const double error = predicted / measured - 1;
    return std::isfinite(error) ? error : kNoError;
}
double error_of(Bytes predicted, Bytes measured) {
    return error_of(static_cast<double>(predicted.value), static_cast<double>(measured.value));
}

void set_errors(const std::optional<Result>& simulated, MeasuredRow& row) {
    row.category_errors.fill(kNoError);
    row.part_errors.fill(kNoError);
    if (!simulated) return;
    const Result& measured = *row.result;
    const MemoryUse &predicted_use = simulated->peak_memory(),
                    &measured_use = measured.peak_memory();
    row.peak_error = error_of(predicted_use.peak, measured_use.peak);
    for (std::size_t i = 0; i < kCategories; ++i)
        row.category_errors[i] = error_of(predicted_use.categories[i], measured_use.categories[i]);
    row.step_time_error = error_of(simulated->step_time.value, measured.step_time.value);
    constexpr std::array kParts{&StepTime::compute, &StepTime::exposed_communication,
                                &StepTime::bubble, &StepTime::optimizer};
    static_assert(kParts.size() == kStepParts);
    for (std::size_t i = 0; i < kStepParts; ++i)
        row.part_errors[i] =
            error_of((simulated->time.*kParts[i]).value, (measured.time.*kParts[i]).value);
}

bool has_strategy(const Scenario& scenario, const std::string& name) {
    return std::ranges::find(scenario.strategies, name, &Strategy::name) !=
           scenario.strategies.end();
}

// ISO dates of one form sort as text.
bool fresher(const MeasuredRow& a, const MeasuredRow& b) {
    if (a.stale() != b.stale()) return !a.stale();
    return a.date > b.date;
}

int count_measured(const Report& report) {
    return static_cast<int>(std::ranges::count_if(
        report.strategies, [](const StrategyReport& s) { return s.measured.has_value(); }));
}

}  // namespace

QStringList differences(const Scenario& now, const Strategy& strategy, const Scenario& measured,
                        const Strategy& measured_strategy) {
    QStringList result;
    compare_models(now.model, measured.model, result);
    compare_training(now.training, measured.training, result);
    if (!same_machine(now.cluster, measured.cluster)) result << "cluster";
    // With the same ranks for both: other clusters are told already.
    const int world = now.cluster.world_size();
    if (filled_in(strategy, now.training, world) !=
        filled_in(measured_strategy, measured.training, world))
        result << "strategy";
    return result;
}

Measurements::Measurements(QObject* parent) : QAbstractListModel(parent) {}

void Measurements::open(const QString& path) {
    auto report = std::make_shared<const Report>(load_report(path.toStdString()));
    if (count_measured(*report) == 0)
        throw Error("no-measurements",
                    fmt::format("{}: no strategy of this report was measured", path.toStdString()),
                    "open a report of `shardscope run` or `compare`");
    const auto known = std::ranges::find(files_, path, &File::path);
    if (known != files_.end()) remove(static_cast<int>(known - files_.begin()));
    const int row = rowCount();
    beginInsertRows({}, row, row);
    files_.push_back({path, std::move(report)});
    endInsertRows();
    emit changed();
}

void Measurements::remove(int row) {
    if (row < 0 || row >= rowCount()) return;
    beginRemoveRows({}, row, row);
    files_.erase(files_.begin() + row);
    endRemoveRows();
    emit changed();
}

void Measurements::clear() {
    if (files_.empty()) return;
    beginResetModel();
    files_.clear();
    endResetModel();
    emit changed();
}

std::optional<MeasuredRow> Measurements::row_of(const Evaluation& evaluation,
                                                std::size_t strategy) const {
    const Scenario& now = evaluation.report.scenario;
    const StrategyReport& simulated = evaluation.report.strategies[strategy];
    const Strategy& asked = now.strategies[strategy];
    std::optional<MeasuredRow> best;
    for (const File& file : files_) {
        const Report& report = *file.report;
        for (std::size_t i = 0; i < report.strategies.size(); ++i) {
            const StrategyReport& entry = report.strategies[i];
            const bool own = entry.name == asked.name;
            if (!entry.measured || (!own && has_strategy(now, entry.name))) continue;
            const Context& context = report.context;
            MeasuredRow row;
            row.differences =
                differences(now, asked, report.scenario, report.scenario.strategies[i]);
            if (now.cluster.this_machine && context.host != evaluation.report.context.host)
                row.differences << "machine";
            if (!own && row.stale()) continue;  // renamed ones are known by their values only
            row.report = file.report;
            row.strategy = &entry;
            row.result = &*entry.measured;
            row.file = file.path;
            row.date = QString::fromStdString(context.date);
            row.host = QString::fromStdString(context.host);
            row.backend = QString::fromStdString(context.backend);
            if (!best || fresher(row, *best)) best = std::move(row);
        }
    }
    if (best) set_errors(simulated.simulated, *best);
    return best;
}

std::vector<std::optional<MeasuredRow>> Measurements::compare(const Evaluation& evaluation) const {
    std::vector<std::optional<MeasuredRow>> rows;
    for (std::size_t i = 0; i < evaluation.report.strategies.size(); ++i)
        rows.push_back(row_of(evaluation, i));
    return rows;
}

int Measurements::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(files_.size());
}

QVariant Measurements::data(const QModelIndex& index, int role) const {
    if (!index.isValid() || index.row() >= rowCount()) return {};
    const File& file = files_[static_cast<std::size_t>(index.row())];
    const Context& context = file.report->context;
    switch (role) {
        case Qt::DisplayRole:
            return QString("%1: %2 measured, %3 on %4, %5")
                .arg(QFileInfo(file.path).fileName())
                .arg(count_measured(*file.report))
                .arg(QString::fromStdString(context.backend), QString::fromStdString(context.host),
                     QString::fromStdString(context.date));
        case Qt::ToolTipRole:
        case PathRole:
            return file.path;
        default:
            return {};
    }
}

}  // namespace shardscope::gui
