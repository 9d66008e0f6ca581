#include "gui/models/strategy_table.h"

#include <QCoreApplication>
#include <QMimeData>
#include <algorithm>
#include <utility>

#include "core/strategy/strategy_limits.h"
#include "core/strategy/validate.h"

namespace shardscope::gui {
namespace {

constexpr const char* kRowMime = "application/x-shardscope-strategy";

bool is_word(int column) {
    return column == StrategyTable::name || column == StrategyTable::recompute ||
           column == StrategyTable::schedule || column == StrategyTable::verdict;
}

bool is_editable(int column) { return column <= StrategyTable::schedule; }

// What a history calls an edit of the column.
QString edit_name(int column) {
    static const QStringList kNames{
        "rename strategy", "set tensor parallel", "set pipeline parallel", "set data parallel",
        "set ZeRO stage",  "set micro-batch",     "set recomputation",     "set schedule"};
    return kNames[column];
}

bool read_cell(const QString& text, int column, Strategy& to) {
    switch (column) {
        case StrategyTable::name:
            return read_name(text, to.name);
        case StrategyTable::tp:
            return read_number(text, kDegree, to.tp);
        case StrategyTable::pp:
            return read_number(text, kDegree, to.pp);
        case StrategyTable::dp:
            return read_number_or_auto(text, kDegree, to.dp);
        case StrategyTable::zero:
            return read_number(text, kZero, to.zero);
        case StrategyTable::micro_batch:
            return read_number_or_auto(text, kBatchRange, to.micro_batch);
        case StrategyTable::recompute:
            return read_recompute(text, to.recompute);
        case StrategyTable::schedule:
            return read_schedule(text, to);
        default:
            return false;
    }
}

// As setData takes it.
QString editable(const Strategy& s, int column) {
    switch (column) {
        case StrategyTable::dp:
            return s.dp ? QString::number(*s.dp) : "auto";
        case StrategyTable::micro_batch:
            return s.micro_batch ? QString::number(*s.micro_batch) : "auto";
        case StrategyTable::schedule:
            return schedule_text(s);
        default:
            return {};
    }
}

QStringList choices(int column) {
    if (column == StrategyTable::zero) return {"0", "1", "2", "3"};
    if (column == StrategyTable::recompute) return recompute_words();
    if (column == StrategyTable::schedule) return schedule_words();
    return {};
}

}  // namespace

StrategyTable::StrategyTable(Document& document, QObject* parent)
    : QAbstractTableModel(parent),
      document_(document),
      memory_(MemoryShow::binary, Bytes{}, Bytes{}),
      time_(Seconds{}) {
    connect(&document, &Document::changed, this, &StrategyTable::follow_document);
    follow_document();
}

void StrategyTable::set_evaluation(std::shared_ptr<const Evaluation> evaluation) {
    evaluation_ = std::move(evaluation);
    refresh();
}

void StrategyTable::set_measurements(std::vector<std::optional<MeasuredCell>> rows) {
    const auto none = [](const std::vector<std::optional<MeasuredCell>>& cells) {
        return std::ranges::none_of(cells, [](const auto& cell) { return cell.has_value(); });
    };
    const bool same = none(measured_) && none(rows);
    measured_ = std::move(rows);
    if (!same) refresh();
}

int StrategyTable::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(rows_.size());
}

int StrategyTable::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : kColumns;
}

QVariant StrategyTable::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const int row = index.row(), column = index.column();
    const Row& shown = rows_[static_cast<std::size_t>(row)];
    const bool of_strategy = is_editable(column);
    switch (role) {
        case Qt::DisplayRole:
            return of_strategy ? word(shown, column) : figure(row, column);
        case Qt::EditRole: {
            const QString text = editable(shown.strategy, column);
            if (!text.isEmpty()) return text;
            return of_strategy ? word(shown, column) : figure(row, column);
        }
        case Qt::ToolTipRole:
            return tooltip(row, column);
        case Qt::TextAlignmentRole:
            return QVariant::fromValue(Qt::Alignment(
                Qt::AlignVCenter | (is_word(column) ? Qt::AlignLeft : Qt::AlignRight)));
        case value_role:
            return value(row, column);
        case stale_role:
            return !of_strategy && stale();
        case choices_role:
            return choices(column);
        default:
            return {};
    }
}

Qt::ItemFlags StrategyTable::flags(const QModelIndex& index) const {
    if (!index.isValid()) return Qt::ItemIsDropEnabled;  // between rows
    Qt::ItemFlags flags =
        Qt::ItemIsSelectable | Qt::ItemIsEnabled | Qt::ItemIsDragEnabled | Qt::ItemNeverHasChildren;
    if (is_editable(index.column())) flags |= Qt::ItemIsEditable;
    return flags;
}

bool StrategyTable::setData(const QModelIndex& index, const QVariant& value, int role) {
    if (role != Qt::EditRole || !checkIndex(index, CheckIndexOption::IndexIsValid)) return false;
    Strategy strategy = rows_[static_cast<std::size_t>(index.row())].strategy;
    if (!read_cell(value.toString(), index.column(), strategy)) return false;
    document_.set_strategy(index.row(), strategy, edit_name(index.column()));
    return true;
}

QStringList StrategyTable::mimeTypes() const { return {kRowMime}; }

QMimeData* StrategyTable::mimeData(const QModelIndexList& indexes) const {
    if (indexes.isEmpty()) return nullptr;
    auto* const data = new QMimeData;
    // The process is named so that no other window's row is taken for one of ours.
    data->setData(kRowMime, QByteArray::number(QCoreApplication::applicationPid()) + " " +
                                QByteArray::number(indexes.first().row()));
    return data;
}

namespace {

// The row that is dragged; −1: none of this process.
int dragged_row(const QMimeData* data) {
    const QList<QByteArray> words = data->data(kRowMime).split(' ');
    if (words.size() != 2 || words[0].toLongLong() != QCoreApplication::applicationPid()) return -1;
    bool number = false;
    const int row = words[1].toInt(&number);
    return number ? row : -1;
}

}  // namespace

bool StrategyTable::canDropMimeData(const QMimeData* data, Qt::DropAction action, int, int,
                                    const QModelIndex&) const {
    const int row = data == nullptr ? -1 : dragged_row(data);
    return action == Qt::MoveAction && row >= 0 && row < rowCount();
}

bool StrategyTable::dropMimeData(const QMimeData* data, Qt::DropAction action, int row, int column,
                                 const QModelIndex& parent) {
    if (!canDropMimeData(data, action, row, column, parent)) return false;
    // Onto a row: before it; below all: at the end.
    int before = parent.isValid() ? parent.row() : row;
    if (before < 0) before = rowCount();
    const int from = dragged_row(data);
    document_.move_strategy(from, from < before ? before - 1 : before);
    return true;
}

// One row more or less keeps the views' places; all else keeps or renews the list.
void StrategyTable::follow_document() {
    const Scenario& scenario = document_.scenario();
    std::vector<Row> rows;
    for (const Strategy& strategy : scenario.strategies) {
        Row& row = rows.emplace_back(Row{strategy, {}, {}});
        try {
            row.dp = data_parallel_degree(scenario.cluster, strategy);
            row.micro_batch = layout_for(scenario, strategy).micro_batch;
        } catch (const Error&) {
            // The simulation reports it.
        }
    }
    if (!rows.empty() && rows == rows_) {  // model, training or cluster are others
        rows_ = std::move(rows);
        emit dataChanged(index(0, peak), index(rowCount() - 1, kColumns - 1), {stale_role});
        return;
    }
    const auto same = [](const Row& a, const Row& b) { return a.strategy == b.strategy; };
    const auto differ = std::mismatch(rows_.begin(), rows_.end(), rows.begin(), rows.end(), same);
    const int first = static_cast<int>(differ.second - rows.begin());
    const auto renew = [&] {
        rows_ = std::move(rows);
        reports_.assign(rows_.size(), nullptr);
    };
    if (rows.size() == rows_.size() + 1) {
        beginInsertRows({}, first, first);
        renew();
        endInsertRows();
    } else if (rows.size() + 1 == rows_.size()) {
        beginRemoveRows({}, first, first);
        renew();
        endRemoveRows();
    } else if (rows.size() == rows_.size()) {
        renew();
    } else {
        beginResetModel();
        renew();
        endResetModel();
    }
    refresh();
}

void StrategyTable::refresh() {
    std::vector<Strategy> strategies;
    for (const Row& row : rows_) strategies.push_back(row.strategy);
    for (int row = 0; row < rowCount(); ++row)
        reports_[static_cast<std::size_t>(row)] = report_of_row(evaluation_.get(), strategies, row);
    choose_units();
    QStringList titles;
    for (int column = 0; column < kColumns; ++column)
        titles << headerData(column, Qt::Horizontal).toString();
    if (titles != titles_) {
        titles_ = std::move(titles);
        emit headerDataChanged(Qt::Horizontal, 0, kColumns - 1);
    }
    if (rows_.empty()) return;
    emit dataChanged(index(0, 0), index(rowCount() - 1, kColumns - 1));
}

void StrategyTable::choose_units() {
    Bytes largest;
    Seconds longest;
    for (const StrategyReport* report : reports_) {
        if (report == nullptr || !report->simulated) continue;
        largest = std::max(largest, report->simulated->peak_memory().peak);
        longest = std::max(longest, report->simulated->step_time);
    }
    memory_ = MemoryScale(MemoryShow::binary,
                          largest.value > 0 ? largest : Bytes(std::int64_t{1} << 30), Bytes{});
    time_ = TimeUnit(longest.value > 0 ? longest : Seconds(1));
}

bool StrategyTable::stale() const {
    return !evaluation_ || evaluation_->revision != document_.revision();
}

}  // namespace shardscope::gui
