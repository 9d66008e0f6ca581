// The table of strategies: selects, edits in place, reorders by dragging.
#pragma once

#include <QStyledItemDelegate>
#include <QTableView>
#include <QTimer>
#include <vector>

#include "gui/session/session.h"
#include "gui/views/theme.h"

namespace shardscope::gui {

class StrategyTable;

// Colours of verdicts, which the model has no word for.
class StrategyDelegate : public QStyledItemDelegate {
    Q_OBJECT

public:
    using QStyledItemDelegate::QStyledItemDelegate;
    Theme theme = Theme::light();
    bool grey = false;  // figures of an earlier scenario

protected:
    void initStyleOption(QStyleOptionViewItem* option, const QModelIndex& index) const override;
};

// Figures that a newer scenario has made stale turn grey when no others come soon: while a slider moves, the table
// is painted once for each answer, and does not flicker.
class StrategyView : public QTableView {
    Q_OBJECT

public:
    StrategyView(Session& session, StrategyTable& table, QWidget* parent);
    void set_theme(const Theme& theme);

    void dataChanged(const QModelIndex& first, const QModelIndex& last,
                     const QList<int>& roles = {}) override;

protected:
    int sizeHintForColumn(int column) const override;
    void changeEvent(QEvent* event) override;
    void dropEvent(QDropEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;

private:
    void follow_selection();
    void fit_soon();
    void fit_columns();

    Session& session_;
    StrategyDelegate* delegate_;
    QTimer grey_;
    bool fits_soon_ = false;
    // Texts of the columns' cells and how wide they are: most stay as they are.
    struct Cell {
        QString text;
        int width = 0;
    };
    mutable std::vector<std::vector<Cell>> measured_;
};

}  // namespace shardscope::gui
