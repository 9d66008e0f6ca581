#include "gui/views/strategy_form.h"

#include <QCheckBox>
#include <QComboBox>
#include <QFormLayout>
#include <QLabel>
#include <QLineEdit>
#include <QSignalBlocker>
#include <QSpinBox>
#include <QVBoxLayout>
#include <algorithm>

#include "core/strategy/validate.h"
#include "gui/models/error_place.h"
#include "gui/models/strategy_table.h"
#include "gui/views/field_frame.h"

namespace shardscope::gui {
namespace {

constexpr int kMostStrategyRanks = 1'000'000;
constexpr int kMostBucket = 1 << 20;  // MiB: strategy_limits.h

const QStringList kZero{"0 – replicate all", "1 – shard optimizer states", "2 – and gradients",
                        "3 – and parameters"};
const QStringList kRecompute{"none", "selective", "full"};
const QStringList kSchedule{"gpipe", "1f1b", "zb-h1", "zb-v"};
const QStringList kAttention{"flash", "unfused"};

QStringList profile_names() {
    QStringList names;
    for (const RuntimeProfile profile : kRuntimeProfiles)
        names << QString::fromUtf8(name_of(profile).data());
    return names;
}

QString escaped(const std::string& text) { return QString::fromStdString(text).toHtmlEscaped(); }

// Setting a value that is shown already would move the cursor of who is typing.
template <class Widget, class Value>
void show_value(Widget* widget, void (Widget::*set)(Value), Value value) {
    const QSignalBlocker quiet(widget);
    (widget->*set)(value);
}

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
    add_degrees(*layout);
    add_memory(*layout);
    add_more(*layout);

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

QSpinBox* StrategyForm::add_number(QFormLayout& layout, const QString& name, const QString& label,
                                   int least, int most, const QString& hint) {
    auto* const box = new QSpinBox(this);
    box->setObjectName(name);
    box->setAccessibleName(QString(label).remove('&'));
    box->setToolTip(hint);
    box->setRange(least, most);
    box->setKeyboardTracking(false);  // else typing "16" is an edit to 1 and one to 16
    layout.addRow(label, box);
    return box;
}

QComboBox* StrategyForm::add_choice(QFormLayout& layout, const QString& name, const QString& label,
                                    const QStringList& words, const QString& hint) {
    auto* const box = new QComboBox(this);
    box->setObjectName(name);
    box->setAccessibleName(QString(label).remove('&'));
    box->setToolTip(hint);
    box->addItems(words);
    layout.addRow(label, box);
    return box;
}

void StrategyForm::add_degrees(QFormLayout& layout) {
    tp_ = add_number(layout, "tp", "&Tensor parallel", 1, kMostStrategyRanks,
                     "Ranks that every layer is cut into");
    pp_ = add_number(layout, "pp", "&Pipeline parallel", 1, kMostStrategyRanks,
                     "Stages that the layers are divided over");
    dp_ = new QLabel(this);
    dp_->setObjectName("dp");
    layout.addRow("Data parallel", dp_);
    zero_ = add_choice(layout, "zero", "&ZeRO stage", kZero,
                       "What the data-parallel ranks divide instead of each keeping all of it");
    connect(tp_, &QSpinBox::valueChanged, this, [this](int value) {
        edit("set tensor parallel", [value](Strategy& s) { s.tp = value; });
    });
    connect(pp_, &QSpinBox::valueChanged, this, [this](int value) {
        edit("set pipeline parallel", [value](Strategy& s) { s.pp = value; });
    });
    connect(zero_, &QComboBox::activated, this, [this](int value) {
        edit("set ZeRO stage", [value](Strategy& s) { s.zero = value; });
    });
}

void StrategyForm::add_memory(QFormLayout& layout) {
    micro_batch_ = add_number(layout, "micro_batch", "Micro-&batch", 0, 1'000'000,
                              "Samples per rank and micro-batch; auto: the scenario's");
    micro_batch_->setSpecialValueText("auto");
    recompute_ = add_choice(layout, "recompute", "&Recompute", kRecompute,
                            "Which activations the backward pass computes again");
    every_ = add_number(layout, "every", "  of every … block", 1, 10'000,
                        "Full recomputation of every k-th block");
    connect(micro_batch_, &QSpinBox::valueChanged, this, [this](int value) {
        edit("set micro-batch", [value](Strategy& s) {
            s.micro_batch = value > 0 ? std::optional<std::int64_t>(value) : std::nullopt;
        });
    });
    connect(recompute_, &QComboBox::activated, this, [this](int value) {
        edit("set recomputation", [value](Strategy& s) {
            s.recompute = {static_cast<Recompute::Kind>(value), 1};
        });
    });
    connect(every_, &QSpinBox::valueChanged, this, [this](int value) {
        edit("set recomputed blocks", [value](Strategy& s) {
            s.recompute.every = value;
            s.recompute.blocks = std::min(s.recompute.blocks, value);
        });
    });
}

void StrategyForm::add_more(QFormLayout& layout) {
    schedule_ = add_choice(layout, "schedule", "Sche&dule", kSchedule,
                           "In which order pipeline stages work on their micro-batches");
    virtual_stages_ = add_number(layout, "virtual_stages", "&Virtual stages", 1, 1000,
                                 "Chunks of layers per stage (interleaved 1F1B)");
    sequence_parallel_ = new QCheckBox("norms on 1/TP of the rows", this);
    sequence_parallel_->setObjectName("sequence_parallel");
    sequence_parallel_->setAccessibleName("Sequence parallel");
    layout.addRow("Se&quence parallel", sequence_parallel_);
    attention_ = add_choice(layout, "attention", "&Attention", kAttention,
                            "unfused stores the score matrix");
    profile_ = add_choice(layout, "profile", "Profile", profile_names(),
                          "Whose way of training is simulated; only shardscope's can be run");
    bucket_ = add_number(layout, "bucket", "Bucket", 1, kMostBucket,
                         "Gradients are reduced in buckets of at least this size (ZeRO 0 to 2)");
    bucket_->setSuffix(" MiB");
    prefetch_ = add_number(layout, "prefetch", "Prefetch", 0, 1000,
                           "ZeRO 3: layers gathered ahead of the one that computes");
    ranks_ =
        add_number(layout, "ranks", "Ranks", 0, kMostStrategyRanks, "How many of the cluster's");
    ranks_->setSpecialValueText("all");
    connect(schedule_, &QComboBox::activated, this, [this](int value) {
        edit("set schedule", [value](Strategy& s) { s.schedule = static_cast<Schedule>(value); });
    });
    connect(virtual_stages_, &QSpinBox::valueChanged, this, [this](int value) {
        edit("set virtual stages", [value](Strategy& s) { s.virtual_stages = value; });
    });
    connect(sequence_parallel_, &QCheckBox::clicked, this, [this](bool on) {
        edit("set sequence parallel", [on](Strategy& s) { s.sequence_parallel = on; });
    });
    connect(attention_, &QComboBox::activated, this, [this](int value) {
        edit("set attention",
             [value](Strategy& s) { s.attention = static_cast<AttentionKind>(value); });
    });
    connect(profile_, &QComboBox::activated, this, [this](int value) {
        edit("set profile", [value](Strategy& s) {
            set_profile(s, kRuntimeProfiles[static_cast<std::size_t>(value)]);
        });
    });
    connect(bucket_, &QSpinBox::valueChanged, this, [this](int value) {
        edit("set bucket", [value](Strategy& s) { s.bucket = Bytes(value * kMiB); });
    });
    connect(prefetch_, &QSpinBox::valueChanged, this, [this](int value) {
        edit("set prefetch", [value](Strategy& s) { s.prefetch = value; });
    });
    connect(ranks_, &QSpinBox::valueChanged, this, [this](int value) {
        edit("set ranks", [value](Strategy& s) {
            s.ranks = value > 0 ? std::optional<int>(value) : std::nullopt;
        });
    });
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
    show_value(tp_, &QSpinBox::setValue, s.tp);
    show_value(pp_, &QSpinBox::setValue, s.pp);
    show_value(zero_, &QComboBox::setCurrentIndex, s.zero);
    show_value(micro_batch_, &QSpinBox::setValue, static_cast<int>(s.micro_batch.value_or(0)));
    show_value(recompute_, &QComboBox::setCurrentIndex, static_cast<int>(s.recompute.kind));
    show_value(every_, &QSpinBox::setValue, s.recompute.every);
    every_->setEnabled(s.recompute.kind == Recompute::Kind::full);
    show_value(schedule_, &QComboBox::setCurrentIndex, static_cast<int>(s.schedule));
    show_value(virtual_stages_, &QSpinBox::setValue, s.virtual_stages);
    sequence_parallel_->setChecked(s.sequence_parallel);  // only clicks are edits
    show_value(attention_, &QComboBox::setCurrentIndex, static_cast<int>(s.attention));
    show_value(profile_, &QComboBox::setCurrentIndex, static_cast<int>(s.profile));
    show_value(bucket_, &QSpinBox::setValue, static_cast<int>(s.bucket.value / kMiB));
    show_value(prefetch_, &QSpinBox::setValue, s.prefetch);
    show_value(ranks_, &QSpinBox::setValue, s.ranks.value_or(0));
    showing_ = false;
    try {
        const int dp = data_parallel_degree(scenario.cluster, s);
        const int world = s.ranks.value_or(scenario.cluster.world_size());
        dp_->setText(QString("%1  (= %2 / (TP·PP))").arg(dp).arg(world));
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
    frame_->surround(field.isEmpty() ? nullptr : findChild<QWidget*>(field), theme_.alert);
}

}  // namespace shardscope::gui
