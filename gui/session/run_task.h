// A real run as a child process: `shardscope run FILE --events --json --output REPORT`.
//
// The child is cancelled by SIGTERM, whereupon it ends after the step that runs and writes its partial
// report; asked again it is killed. When this object goes, the child is killed and waited for; when the
// program dies, the kernel kills the child. So nobody is left behind. Qt Core only; lives in the window's
// thread and needs its event loop.
#pragma once

#include <QObject>
#include <QProcess>
#include <QStringList>
#include <QTemporaryDir>
#include <memory>
#include <optional>

#include "core/error.h"
#include "core/scenario.h"
#include "gui/models/run_log.h"
#include "gui/session/run_events.h"

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
    // Throws Error "run" (run_failed) where another run is on, "output" where the scenario cannot be
    // written. A program that cannot be started is an error() after ended().
    void start(const RunRequest& request);
    // Ends after the current step; called again, at once. Does nothing when idle.
    void cancel();

    // Of the run that ended last; empty where it wrote none.
    const QString& report() const { return report_; }
    // Why the run that ended last ended badly; empty: it did not. What is wrong with single strategies is
    // told by `over`, and in the report.
    const std::optional<Error>& error() const { return error_; }
    bool cancelled() const { return cancelled_; }

signals:
    void state_changed();
    void started(const shardscope::gui::RunStarted& event);
    void stepped(const shardscope::gui::RunStep& event);
    void over(const shardscope::gui::RunOver& event);
    // The child is gone; report(), error() and cancelled() are set.
    void ended();

private:
    QStringList arguments_of(const RunRequest& request) const;
    void write_scenario(Scenario scenario) const;
    void make_child();
    void read_output();
    void read_line(const QByteArray& line);
    void tell(const RunEvent& event);
    void child_finished(int exit_code, QProcess::ExitStatus status);
    Error how_it_died(int exit_code, QProcess::ExitStatus status);
    void end(std::optional<Error> error);
    void set_state(State state);

    std::unique_ptr<QTemporaryDir> folder_;
    std::unique_ptr<QProcess> child_;
    QByteArray pending_;              // standard output without its line break yet
    QByteArray errors_;               // the end of standard error
    std::optional<RunEnded> ending_;  // what the last event said
    std::optional<Error> garbage_;    // what it said that is no event
    State state_ = State::idle;
    QString report_;
    std::optional<Error> error_;
    bool cancelled_ = false;
};

}  // namespace shardscope::gui
