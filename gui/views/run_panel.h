// Starting a real run and watching it: backend, ranks, threads, steps and strategies; start and cancel;
// live plots of loss, rate and memory per rank; what went wrong, in a line.
#pragma once

#include <QWidget>
#include <optional>

#include "gui/models/run_log.h"
#include "gui/session/run_task.h"
#include "gui/views/theme.h"

class QComboBox;
class QLabel;
class QLayout;
class QPushButton;
class QSpinBox;

namespace shardscope::gui {

class RunChart;

class RunPanel : public QWidget {
    Q_OBJECT

public:
    // `program`: the command line's, which is asked to run. `cores`: as many ranks are suggested.
    RunPanel(const QString& program, int cores, QWidget* parent);

    // What a run would run: on every change of the document and of the selected row (−1: none).
    void set_scenario(const Scenario& scenario, int selected);
    void set_theme(const Theme& theme);

    RunTask& task() { return task_; }
    const RunLog& log() const { return log_; }
    RunChart& chart() { return *chart_; }

public slots:
    void start();  // with the panel's settings; what goes wrong appears in the error line
    void cancel();

signals:
    void report_ready(const QString& path);  // a run has ended and left its report there
    void running_changed(bool running);

private:
    QLayout* make_controls(int cores);
    QLayout* make_buttons();
    RunRequest request() const;
    void show_state();
    QString status_text() const;
    void show_error(const std::optional<Error>& error);
    void run_ended();

    QString program_;
    Scenario scenario_;
    int selected_ = -1;
    bool running_ = false;
    RunLog log_;
    RunTask task_;
    QComboBox *backend_ = nullptr, *strategies_ = nullptr;
    QSpinBox *ranks_ = nullptr, *threads_ = nullptr, *steps_ = nullptr;
    QPushButton *start_ = nullptr, *cancel_ = nullptr;
    QLabel *status_ = nullptr, *error_ = nullptr;
    RunChart* chart_ = nullptr;
};

}  // namespace shardscope::gui
