// The strategies as a table: what each is, what it costs, and whether it fits. Cells of what a strategy
// is can be edited; every edit is one step of the document's history.
#pragma once

#include <QAbstractTableModel>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "core/report/figures.h"
#include "gui/models/document.h"
#include "gui/models/evaluation.h"
#include "gui/models/memory_bars.h"
#include "gui/models/strategy_words.h"

namespace shardscope::gui {

// What a real run of a row's strategy took.
struct MeasuredCell {
    Bytes peak;
    Seconds step_time;
    bool stale = false;  // of another scenario or strategy than the document has now
    QString source;      // the report's file, and when it was made
    // Simulated / measured − 1 (MeasuredRow); NaN: unknown.
    double peak_error = std::numeric_limits<double>::quiet_NaN();
    double step_time_error = std::numeric_limits<double>::quiet_NaN();
};

class StrategyTable : public QAbstractTableModel {
    Q_OBJECT

public:
    enum Column {
        name,
        tp,
        pp,
        dp,
        zero,
        micro_batch,
        recompute,
        schedule,
        peak,
        headroom,
        measured,
        step,
        throughput,
        mfu,
        verdict,
        kColumns
    };
    enum Role {
        // The figure itself (bytes, seconds, …; invalid: unknown), Status as int for the verdict.
        value_role = Qt::UserRole,
        // Whether the cell shows an earlier state of the scenario, until the simulation is done.
        stale_role,
        // The words that a cell takes; an empty list: any text or number.
        choices_role,
    };

    explicit StrategyTable(Document& document, QObject* parent = nullptr);

    // The newest evaluation; it may be of another revision of the document.
    void set_evaluation(std::shared_ptr<const Evaluation> evaluation);
    // Per row of the document, or empty.
    void set_measurements(std::vector<std::optional<MeasuredCell>> rows);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    QVariant headerData(int section, Qt::Orientation orientation,
                        int role = Qt::DisplayRole) const override;
    Qt::ItemFlags flags(const QModelIndex& index) const override;
    // Words as in a scenario ("auto", "selective", "every 2", "1f1b", "1f1b v2", …); false and unchanged
    // where the text is none of them.
    bool setData(const QModelIndex& index, const QVariant& value, int role = Qt::EditRole) override;

    // Rows are moved by dragging one between two others.
    Qt::DropActions supportedDropActions() const override { return Qt::MoveAction; }
    QStringList mimeTypes() const override;
    QMimeData* mimeData(const QModelIndexList& indexes) const override;
    bool canDropMimeData(const QMimeData* data, Qt::DropAction action, int row, int column,
                         const QModelIndex& parent) const override;
    bool dropMimeData(const QMimeData* data, Qt::DropAction action, int row, int column,
                      const QModelIndex& parent) override;

private:
    // A strategy of the document, and what follows from it without a simulation; empty: invalid.
    struct Row {
        Strategy strategy;
        std::optional<int> dp;
        std::optional<std::int64_t> micro_batch;
        bool operator==(const Row&) const = default;
    };
    // Cells of what a strategy is, and of what it costs.
    QString word(const Row& row, int column) const;
    QString figure(int row, int column) const;
    QVariant value(int row, int column) const;
    QString tooltip(int row, int column) const;
    QString measured_text(int row) const;
    bool stale() const;
    void follow_document();
    void refresh();
    void choose_units();

    Document& document_;
    std::shared_ptr<const Evaluation> evaluation_;
    std::vector<std::optional<MeasuredCell>> measured_;
    std::vector<Row> rows_;                       // the document's, as the views know them
    std::vector<const StrategyReport*> reports_;  // per row, of evaluation_; null: none yet
    MemoryScale memory_;                          // of the columns
    TimeUnit time_;
    QStringList titles_;  // of the columns, as the views know them
};

// The table's header and rows as GitHub's Markdown, as the window shows them.
QString table_to_markdown(const QAbstractItemModel& table);
// The same aligned with spaces: what tests read.
QString table_to_text(const QAbstractItemModel& table);
// One row per strategy in full precision: SI base units in the header, the C locale, RFC 4180, all
// categories of memory, whose sum is `peak_bytes`. Unknown figures are empty.
QString strategies_to_csv(const Document& document, const Evaluation* evaluation,
                          const std::vector<std::optional<MeasuredCell>>& measured);

}  // namespace shardscope::gui
