// The selected strategy, field by field, and what the simulator says of it.
#pragma once

#include <QWidget>

#include "gui/models/strategy_fields.h"
#include "gui/session/session.h"
#include "gui/views/theme.h"

class QBoxLayout;
class QFormLayout;
class QLabel;
class QLineEdit;
class QToolButton;

namespace shardscope::gui {

class FieldFrame;
class StrategyTable;

class StrategyForm : public QWidget {
    Q_OBJECT

public:
    StrategyForm(Session& session, const StrategyTable& table, QWidget* parent);
    void set_theme(const Theme& theme);

private:
    // Shows the document's strategy without taking it for an edit.
    void show_strategy();
    void show_verdict();
    void edit(const QString& name, const std::function<void(Strategy&)>& change);
    struct Control {
        StrategyField field;
        QWidget* widget;
    };

    void add_fields(const std::vector<StrategyField>& fields, QFormLayout& layout);
    QWidget* make_control(const StrategyField& field);
    // The button behind which more_fields() are.
    void add_more(QBoxLayout& column);
    void show_value(const Control& control, const Strategy& strategy);

    Session& session_;
    const StrategyTable& table_;
    Theme theme_ = Theme::light();
    QLineEdit* name_;
    std::vector<Control> controls_;
    QToolButton* more_;
    QLabel *dp_, *verdict_;
    FieldFrame* frame_;
    bool showing_ = false;
};

}  // namespace shardscope::gui
