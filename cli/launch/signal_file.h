// Signals that arrive as data to be read, not as interruptions (signalfd(2)).
#pragma once

#include <csignal>
#include <vector>

#include "cli/launch/file_descriptor.h"

namespace shardscope {

// SIGCHLD, and SIGINT, SIGTERM and SIGHUP unless this process was told to ignore them (as by nohup),
// blocked for this thread from construction to destruction.
class SignalFile {
public:
    SignalFile();  // throws Error "launch"
    ~SignalFile();
    SignalFile(const SignalFile&) = delete;
    SignalFile& operator=(const SignalFile&) = delete;

    int descriptor() const { return file_.get(); }
    std::vector<int> read() const;  // the numbers of those that have arrived; does not wait
    // The signals that were blocked before: what a child should begin with.
    const sigset_t& previous_mask() const { return previous_; }

private:
    sigset_t previous_{};
    FileDescriptor file_;
};

}  // namespace shardscope
