// The selected strategy, field by field, and what the simulator says of it.
#pragma once

#include <QWidget>

#include "gui/session/session.h"
#include "gui/views/theme.h"

class QCheckBox;
class QComboBox;
class QFormLayout;
class QLabel;
class QLineEdit;
class QSpinBox;

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
    void add_degrees(QFormLayout& layout);
    void add_memory(QFormLayout& layout);
    void add_more(QFormLayout& layout);
    QSpinBox* add_number(QFormLayout& layout, const QString& name, const QString& label, int least,
                         int most, const QString& hint);
    QComboBox* add_choice(QFormLayout& layout, const QString& name, const QString& label,
                          const QStringList& words, const QString& hint);

    Session& session_;
    const StrategyTable& table_;
    Theme theme_ = Theme::light();
    QLineEdit* name_;
    QSpinBox *tp_, *pp_, *micro_batch_, *virtual_stages_, *every_, *prefetch_, *bucket_, *ranks_;
    QComboBox *zero_, *recompute_, *schedule_, *attention_, *profile_;
    QCheckBox* sequence_parallel_;
    QLabel *dp_, *verdict_;
    FieldFrame* frame_;
    bool showing_ = false;
};

}  // namespace shardscope::gui
