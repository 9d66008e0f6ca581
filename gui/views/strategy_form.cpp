#include "gui/views/strategy_form.h"

#include <QCheckBox>
#include <QComboBox>
#include <QFormLayout>
#include <QLabel>
#include <QLineEdit>
#include <QSignalBlocker>
#include <QSpinBox>
#include <QToolButton>
#include <QVBoxLayout>

#include "core/strategy/validate.h"
#include "gui/models/error_place.h"
#include "gui/models/strategy_table.h"
#include "gui/views/field_frame.h"
#include "gui/views/named_spin_box.h"

namespace shardscope::gui {
namespace {

QString escaped(const std::string& text) { return QString::fromStdString(text).toHtmlEscaped(); }

// Whether it fits, and how much is missing: the words of the table's verdict.
QString verdict_text(const QString& verdict, const StrategyReport& report, const QString& alert) {
    const Result& result = *report.simulated;
    const double headroom = gib(result.capacity - result.peak_memory().peak);
    if (report.status == Status::fits)
        return QString("<b>%1</b>, %2 GiB of %3 GiB are free")
            .arg(verdict.toHtmlEscaped())
            .arg(headroom, 0, 'f', 1)
            .arg(gib(result.capacity), 0, 'f', 1);
    return QString("<b style='color:%1'>%2</b>").arg(alert, verdict.toHtmlEscaped());
}

}  // namespace

StrategyForm::StrategyForm(Session& session, const StrategyTable& table, QWidget* parent)
    : QWidget(parent), session_(session), table_(table) {
    setObjectName("strategy_form");
    auto* const column = new QVBoxLayout(this);
    column->setContentsMargins(10, 4, 10, 6);
    auto* const layout = new QFormLayout;
    layout->setVerticalSpacing(4);
    layout->setFieldGrowthPolicy(QFormLayout::AllNonFixedFieldsGrow);
    column->addLayout(layout);

    name_ = new QLineEdit(this);
    name_->setObjectName("strategy_name");
    name_->setAccessibleName("Name of the strategy");
    layout->addRow("&Name", name_);
    connect(name_, &QLineEdit::editingFinished, this, [this] {
        if (!showing_ && !name_->text().trimmed().isEmpty())
            edit("rename strategy",
                 [text = name_->text().trimmed().toStdString()](Strategy& s) { s.name = text; });
    });
    add_fields(usual_fields(), *layout);
    add_more(*column);

    verdict_ = new QLabel(this);
    verdict_->setObjectName("verdict");
    verdict_->setAccessibleName("What the simulator says of the strategy");
    verdict_->setWordWrap(true);
    verdict_->setTextFormat(Qt::RichText);
    verdict_->setTextInteractionFlags(Qt::TextSelectableByMouse);
    verdict_->setAlignment(Qt::AlignTop | Qt::AlignLeft);
    verdict_->setMinimumHeight(6 * fontMetrics().height());
    column->addWidget(verdict_);
    column->addStretch(1);
    frame_ = new FieldFrame(this);

    connect(&session_.document(), &Document::changed, this, &StrategyForm::show_strategy);
    connect(&session_, &Session::selected_changed, this, [this] {
        show_strategy();
        show_verdict();
    });
    connect(&session_, &Session::evaluated, this, &StrategyForm::show_verdict);
    show_strategy();
}

void StrategyForm::add_fields(const std::vector<StrategyField>& fields, QFormLayout& layout) {
    QBoxLayout* row = nullptr;
    for (std::size_t i = 0; i < fields.size(); ++i) {
        const StrategyField& field = fields[i];
        QWidget* const control = make_control(field);
        control->setObjectName(field.name);
        control->setAccessibleName(
            QString(field.label.isEmpty() || field.beside ? field.noun : field.label)
                .remove('&')
                .trimmed());
        control->setToolTip(field.hint);
        if (field.beside) {
            row->addWidget(new QLabel(field.label, this));
            row->addWidget(control, 1);
        } else if (i + 1 < fields.size() && fields[i + 1].beside) {
            row = new QHBoxLayout;
            row->addWidget(control, 1);
            layout.addRow(field.label, row);
        } else {
            layout.addRow(field.label, control);
        }
        controls_.push_back({field, control});
        if (field.name != "pp") continue;
        dp_ = new QLabel(this);
        dp_->setObjectName("dp");
        layout.addRow("Data parallel", dp_);
    }
}

QWidget* StrategyForm::make_control(const StrategyField& field) {
    const auto changed = [this, name = "set " + field.noun, set = field.set](int value) {
        edit(name, [set, value](Strategy& s) { set(s, value); });
    };
    if (field.kind == StrategyField::Kind::number) {
        auto* const box = new NamedSpinBox(field.words, this);
        box->setRange(field.least, field.most);
        box->set_unit(field.unit);
        box->setKeyboardTracking(false);  // else typing "16" is an edit to 1 and one to 16
        connect(box, &QSpinBox::valueChanged, this, changed);
        return box;
    }
    if (field.kind == StrategyField::Kind::choice) {
        auto* const box = new QComboBox(this);
        box->addItems(field.choices);
        connect(box, &QComboBox::activated, this, changed);
        return box;
    }
    auto* const box = new QCheckBox(field.choices.value(0), this);
    connect(box, &QCheckBox::clicked, this, changed);
    return box;
}

void StrategyForm::add_more(QBoxLayout& column) {
    more_ = new QToolButton(this);
    more_->setObjectName("more");
    more_->setCheckable(true);
    more_->setAutoRaise(true);
    more_->setFocusPolicy(Qt::TabFocus);
    more_->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
    more_->setToolTip("Context and expert parallelism, groups of shards, ZeRO++, overlap, offload");
    column.addWidget(more_);
    auto* const fields = new QWidget(this);
    fields->setObjectName("more_fields");
    auto* const layout = new QFormLayout(fields);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setVerticalSpacing(4);
    layout->setFieldGrowthPolicy(QFormLayout::AllNonFixedFieldsGrow);
    add_fields(more_fields(), *layout);
    column.addWidget(fields);
    const auto open = [this, fields](bool on) {
        more_->setArrowType(on ? Qt::DownArrow : Qt::RightArrow);
        fields->setVisible(on);
    };
    connect(more_, &QToolButton::toggled, this, open);
    open(false);
}

void StrategyForm::set_theme(const Theme& theme) {
    theme_ = theme;
    show_verdict();
}

void StrategyForm::edit(const QString& name, const std::function<void(Strategy&)>& change) {
    const int row = session_.selected();
    const auto& strategies = session_.document().scenario().strategies;
    if (showing_ || row < 0 || row >= static_cast<int>(strategies.size())) return;
    Strategy strategy = strategies[static_cast<std::size_t>(row)];
    change(strategy);
    session_.document().set_strategy(row, strategy, name);
}

// Only what differs is set: setting the value that is shown would move the cursor of who is typing.
void StrategyForm::show_value(const Control& control, const Strategy& strategy) {
    const StrategyField& field = control.field;
    const QSignalBlocker quiet(control.widget);
    const int value = field.value(strategy);
    if (auto* const number = qobject_cast<QSpinBox*>(control.widget))
        number->setValue(value);
    else if (auto* const choice = qobject_cast<QComboBox*>(control.widget))
        choice->setCurrentIndex(value);
    else if (auto* const flag = qobject_cast<QCheckBox*>(control.widget))
        flag->setChecked(value != 0);
    control.widget->setEnabled(field.applies == nullptr || field.applies(strategy));
}

void StrategyForm::show_strategy() {
    const Scenario& scenario = session_.document().scenario();
    const int row = session_.selected();
    const bool any = row >= 0 && row < static_cast<int>(scenario.strategies.size());
    setEnabled(any);
    if (!any) return;
    const Strategy& s = scenario.strategies[static_cast<std::size_t>(row)];
    showing_ = true;
    const QString shown_name = QString::fromStdString(s.name);
    if (name_->text() != shown_name) name_->setText(shown_name);
    for (const Control& control : controls_) show_value(control, s);
    const int set = fields_set(more_fields(), s);
    more_->setText(set == 0 ? "More" : QString("More (%1 set)").arg(set));
    showing_ = false;
    try {
        const int dp = data_parallel_degree(scenario.cluster, s);
        const int world = s.ranks.value_or(scenario.cluster.world_size());
        dp_->setText(
            QString("%1  (= %2 / (%3))").arg(dp).arg(world).arg(s.cp > 1 ? "TP·CP·PP" : "TP·PP"));
    } catch (const Error&) {
        dp_->setText("–");
    }
}

void StrategyForm::show_verdict() {
    const StrategyReport* const report = session_.strategy_report(session_.selected());
    const Error* error = report && report->error ? &*report->error : nullptr;
    const auto& evaluation = session_.evaluation();
    if (evaluation && evaluation->error) error = &*evaluation->error;
    const QString alert = theme_.alert.name();
    QString field;
    if (error != nullptr) {
        verdict_->setText(
            QString("<b style='color:%1'>✕ %2</b><br><span style='color:%1'>%3</span>"
                    "<br>Fix: %4")
                .arg(alert, escaped(error->rule), escaped(error->message), escaped(error->fix)));
        field = error_field(*error);
    } else if (report != nullptr && report->simulated) {
        const QModelIndex cell = table_.index(session_.selected(), StrategyTable::verdict);
        const bool fits = report->status == Status::fits;
        const int role = fits ? Qt::DisplayRole : Qt::ToolTipRole;
        verdict_->setText(verdict_text(cell.data(role).toString(), *report, alert));
    } else {
        verdict_->clear();
    }
    auto* const control = field.isEmpty() ? nullptr : findChild<QWidget*>(field);
    // What has to be changed is shown.
    if (control != nullptr && control->parentWidget()->objectName() == "more_fields")
        more_->setChecked(true);
    frame_->surround(control, theme_.alert);
}

}  // namespace shardscope::gui
