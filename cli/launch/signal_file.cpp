#include "cli/launch/signal_file.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <sys/signalfd.h>

#include "core/error.h"

namespace shardscope {
namespace {

bool ignored(int signal) {
    struct sigaction action {};
    return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

SignalFile::SignalFile() {
    // Where the parent ignored it, ended children would vanish before they can be asked how.
    std::signal(SIGCHLD, SIG_DFL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP})
        if (!ignored(signal)) sigaddset(&set, signal);
    sigprocmask(SIG_BLOCK, &set, &previous_);
    file_ = FileDescriptor(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!file_) {
        const int code = errno;
        sigprocmask(SIG_SETMASK, &previous_, nullptr);
        throw Error("launch", fmt::format("cannot watch processes: {}", std::strerror(code)), "",
                    ErrorKind::run_failed);
    }
}

SignalFile::~SignalFile() { sigprocmask(SIG_SETMASK, &previous_, nullptr); }

std::vector<int> SignalFile::read() const {
    std::vector<int> signals;
    signalfd_siginfo info{};
    while (::read(file_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info))
        signals.push_back(static_cast<int>(info.ssi_signo));
    return signals;
}

}  // namespace shardscope
