#include "gui/views/scenario_form.h"

#include <QComboBox>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QSignalBlocker>
#include <QSlider>
#include <QSpinBox>
#include <QVBoxLayout>
#include <cmath>

#include "core/report/figures.h"
#include "gui/models/edits.h"

namespace shardscope::gui {
namespace {

const char* const kThisMachine = "this machine";
constexpr int kMostTokens = 16'777'216;

QSpinBox* number(const QString& name, const QString& title, int least, int most, QWidget* parent) {
    auto* const box = new QSpinBox(parent);
    box->setObjectName(name);
    box->setAccessibleName(title);
    box->setToolTip(title);
    box->setRange(least, most);
    box->setKeyboardTracking(false);
    return box;
}

QComboBox* choice(const QString& name, const QString& title, QWidget* parent) {
    auto* const box = new QComboBox(parent);
    box->setObjectName(name);
    box->setAccessibleName(title);
    box->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    box->setMinimumContentsLength(12);
    return box;
}

// Selects the entry with that text; one that the list does not have is put first, where `custom` says
// what it is.
void show_choice(QComboBox* box, const QString& name, const QString& custom) {
    const QSignalBlocker quiet(box);
    const bool has_custom = box->itemData(0).toBool();
    if (has_custom) box->removeItem(0);
    if (name.isEmpty()) box->insertItem(0, custom, true);
    box->setCurrentIndex(name.isEmpty() ? 0 : box->findText(name));
}

QString parameter_text(const Model& model) {
    std::int64_t count = 0;
    for (const Parameter& parameter : model.parameters) count += parameter.elements();
    return QString::fromStdString(format_count(count)) + " parameters";
}

}  // namespace

// 128 · 2^(position / 4), rounded to a multiple of 32: four lengths per doubling, powers of two among them.
std::int64_t sequence_at(int position) {
    const double exact = 128.0 * std::exp2(position / 4.0);
    return static_cast<std::int64_t>(std::llround(exact / 32.0)) * 32;
}

int position_of_sequence(std::int64_t tokens) {
    const double position = 4.0 * std::log2(static_cast<double>(tokens) / 128.0);
    return std::clamp(static_cast<int>(std::lround(position)), 0, kSequencePositions - 1);
}

ScenarioForm::ScenarioForm(Session& session, QWidget* parent) : QWidget(parent), session_(session) {
    setObjectName("scenario_form");
    auto* const column = new QVBoxLayout(this);
    column->setContentsMargins(10, 4, 10, 6);
    auto* const layout = new QFormLayout;
    layout->setVerticalSpacing(4);
    layout->setFieldGrowthPolicy(QFormLayout::AllNonFixedFieldsGrow);
    column->addLayout(layout);
    add_model(*layout);
    add_cluster(*layout);
    add_training(*layout);
    problem_ = new QLabel(this);
    problem_->setObjectName("scenario_problem");
    problem_->setWordWrap(true);
    problem_->setTextFormat(Qt::PlainText);
    problem_->hide();
    column->addWidget(problem_);

    connect(&session_.document(), &Document::changed, this, [this] {
        problem_->hide();
        show_scenario();
    });
    connect(&session_, &Session::evaluated, this, &ScenarioForm::show_parameters);
    show_scenario();
    show_parameters();
}

void ScenarioForm::add_model(QFormLayout& layout) {
    model_ = choice("model", "Model", this);
    model_->addItems(catalogue_models());
    model_->insertSeparator(model_->count());
    model_->addItem("Hugging Face config.json…");
    layout.addRow("&Model", model_);
    parameters_ = new QLabel("–", this);
    parameters_->setObjectName("parameters");
    layout.addRow("", parameters_);
    connect(model_, &QComboBox::activated, this, &ScenarioForm::choose_model);
}

void ScenarioForm::add_cluster(QFormLayout& layout) {
    cluster_ = choice("cluster", "Cluster", this);
    cluster_->addItems(catalogue_clusters());
    cluster_->addItem(kThisMachine);
    cluster_->insertSeparator(cluster_->count());
    cluster_->addItem("Cluster file…");
    layout.addRow("&Cluster", cluster_);
    nodes_ = number("nodes", "Nodes", 1, 1'000'000, this);
    per_node_ = number("gpus_per_node", "GPUs per node, or ranks of this machine", 1, 4096, this);
    auto* const row = new QHBoxLayout;
    row->addWidget(nodes_);
    row->addWidget(new QLabel("×", this));
    row->addWidget(per_node_);
    layout.addRow("N&odes × GPUs", row);
    qobject_cast<QLabel*>(layout.labelForField(row))->setBuddy(nodes_);
    connect(cluster_, &QComboBox::activated, this, &ScenarioForm::choose_cluster);
    connect(nodes_, &QSpinBox::valueChanged, this, &ScenarioForm::set_size);
    connect(per_node_, &QSpinBox::valueChanged, this, &ScenarioForm::set_size);
}

void ScenarioForm::add_training(QFormLayout& layout) {
    slider_ = new QSlider(Qt::Horizontal, this);
    slider_->setObjectName("sequence_slider");
    slider_->setAccessibleName("Sequence length");
    slider_->setRange(0, kSequencePositions - 1);
    slider_->setPageStep(4);  // a doubling
    slider_->setMinimumWidth(80);
    sequence_ = number("sequence", "Tokens per sample", 1, kMostTokens, this);
    auto* const row = new QHBoxLayout;
    row->addWidget(slider_, 1);
    row->addWidget(sequence_);
    layout.addRow("Se&quence", row);
    qobject_cast<QLabel*>(layout.labelForField(row))->setBuddy(slider_);
    global_batch_ = number("global_batch", "Samples per optimizer step, over all ranks", 1,
                           1'000'000'000, this);
    layout.addRow("&Global batch", global_batch_);
    micro_batch_ = number("training_micro_batch",
                          "Samples per rank and micro-batch, unless a strategy says otherwise", 0,
                          1'000'000, this);
    micro_batch_->setSpecialValueText("auto");
    layout.addRow("Micro-batch", micro_batch_);
    precision_ = choice("precision", "Precision", this);
    for (const MathType precision : kTrainingPrecisions)
        precision_->addItem(QString::fromUtf8(name_of(precision).data()));
    layout.addRow("Precision", precision_);
    connect(slider_, &QSlider::valueChanged, this, [this](int position) {
        set_sequence_length(sequence_at(position), "sequence slider");
    });
    connect(slider_, &QSlider::sliderReleased, this, [this] { session_.document().end_merge(); });
    connect(sequence_, &QSpinBox::valueChanged, this,
            [this](int tokens) { set_sequence_length(tokens, {}); });
    connect(global_batch_, &QSpinBox::valueChanged, this, [this](int samples) {
        attempt([&] { set_global_batch(session_.document(), samples); });
    });
    connect(micro_batch_, &QSpinBox::valueChanged, this, [this](int samples) {
        attempt([&] { set_micro_batch(session_.document(), samples); });
    });
    connect(precision_, &QComboBox::activated, this, [this](int index) {
        attempt([&] {
            set_precision(session_.document(),
                          kTrainingPrecisions[static_cast<std::size_t>(index)]);
        });
    });
}

void ScenarioForm::attempt(const std::function<void()>& edit) {
    if (showing_) return;
    try {
        edit();
    } catch (const Error& error) {
        show_scenario();
        show_problem(error);
    }
}

void ScenarioForm::show_problem(const Error& error) {
    QPalette palette = problem_->palette();
    palette.setColor(QPalette::WindowText, theme_.alert);
    problem_->setPalette(palette);
    problem_->setText("✕ " + QString::fromUtf8(error.what()));
    problem_->show();
}

void ScenarioForm::set_theme(const Theme& theme) {
    theme_ = theme;
    QPalette palette = theme.palette();
    palette.setColor(QPalette::WindowText, theme.muted);
    parameters_->setPalette(palette);
}

void ScenarioForm::choose_model(int index) {
    if (index == model_->count() - 1) {
        show_scenario();  // until the file is chosen
        emit config_wanted();
    } else if (!model_->itemData(index).toBool()) {
        attempt([&] { set_model(session_.document(), model_->itemText(index)); });
    }
}

void ScenarioForm::choose_cluster(int index) {
    Document& document = session_.document();
    const QString name = cluster_->itemText(index);
    if (index == cluster_->count() - 1) {
        show_scenario();
        emit cluster_wanted();
    } else if (name == kThisMachine) {
        attempt([&] { set_this_machine(document, std::max(1, session_.options().machine.cores)); });
    } else if (!cluster_->itemData(index).toBool()) {
        const Cluster& now = document.scenario().cluster;
        const bool keep = !now.this_machine;
        attempt([&] {
            set_cluster(document, name, keep ? now.nodes : 1, keep ? now.gpus_per_node : 8);
        });
    }
}

void ScenarioForm::set_size() {
    attempt([&] { set_cluster_size(session_.document(), nodes_->value(), per_node_->value()); });
}

void ScenarioForm::set_sequence_length(std::int64_t tokens, const QString& merge) {
    attempt([&] { set_sequence(session_.document(), tokens, merge); });
}

void ScenarioForm::show_parameters() {
    const auto& evaluation = session_.evaluation();
    const bool known = evaluation && evaluation->model;
    parameters_->setText(known ? parameter_text(*evaluation->model) : "–");
}

void ScenarioForm::show_scenario() {
    const Scenario& scenario = session_.document().scenario();
    const Cluster& cluster = scenario.cluster;
    showing_ = true;
    show_choice(model_, catalogue_name_of(scenario.model),
                QString::fromStdString(scenario.model.name) + " (of the file)");
    show_choice(cluster_, cluster.this_machine ? kThisMachine : catalogue_name_of(cluster),
                QString::fromStdString(cluster.name) + " (of the file)");
    nodes_->setValue(cluster.nodes);
    nodes_->setEnabled(!cluster.this_machine);
    per_node_->setValue(cluster.gpus_per_node);
    const std::int64_t tokens = sequence_of(scenario.model);
    slider_->setEnabled(tokens > 0);
    sequence_->setEnabled(tokens > 0);
    if (tokens > 0) {
        if (sequence_at(slider_->value()) != tokens)
            slider_->setValue(position_of_sequence(tokens));
        sequence_->setValue(static_cast<int>(tokens));
    }
    global_batch_->setValue(static_cast<int>(scenario.training.global_batch));
    micro_batch_->setValue(static_cast<int>(scenario.training.micro_batch));
    const auto* const precision =
        std::ranges::find(kTrainingPrecisions, scenario.training.arithmetic());
    precision_->setCurrentIndex(static_cast<int>(precision - kTrainingPrecisions.begin()));
    showing_ = false;
}

}  // namespace shardscope::gui
