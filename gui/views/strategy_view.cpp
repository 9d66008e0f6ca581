#include "gui/views/strategy_view.h"

#include <QDropEvent>
#include <QHeaderView>
#include <QKeyEvent>

#include "gui/models/strategy_table.h"

namespace shardscope::gui {
namespace {

constexpr int kName = 180, kWidestName = 420;  // pixels

}  // namespace

void StrategyDelegate::initStyleOption(QStyleOptionViewItem* option,
                                       const QModelIndex& index) const {
    QStyledItemDelegate::initStyleOption(option, index);
    if (option->state & QStyle::State_Selected) return;
    const QModelIndex verdict = index.siblingAtColumn(StrategyTable::verdict);
    const QVariant status = verdict.data(StrategyTable::value_role);
    if (index.data(StrategyTable::stale_role).toBool())
        option->palette.setColor(QPalette::Text, theme.muted);
    else if (index.column() == StrategyTable::verdict && status.isValid() &&
             static_cast<Status>(status.toInt()) != Status::fits)
        option->palette.setColor(QPalette::Text, theme.alert);
}

StrategyView::StrategyView(Session& session, StrategyTable& table, QWidget* parent)
    : QTableView(parent), session_(session), delegate_(new StrategyDelegate(this)) {
    setObjectName("strategies");
    setAccessibleName("Strategies");
    setAccessibleDescription("One row per strategy: its degrees, memory, time and verdict");
    setModel(&table);
    setItemDelegate(delegate_);
    setSelectionBehavior(SelectRows);
    setSelectionMode(SingleSelection);
    setAlternatingRowColors(true);
    setShowGrid(false);
    setWordWrap(false);
    setEditTriggers(DoubleClicked | EditKeyPressed | AnyKeyPressed);
    setTabKeyNavigation(false);  // Tab goes on to the charts
    setDragEnabled(true);
    setAcceptDrops(true);
    setDropIndicatorShown(true);
    setDragDropMode(InternalMove);
    setDragDropOverwriteMode(false);
    verticalHeader()->setDefaultSectionSize(fontMetrics().height() + 6);
    verticalHeader()->setSectionResizeMode(QHeaderView::Fixed);
    horizontalHeader()->setHighlightSections(false);
    connect(selectionModel(), &QItemSelectionModel::currentRowChanged, this,
            [this](const QModelIndex& now) {
                if (now.isValid()) session_.select(now.row());
            });
    connect(&session_, &Session::selected_changed, this, &StrategyView::follow_selection);
    connect(&session_.document(), &Document::changed, this, &StrategyView::follow_selection);
    // Once for all changes that come together.
    fit_.setSingleShot(true);
    connect(&fit_, &QTimer::timeout, this, &StrategyView::fit_columns);
    const auto soon = [this] { fit_.start(0); };
    connect(&table, &QAbstractItemModel::dataChanged, this, soon);
    connect(&table, &QAbstractItemModel::modelReset, this, soon);
    follow_selection();
}

void StrategyView::set_theme(const Theme& theme) {
    delegate_->theme = theme;
    viewport()->update();
}

void StrategyView::follow_selection() {
    const int row = session_.selected();
    if (row < 0 || row >= model()->rowCount()) {
        clearSelection();
        return;
    }
    if (currentIndex().row() == row && selectionModel()->isRowSelected(row, {})) return;
    const int column = std::max(0, currentIndex().column());
    setCurrentIndex(model()->index(row, column));
}

// The name takes what the figures leave. Where they do not all fit, the verdict comes first.
void StrategyView::fit_columns() {
    resizeColumnsToContents();
    int others = 0;
    for (int c = 1; c < model()->columnCount(); ++c) others += columnWidth(c);
    const int rest = viewport()->width() - others;
    setColumnWidth(0, std::clamp(rest, std::min(columnWidth(0), kName), kWidestName));
    QHeaderView& header = *horizontalHeader();
    const int place =
        others + columnWidth(0) > viewport()->width() ? 1 : model()->columnCount() - 1;
    const int now = header.visualIndex(StrategyTable::verdict);
    if (now != place) header.moveSection(now, place);
}

void StrategyView::resizeEvent(QResizeEvent* event) {
    QTableView::resizeEvent(event);
    fit_columns();
}

// The model has moved the row by one edit: nothing is left to take away.
void StrategyView::dropEvent(QDropEvent* event) {
    QTableView::dropEvent(event);
    event->setDropAction(Qt::CopyAction);
    event->accept();
}

void StrategyView::keyPressEvent(QKeyEvent* event) {
    if (event->key() == Qt::Key_Return && state() != EditingState && currentIndex().isValid())
        edit(currentIndex());
    else
        QTableView::keyPressEvent(event);
}

}  // namespace shardscope::gui
