// The ranks of this machine as processes: started together, watched, and ended together on the first
// failure. No process outlives the group.
//
// Each rank leads a process group of its own, so that what it starts itself is ended with it, and gets
// SIGKILL from the kernel when this process dies without a word. Rank 0 keeps our standard output; what
// others print passes through us, a line at a time, as "[rank 3] …".
//
// Not thread-safe; start() and wait() must be called by the main thread of a process that has no other
// threads (the kernel's signal comes when the thread that started a rank ends). While the group exists,
// SIGCHLD, SIGINT, SIGTERM and SIGHUP are blocked, since wait() reads them.
#pragma once

#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <sys/types.h>

#include "cli/launch/labelled_pipe.h"
#include "cli/launch/signal_file.h"

namespace shardscope {

struct RankCommand {
    int rank = 0;
    std::vector<std::string> words;      // the program's path first
    std::vector<std::string> variables;  // all that it gets, as "NAME=value"
    bool keeps_output = false;           // our standard output, not a pipe with its label
    bool keeps_errors = false;           // our standard error
};

// How a rank ended.
struct RankEnd {
    int rank = 0;
    pid_t process = 0;
    int status = 0;  // as wait() gives it

    bool failed() const { return status != 0; }
    bool by_signal() const;
    int exit_code() const;     // 128 + the signal's number if a signal ended it
    std::string text() const;  // "rank 3 (process 4711) ended by signal 9 (killed)"
};

struct ProcessGroupOptions {
    std::ostream& out;  // what ranks print that do not keep our streams
    std::ostream& err;
    std::chrono::milliseconds
        patience;                     // after a failure, for the others to end by themselves and to
                                      // tell what they know; then SIGTERM
    std::chrono::milliseconds grace;  // between SIGTERM and SIGKILL
    // Called once, when the first rank has failed and its output has been passed on, or with nothing
    // and the signal that we were asked to end with.
    std::function<void(const std::optional<RankEnd>& failure, int signal)> on_end_of_all;
};

class ProcessGroup {
public:
    explicit ProcessGroup(ProcessGroupOptions options);
    ~ProcessGroup();  // kills what still lives
    ProcessGroup(const ProcessGroup&) = delete;
    ProcessGroup& operator=(const ProcessGroup&) = delete;

    // Throws Error "launch" where the program cannot be started.
    void start(const RankCommand& command);

    // Until all have ended. 0 if all ended well; else the exit code of the first that failed, or 128 +
    // the signal that asked us to end.
    int wait();

private:
    struct Member {
        int rank;
        pid_t process;
        bool alive = true;
    };
    using Clock = std::chrono::steady_clock;

    void forward_output(int timeout_ms);
    void read_signals();
    void reap();
    std::optional<RankEnd> ended(Member& member) const;
    void end_all(const std::optional<RankEnd>& failure, int signal);
    void signal_all(int signal) const;
    bool any_alive() const;
    int milliseconds_to_signal() const;  // -1: never
    void send_due_signal();

    ProcessGroupOptions options_;
    SignalFile signals_;
    std::vector<Member> members_;
    std::vector<std::unique_ptr<LabelledPipe>> pipes_;
    int exit_code_ = 0;
    bool ending_ = false;
    // What all that live will be sent, and when.
    struct DueSignal {
        Clock::time_point at;
        int signal;
    };
    std::optional<DueSignal> due_;
};

}  // namespace shardscope
