// The table of strategies: selects, edits in place, reorders by dragging.
#pragma once

#include <QStyledItemDelegate>
#include <QTableView>
#include <QTimer>

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

protected:
    void initStyleOption(QStyleOptionViewItem* option, const QModelIndex& index) const override;
};

class StrategyView : public QTableView {
    Q_OBJECT

public:
    StrategyView(Session& session, StrategyTable& table, QWidget* parent);
    void set_theme(const Theme& theme);

protected:
    void dropEvent(QDropEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;

private:
    void follow_selection();
    void fit_columns();

    Session& session_;
    StrategyDelegate* delegate_;
    QTimer fit_;
};

}  // namespace shardscope::gui
