#include "gui/views/strategy_view.h"

#include <QDropEvent>
#include <QHeaderView>
#include <QKeyEvent>
#include <algorithm>
#include <utility>

#include "gui/models/strategy_table.h"

namespace shardscope::gui {
namespace {

constexpr int kName = 180, kWidestName = 420;  // pixels
constexpr int kGreyAfter = 150;                // milliseconds

}  // namespace

void StrategyDelegate::initStyleOption(QStyleOptionViewItem* option,
                                       const QModelIndex& index) const {
    QStyledItemDelegate::initStyleOption(option, index);
    if (option->state & QStyle::State_Selected) return;
    const QModelIndex verdict = index.siblingAtColumn(StrategyTable::verdict);
    const QVariant status = verdict.data(StrategyTable::value_role);
    if (grey && index.data(StrategyTable::stale_role).toBool())
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
    grey_.setSingleShot(true);
    grey_.setInterval(kGreyAfter);
    connect(&grey_, &QTimer::timeout, this, [this] {
        delegate_->grey = !session_.up_to_date();
        viewport()->update();
    });
    connect(&session_, &Session::pending, this, [this] {
        if (!delegate_->grey && !grey_.isActive()) grey_.start();
    });
    connect(&session_, &Session::evaluated, this, [this] {
        delegate_->grey = false;
        grey_.stop();
        if (!session_.up_to_date()) grey_.start();
    });
    connect(&table, &QAbstractItemModel::modelReset, this, &StrategyView::fit_soon);
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

void StrategyView::dataChanged(const QModelIndex& first, const QModelIndex& last,
                               const QList<int>& roles) {
    if (roles == QList<int>{StrategyTable::stale_role}) return;  // grey_ shows it
    QTableView::dataChanged(first, last, roles);
    fit_soon();
}

// Once for all changes that come together, and before they are painted.
void StrategyView::fit_soon() {
    if (std::exchange(fits_soon_, true)) return;
    const auto fit = [this] {
        fits_soon_ = false;
        fit_columns();
    };
    QMetaObject::invokeMethod(this, fit, Qt::QueuedConnection);
}

int StrategyView::sizeHintForColumn(int column) const {
    measured_.resize(static_cast<std::size_t>(model()->columnCount()));
    auto& cells = measured_[static_cast<std::size_t>(column)];
    cells.resize(static_cast<std::size_t>(model()->rowCount()));
    int widest = 0;
    for (int row = 0; row < model()->rowCount(); ++row) {
        const QModelIndex index = model()->index(row, column);
        Cell& cell = cells[static_cast<std::size_t>(row)];
        const QString text = index.data().toString();
        if (cell.text != text) cell = {text, sizeHintForIndex(index).width()};
        widest = std::max(widest, cell.width);
    }
    return widest;
}

// The name takes what the figures leave. Where they do not all fit, the verdict comes first.
void StrategyView::fit_columns() {
    QHeaderView& header = *horizontalHeader();
    const auto wanted = [&](int column) {
        return std::max(sizeHintForColumn(column), header.sectionSizeHint(column));
    };
    int others = 0;
    for (int c = 1; c < model()->columnCount(); ++c) {
        setColumnWidth(c, wanted(c));
        others += columnWidth(c);
    }
    const int rest = viewport()->width() - others;
    setColumnWidth(0, std::clamp(rest, std::min(wanted(0), kName), kWidestName));
    const int place =
        others + columnWidth(0) > viewport()->width() ? 1 : model()->columnCount() - 1;
    const int now = header.visualIndex(StrategyTable::verdict);
    if (now != place) header.moveSection(now, place);
}

void StrategyView::changeEvent(QEvent* event) {
    QTableView::changeEvent(event);
    if (event->type() != QEvent::FontChange && event->type() != QEvent::StyleChange) return;
    measured_.clear();
    fit_soon();
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
