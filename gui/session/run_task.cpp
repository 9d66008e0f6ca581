#include "gui/session/run_task.h"

#include <QDir>
#include <QFile>
#include <csignal>

#include <fmt/format.h>
#include <sys/prctl.h>

#include "core/scenario_io.h"

namespace shardscope::gui {
namespace {

constexpr qsizetype kKeptErrors = 16 * 1024;
constexpr qsizetype kLongestLine = 256 * 1024 * 1024;  // the losses of a long run are one line

std::string absolute(const std::string& path) {
    return QDir::current().absoluteFilePath(QString::fromStdString(path)).toStdString();
}

// Relative to the working folder, not to the file that the child will read.
void make_paths_absolute(DataSpec& data) {
    if (auto* text = std::get_if<TextData>(&data)) text->path = absolute(text->path);
    if (auto* tokens = std::get_if<TokenData>(&data)) tokens->path = absolute(tokens->path);
    if (auto* idx = std::get_if<IdxData>(&data)) {
        idx->images = absolute(idx->images);
        idx->labels = absolute(idx->labels);
    }
}

// "shardscope: rule: message; fix" as the command line prints it.
QString last_line(const QByteArray& errors) {
    const auto lines = QString::fromUtf8(errors).split('\n', Qt::SkipEmptyParts);
    return lines.isEmpty() ? QString() : lines.back().trimmed();
}

}  // namespace

RunTask::RunTask(QObject* parent) : QObject(parent) {}

RunTask::~RunTask() {
    if (!child_) return;
    child_->disconnect(this);
    child_->kill();
    child_->waitForFinished(-1);
}

// Ranks on the CPU are threads of one child; each rank on GPUs is a process of its own, which the child
// starts and watches.
QStringList RunTask::arguments_of(const RunRequest& request) const {
    QStringList words;
    const int ranks = request.ranks.value_or(request.scenario.cluster.world_size());
    if (request.backend != "cpu" && ranks > 1)
        words << "launch"
              << "--num_gpus" << QString::number(ranks) << "--";
    words << "run" << folder_->filePath("scenario.yaml") << "--events"
          << "--json"
          << "--output" << report_ << "--backend" << request.backend;
    const auto add = [&](const char* option, const auto& value) {
        if (value) words << option << QString::number(*value);
    };
    add("--ranks", request.ranks);
    add("--threads", request.threads);
    add("--steps", request.steps);
    for (const QString& name : request.strategies) words << "--strategy" << name;
    return words;
}

void RunTask::write_scenario(Scenario scenario) const {
    make_paths_absolute(scenario.data);
    scenario.file.clear();
    QFile file(folder_->filePath("scenario.yaml"));
    const QByteArray text = QByteArray::fromStdString(scenario_to_yaml(scenario));
    if (!folder_->isValid() || !file.open(QIODevice::WriteOnly) || file.write(text) != text.size())
        throw Error("output",
                    fmt::format("cannot write {}: {}", file.fileName().toStdString(),
                                file.errorString().toStdString()),
                    "free some space in the folder for temporary files", ErrorKind::io);
}

void RunTask::make_child() {
    child_ = std::make_unique<QProcess>();
    child_->setStandardInputFile(QProcess::nullDevice());
    child_->setChildProcessModifier([] { prctl(PR_SET_PDEATHSIG, SIGKILL); });
    connect(child_.get(), &QProcess::readyReadStandardOutput, this, &RunTask::read_output);
    connect(child_.get(), &QProcess::readyReadStandardError, this,
            [this] { errors_ = (errors_ + child_->readAllStandardError()).right(kKeptErrors); });
    connect(child_.get(), &QProcess::finished, this, &RunTask::child_finished);
    connect(child_.get(), &QProcess::errorOccurred, this, [this](QProcess::ProcessError error) {
        if (error != QProcess::FailedToStart) return;  // else `finished` comes
        end(Error("run",
                  fmt::format("cannot start {}: {}", child_->program().toStdString(),
                              child_->errorString().toStdString()),
                  "install the shardscope program beside this one", ErrorKind::run_failed));
    });
}

void RunTask::start(const RunRequest& request) {
    if (state_ != State::idle)
        throw Error("run", "another run is going on", "wait for its end, or cancel it",
                    ErrorKind::run_failed);
    folder_ = std::make_unique<QTemporaryDir>();
    write_scenario(request.scenario);
    report_ = request.report.isEmpty() ? folder_->filePath("report.json") : request.report;
    error_.reset();
    ending_.reset();
    garbage_.reset();
    cancelled_ = false;
    pending_.clear();
    errors_.clear();
    make_child();
    set_state(State::running);
    child_->start(request.program, arguments_of(request));
}

void RunTask::cancel() {
    if (state_ == State::running) {
        child_->terminate();
        set_state(State::cancelling);
    } else if (state_ == State::cancelling) {
        child_->kill();
    }
}

void RunTask::read_output() {
    pending_ += child_->readAllStandardOutput();
    qsizetype begin = 0;
    for (qsizetype end = 0; (end = pending_.indexOf('\n', begin)) >= 0; begin = end + 1)
        read_line(pending_.mid(begin, end - begin));
    pending_.remove(0, begin);
    if (pending_.size() > kLongestLine) read_line(std::exchange(pending_, {}));
}

void RunTask::read_line(const QByteArray& line) {
    if (garbage_) return;
    try {
        tell(parse_run_event(line));
    } catch (const Error& error) {
        garbage_ = error;
        child_->kill();
    }
}

void RunTask::tell(const RunEvent& event) {
    if (const auto* first = std::get_if<RunStarted>(&event)) emit started(*first);
    if (const auto* step = std::get_if<RunStep>(&event)) emit stepped(*step);
    if (const auto* last = std::get_if<RunOver>(&event)) emit over(*last);
    if (const auto* all = std::get_if<RunEnded>(&event)) ending_ = *all;
}

void RunTask::child_finished(int exit_code, QProcess::ExitStatus status) {
    errors_ += child_->readAllStandardError();
    read_output();
    if (!pending_.isEmpty() && status == QProcess::NormalExit) read_line(pending_);
    if (garbage_) return end(garbage_);
    const bool killed = state_ == State::cancelling && status == QProcess::CrashExit;
    if (!ending_ && !killed) return end(how_it_died(exit_code, status));
    cancelled_ = killed || ending_->cancelled;
    if (killed || ending_->report.isEmpty()) report_.clear();
    end(killed ? std::nullopt : ending_->error);
}

Error RunTask::how_it_died(int exit_code, QProcess::ExitStatus status) {
    report_.clear();
    const QString said = last_line(errors_);
    const std::string how = status == QProcess::CrashExit
                                ? fmt::format("the run was ended by signal {}", exit_code)
                                : fmt::format("the run ended with exit code {}", exit_code);
    return {"run", how + (said.isEmpty() ? " and said nothing" : ": " + said.toStdString()),
            status == QProcess::CrashExit ? "use fewer ranks or a smaller model if memory ran out"
                                          : "try the same with `shardscope run`",
            ErrorKind::run_failed};
}

void RunTask::end(std::optional<Error> error) {
    error_ = std::move(error);
    if (error_) report_.clear();
    // Its own signal may be what brings us here.
    child_.release()->deleteLater();
    set_state(State::idle);
    emit ended();
}

void RunTask::set_state(State state) {
    state_ = state;
    emit state_changed();
}

}  // namespace shardscope::gui
