// A real run as a child process: `shardscope run FILE --events --json --output REPORT`.
//
// The child is cancelled by SIGTERM, whereupon it ends after the step that runs and writes its partial
// report; asked again, or when this object goes, it is killed and waited for, so that nobody is left
// behind. Its words on standard error are kept for the error message. Qt Core only; lives in the window's
// thread and needs its event loop.
#pragma once

#include <QObject>
#include <QProcess>
#include <QTemporaryDir>
#include <memory>
#include <optional>

#include "core/error.h"
#include "core/scenario.h"
#include "gui/models/run_log.h"

namespace shardscope::gui {

struct RunRequest {
    QString program;    // the command line's
    Scenario scenario;  // as it is on the screen; it is written to a temporary file
    QString backend = "cpu";
    std::optional<int> ranks, threads;
    std::optional<std::int64_t> steps;
    QStringList strategies;  // by name; empty: all
    QString report;          // file to write; empty: a temporary one, which goes with the next run
};

class RunTask : public QObject {
    Q_OBJECT

public:
    enum class State { idle, running, cancelling };

    explicit RunTask(QObject* parent = nullptr);
    ~RunTask() override;

    State state() const { return state_; }
    // Throws Error: "run" where the program cannot be started or another run is on.
    void start(const RunRequest& request);
    // Ends after the current step; called again, at once. Does nothing when idle.
    void cancel();

    // Of the run that ended last; empty where it wrote none.
    QString report() const { return report_; }
    // Why the run that ended last ended badly; empty: it did not. What failed of single strategies is in
    // the report and in `failed`.
    const std::optional<Error>& error() const { return error_; }
    bool cancelled() const { return cancelled_; }

signals:
    void state_changed();
    void started(const shardscope::gui::RunStarted& event);
    void stepped(const shardscope::gui::RunStep& event);
    void finished(const shardscope::gui::RunFinished& event);
    void failed(const shardscope::gui::RunFailed& event);
    // The child is gone; report(), error() and cancelled() are set.
    void ended();

private:
    void read_output();
    void read_line(const QByteArray& line);
    void child_ended();
    void end(std::optional<Error> error);

    std::unique_ptr<QProcess> child_;
    std::unique_ptr<QTemporaryDir> folder_;
    QByteArray pending_;  // standard output without its line break yet
    QByteArray errors_;   // the end of standard error
    State state_ = State::idle;
    QString report_;
    std::optional<Error> error_;
    std::optional<int> told_exit_code_;  // by the event of the whole run
    bool cancelled_ = false;
};

}  // namespace shardscope::gui
