#include "cli/stop_signal.h"

#include <ctime>

namespace shardscope {
namespace {

sigset_t only_sigterm() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    return set;
}

bool is_ignored() {
    struct sigaction action {};
    return sigaction(SIGTERM, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

StopSignal::StopSignal() {
    const sigset_t set = only_sigterm();
    pthread_sigmask(SIG_BLOCK, &set, &previous_);
    if (!is_ignored())
        watcher_ = std::jthread([this](const std::stop_token& leave) { watch(leave); });
}

StopSignal::~StopSignal() {
    watcher_ = {};
    pthread_sigmask(SIG_SETMASK, &previous_, nullptr);
}

void StopSignal::watch(const std::stop_token& leave) {
    constexpr timespec kLookUp{0, 50'000'000};  // so often, whether to leave
    const sigset_t set = only_sigterm();
    while (!leave.stop_requested()) {
        if (sigtimedwait(&set, nullptr, &kLookUp) != SIGTERM) continue;
        if (source_.request_stop()) continue;
        std::signal(SIGTERM, SIG_DFL);
        pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
        raise(SIGTERM);
    }
}

}  // namespace shardscope
