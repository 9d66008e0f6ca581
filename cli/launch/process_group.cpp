#include "cli/launch/process_group.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "core/error.h"

namespace shardscope {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
    std::vector<char*> result;
    for (const std::string& word : words) result.push_back(const_cast<char*>(word.c_str()));
    result.push_back(nullptr);
    return result;
}

// What a child is to become; made before the fork, since between fork and exec nothing may allocate.
struct ChildPlan {
    std::vector<char*> words, variables;
    int out = -1, err = -1;  // to be standard output and error; -1: ours
    int failure = -1;        // where to write why it could not be started
    const sigset_t* mask = nullptr;
    pid_t parent = 0;
};

[[noreturn]] void become(const ChildPlan& plan) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != plan.parent) _exit(127);  // it died before we asked for the signal
    setpgid(0, 0);
    // In the background of our terminal, where `stty tostop` would stop a rank that prints.
    std::signal(SIGTTOU, SIG_IGN);
    sigprocmask(SIG_SETMASK, plan.mask, nullptr);
    const int nothing = open("/dev/null", O_RDONLY);
    bool ready = nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0;
    if (plan.out >= 0) ready = ready && dup2(plan.out, STDOUT_FILENO) >= 0;
    if (plan.err >= 0) ready = ready && dup2(plan.err, STDERR_FILENO) >= 0;
    if (nothing > STDERR_FILENO) close(nothing);
    if (ready) execve(plan.words[0], plan.words.data(), plan.variables.data());
    const int code = errno;
    if (write(plan.failure, &code, sizeof code) < 0) _exit(126);
    _exit(127);
}

[[noreturn]] void cannot_start(const std::string& program, int code) {
    const bool limit = code == EAGAIN || code == ENOMEM || code == EMFILE;
    throw Error("launch", fmt::format("cannot start {}: {}", program, std::strerror(code)),
                limit ? "use fewer ranks, or raise the limits (ulimit -u, ulimit -n)"
                      : "name a program that can be executed",
                ErrorKind::io);
}

// Why the child could not become the program; 0: it did. Waits until it has or has not.
int reason_of_failure(int file) {
    int code = 0;
    ssize_t count = 0;
    do {
        count = read(file, &code, sizeof code);
    } while (count < 0 && errno == EINTR);
    return count == static_cast<ssize_t>(sizeof code) ? code : 0;
}

std::string lower_case_description(int signal) {
    std::string text = strsignal(signal);
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    return text;
}

}  // namespace

bool RankEnd::by_signal() const { return WIFSIGNALED(status); }

int RankEnd::exit_code() const {
    return by_signal() ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string RankEnd::text() const {
    const std::string who = fmt::format("rank {} (process {})", rank, process);
    if (by_signal())
        return fmt::format("{} ended by signal {} ({})", who, WTERMSIG(status),
                           lower_case_description(WTERMSIG(status)));
    return fmt::format("{} ended with exit code {}", who, WEXITSTATUS(status));
}

ProcessGroup::ProcessGroup(ProcessGroupOptions options) : options_(std::move(options)) {}

ProcessGroup::~ProcessGroup() {
    signal_all(SIGKILL);
    for (const Member& member : members_)
        if (member.alive) waitpid(member.process, nullptr, 0);
}

void ProcessGroup::start(const RankCommand& command) {
    const std::string label = fmt::format("[rank {}] ", command.rank);
    ChildPlan plan{pointers(command.words),
                   pointers(command.variables),
                   -1,
                   -1,
                   -1,
                   &signals_.previous_mask(),
                   getpid()};
    std::vector<std::unique_ptr<LabelledPipe>> pipes;
    if (!command.keeps_output) {
        pipes.push_back(std::make_unique<LabelledPipe>(label, options_.out));
        plan.out = pipes.back()->write_end();
    }
    if (!command.keeps_errors) {
        pipes.push_back(std::make_unique<LabelledPipe>(label, options_.err));
        plan.err = pipes.back()->write_end();
    }
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) cannot_start(command.words[0], errno);
    const FileDescriptor failure(ends[0]);
    FileDescriptor failure_write(ends[1]);
    plan.failure = ends[1];

    const pid_t child = fork();
    if (child < 0) cannot_start(command.words[0], errno);
    if (child == 0) become(plan);
    setpgid(child, child);  // both do, since neither knows who is first
    failure_write.reset();
    if (const int code = reason_of_failure(failure.get())) {
        waitpid(child, nullptr, 0);
        cannot_start(command.words[0], code);
    }
    members_.push_back({command.rank, child});
    for (auto& pipe : pipes) {
        pipe->close_write_end();
        pipes_.push_back(std::move(pipe));
    }
}

int ProcessGroup::wait() {
    while (any_alive()) {
        forward_output(milliseconds_to_signal());
        read_signals();
        send_due_signal();
    }
    for (const auto& pipe : pipes_) {
        pipe->forward();
        pipe->finish();
    }
    return exit_code_;
}

// Waits for output or a signal.
void ProcessGroup::forward_output(int timeout_ms) {
    std::erase_if(pipes_, [](const auto& pipe) { return !pipe->open(); });
    std::vector<pollfd> files{{signals_.descriptor(), POLLIN, 0}};
    for (const auto& pipe : pipes_) files.push_back({pipe->read_end(), POLLIN, 0});
    if (poll(files.data(), files.size(), timeout_ms) <= 0) return;
    for (std::size_t i = 0; i < pipes_.size(); ++i)
        if (files[i + 1].revents != 0) pipes_[i]->forward();
}

void ProcessGroup::read_signals() {
    for (const int signal : signals_.read()) {
        if (signal == SIGCHLD) continue;
        if (ending_) {
            signal_all(SIGKILL);  // asked twice
        } else {
            exit_code_ = 128 + signal;
            end_all(std::nullopt, signal);
        }
    }
    reap();
}

// When one rank dies, those that talk to it often fail at once: of what ended at the same time, one
// that a signal ended is named first.
void ProcessGroup::reap() {
    std::optional<RankEnd> first;
    for (Member& member : members_) {
        if (!member.alive) continue;
        const auto end = ended(member);
        if (!end || !end->failed()) continue;
        if (!first || (end->by_signal() && !first->by_signal())) first = end;
    }
    if (!first || ending_) return;
    exit_code_ = first->exit_code();
    end_all(first, 0);
}

std::optional<RankEnd> ProcessGroup::ended(Member& member) const {
    // Looked at before it is reaped: until then nobody else can get its number, and what it left
    // behind in its group can be killed by that number.
    siginfo_t info{};
    const auto process = static_cast<id_t>(member.process);
    if (waitid(P_PID, process, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
        return std::nullopt;
    kill(-member.process, SIGKILL);
    RankEnd end{member.rank, member.process, 0};
    waitpid(member.process, &end.status, 0);
    member.alive = false;
    return end;
}

void ProcessGroup::end_all(const std::optional<RankEnd>& failure, int signal) {
    ending_ = true;
    for (const auto& pipe : pipes_) pipe->forward();  // what it said last comes before our verdict
    if (options_.on_end_of_all) options_.on_end_of_all(failure, signal);
    due_ = {Clock::now() + (failure ? options_.patience : options_.patience.zero()), SIGTERM};
}

void ProcessGroup::send_due_signal() {
    if (!due_ || Clock::now() < due_->at) return;
    signal_all(due_->signal);
    if (due_->signal == SIGTERM)
        due_ = {Clock::now() + options_.grace, SIGKILL};
    else
        due_.reset();
}

void ProcessGroup::signal_all(int signal) const {
    for (const Member& member : members_)
        if (member.alive) kill(-member.process, signal);
}

bool ProcessGroup::any_alive() const {
    return std::any_of(members_.begin(), members_.end(), [](const Member& m) { return m.alive; });
}

int ProcessGroup::milliseconds_to_signal() const {
    if (!due_) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(due_->at - Clock::now());
    return static_cast<int>(std::max<std::int64_t>(0, left.count()));
}

}  // namespace shardscope
