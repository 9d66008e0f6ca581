#include "gui/views/run_panel.h"

#include <QComboBox>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QSpinBox>
#include <algorithm>

#include "gui/views/run_chart.h"

namespace shardscope::gui {
namespace {

constexpr int kMostRunRanks = 1024, kMostSteps = 1'000'000'000;

// 0 is "as the scenario says".
QSpinBox* make_count(const QString& name, const QString& what, int most, QWidget* parent) {
    auto* box = new QSpinBox(parent);
    box->setObjectName(name);
    box->setAccessibleName(what);
    box->setRange(0, most);
    box->setSpecialValueText("as the scenario");
    box->setKeyboardTracking(false);
    return box;
}

template <class Number>
std::optional<Number> chosen(const QSpinBox* box) {
    if (!box->isEnabled() || box->value() == 0) return std::nullopt;
    return Number(box->value());
}

}  // namespace

RunPanel::RunPanel(const QString& program, int cores, QWidget* parent)
    : QWidget(parent), program_(program) {
    setObjectName("run_panel");
    setAccessibleName("Real run");
    chart_ = new RunChart(log_, this);
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(6, 4, 6, 4);
    row->addLayout(make_controls(cores));
    row->addWidget(chart_, 1);
    connect(&task_, &RunTask::state_changed, this, &RunPanel::show_state);
    connect(&task_, &RunTask::started, &log_, qOverload<const RunStarted&>(&RunLog::add));
    connect(&task_, &RunTask::stepped, &log_, qOverload<const RunStep&>(&RunLog::add));
    connect(&task_, &RunTask::over, &log_, qOverload<const RunOver&>(&RunLog::add));
    connect(&task_, &RunTask::ended, this, &RunPanel::run_ended);
    connect(&log_, &RunLog::changed, this, &RunPanel::show_state);
    show_state();
}

QLayout* RunPanel::make_controls(int cores) {
    auto* form = new QFormLayout;
    backend_ = new QComboBox(this);
    backend_->setObjectName("run_backend");
    backend_->setAccessibleName("Backend of the run");
    backend_->addItem("CPU", "cpu");
    backend_->addItem("GPUs (CUDA)", "cuda");
    form->addRow("&Backend", backend_);
    strategies_ = new QComboBox(this);
    strategies_->setObjectName("run_strategies");
    strategies_->setAccessibleName("Strategies to run");
    strategies_->addItems({"Selected strategy", "All strategies"});
    form->addRow("Strate&gies", strategies_);
    ranks_ = make_count("run_ranks", "Ranks", kMostRunRanks, this);
    // A scenario may ask for more ranks than are sensible here.
    ranks_->setValue(std::max(1, cores));
    form->addRow("Ra&nks", ranks_);
    threads_ = make_count("run_threads", "Threads of each rank", kMostRunRanks, this);
    threads_->setValue(1);
    form->addRow("T&hreads each", threads_);
    steps_ = make_count("run_steps", "Steps", kMostSteps, this);
    form->addRow("Ste&ps", steps_);
    connect(backend_, &QComboBox::currentIndexChanged, this, &RunPanel::show_state);
    form->addRow(make_buttons());
    status_ = new QLabel(this);
    status_->setObjectName("run_status");
    error_ = new QLabel(this);
    error_->setObjectName("run_error");
    error_->setAccessibleName("What went wrong with the run");
    for (QLabel* label : {status_, error_}) {
        label->setWordWrap(true);
        label->setTextFormat(Qt::PlainText);
        label->setMaximumWidth(280);
        label->setTextInteractionFlags(Qt::TextSelectableByMouse);
        form->addRow(label);
    }
    return form;
}

QLayout* RunPanel::make_buttons() {
    start_ = new QPushButton("Star&t", this);
    start_->setObjectName("run_start");
    start_->setAccessibleName("Start the run");
    cancel_ = new QPushButton("&Cancel", this);
    cancel_->setObjectName("run_cancel");
    cancel_->setAccessibleName("Cancel the run");
    connect(start_, &QPushButton::clicked, this, &RunPanel::start);
    connect(cancel_, &QPushButton::clicked, this, &RunPanel::cancel);
    for (QPushButton* button : {start_, cancel_}) button->setAutoDefault(true);  // Return presses
    auto* row = new QHBoxLayout;
    row->addWidget(start_);
    row->addWidget(cancel_);
    return row;
}

void RunPanel::set_scenario(const Scenario& scenario, int selected) {
    scenario_ = scenario;
    selected_ = selected;
    show_state();
}

void RunPanel::set_theme(const Theme& theme) {
    QPalette palette = error_->palette();
    palette.setColor(QPalette::WindowText, theme.alert);
    error_->setPalette(palette);
    chart_->set_theme(theme);
}

RunRequest RunPanel::request() const {
    RunRequest request;
    request.program = program_;
    request.scenario = scenario_;
    request.backend = backend_->currentData().toString();
    request.ranks = chosen<int>(ranks_);
    request.threads = chosen<int>(threads_);
    request.steps = chosen<std::int64_t>(steps_);
    const auto count = static_cast<int>(scenario_.strategies.size());
    if (strategies_->currentIndex() == 0 && selected_ >= 0 && selected_ < count)
        request.strategies << QString::fromStdString(
            scenario_.strategies[static_cast<std::size_t>(selected_)].name);
    return request;
}

void RunPanel::start() {
    if (task_.state() != RunTask::State::idle) return;
    log_.clear();
    show_error({});
    try {
        task_.start(request());
    } catch (const Error& error) {
        show_error(error);
    }
}

void RunPanel::cancel() { task_.cancel(); }

void RunPanel::run_ended() {
    log_.end_all();
    show_error(task_.error());
    show_state();
    const auto measured = [](const RunSeries& s) {
        return s.state == RunState::finished ||
               (s.state == RunState::cancelled && !s.steps.empty());
    };
    if (!task_.report().isEmpty() && std::ranges::any_of(log_.series(), measured))
        emit report_ready(task_.report());
}

void RunPanel::show_state() {
    const bool idle = task_.state() == RunTask::State::idle;
    const bool cancelling = task_.state() == RunTask::State::cancelling;
    start_->setEnabled(idle && !scenario_.strategies.empty());
    cancel_->setEnabled(!idle);
    cancel_->setText(cancelling ? "&Kill" : "&Cancel");
    cancel_->setAccessibleName(cancelling ? "Kill the run" : "Cancel the run");
    for (QWidget* control : {static_cast<QWidget*>(backend_), static_cast<QWidget*>(strategies_),
                             static_cast<QWidget*>(ranks_), static_cast<QWidget*>(steps_)})
        control->setEnabled(idle);
    threads_->setEnabled(idle && backend_->currentData() == "cpu");
    status_->setText(status_text());
    if (idle == running_) {
        running_ = !idle;
        emit running_changed(running_);
    }
}

QString RunPanel::status_text() const {
    switch (task_.state()) {
        case RunTask::State::cancelling:
            return "cancelling: the step that runs is the last";
        case RunTask::State::running: {
            const RunSeries* const now = log_.current();
            if (now == nullptr) return "starting";
            if (now->steps.empty()) return now->start.strategy + ": starting";
            return QString("%1: step %2 of %3")
                .arg(now->start.strategy)
                .arg(now->steps.back().step)
                .arg(now->start.steps);
        }
        case RunTask::State::idle:
            break;
    }
    if (log_.series().empty()) return "";
    const auto count = [&](RunState state) {
        return std::ranges::count(log_.series(), state, &RunSeries::state);
    };
    QStringList parts{QString("%1 finished").arg(count(RunState::finished))};
    if (const auto failed = count(RunState::failed)) parts << QString("%1 failed").arg(failed);
    if (const auto cut = count(RunState::cancelled)) parts << QString("%1 cancelled").arg(cut);
    return parts.join(", ");
}

// Of the whole run; else of the strategies that failed.
void RunPanel::show_error(const std::optional<Error>& error) {
    QStringList lines;
    if (error) {
        lines << QString::fromUtf8(error->what());
    } else {
        for (const RunSeries& series : log_.series())
            if (series.error)
                lines << series.start.strategy + ": " + QString::fromUtf8(series.error->what());
    }
    error_->setText(lines.join('\n'));
    error_->setVisible(!lines.isEmpty());
}

}  // namespace shardscope::gui
