#include "backends/process/control_connections.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "backends/communicator.h"
#include "backends/process/tcp_link.h"

namespace shardscope::net {
namespace {

using namespace std::chrono_literals;

constexpr auto kFrameTime = 2s;  // to send or receive one, once begun

struct Frame {
    enum class Kind : std::uint32_t { goodbye, failure };
    Kind kind = Kind::goodbye;
    char rule[60] = {}, message[1024] = {}, fix[512] = {};
};

template <std::size_t N>
void copy_text(char (&to)[N], const std::string& from) {
    std::memcpy(to, from.data(), std::min(from.size(), N - 1));
}

int worth(const Error& error) {
    if (error.rule == kCommunicationAborted) return 0;
    return error.rule == kRankLost ? 1 : 2;
}

}  // namespace

bool says_more(const Error& a, const Error& b) { return worth(a) > worth(b); }
bool is_cause(const Error& error) { return worth(error) == 2; }

void ControlConnections::add_to(std::vector<pollfd>& entries) const {
    for (const Socket& socket : sockets_)
        if (socket) entries.push_back({socket.fd(), POLLIN, 0});
}

std::optional<Error> ControlConnections::read() {
    std::optional<Error> news;
    for (std::size_t i = 0; i < sockets_.size(); ++i)
        if (auto error = read_one(i); error && (!news || says_more(*error, *news)))
            news = std::move(error);
    return news;
}

std::optional<Error> ControlConnections::read_one(std::size_t i) {
    if (!sockets_[i]) return std::nullopt;
    char first = 0;
    const ssize_t there = recv(sockets_[i].fd(), &first, 1, MSG_PEEK);
    if (there < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
    Frame frame;
    if (there > 0 &&
        receive_all(sockets_[i], writable_bytes_of(frame), Clock::now() + kFrameTime)) {
        if (frame.kind == Frame::Kind::failure)
            return Error(frame.rule, frame.message, frame.fix, ErrorKind::run_failed);
        sockets_[i] = Socket();
        return std::nullopt;
    }
    sockets_[i] = Socket();
    const std::string who = "rank " + std::to_string(root_ ? i : 0);
    return Error(std::string(kRankLost),
                 who + " is gone: its process has ended, or its machine cannot be reached",
                 "see what " + who + " printed, and whether its machine ran out of memory",
                 ErrorKind::run_failed);
}

void ControlConnections::tell(const Error& error) noexcept {
    Frame frame{Frame::Kind::failure};
    copy_text(frame.rule, error.rule);
    copy_text(frame.message, error.message);
    copy_text(frame.fix, error.fix);
    for (const Socket& socket : sockets_)
        if (socket) send_all(socket, bytes_of(frame), Clock::now() + kFrameTime);
}

void ControlConnections::say_goodbye() noexcept {
    const Frame frame;
    for (const Socket& socket : sockets_)
        if (socket) send_all(socket, bytes_of(frame), Clock::now() + kFrameTime);
}

void ControlConnections::wait_for_end(Deadline deadline) noexcept {
    while (Clock::now() < deadline) {
        std::vector<pollfd> entries;
        add_to(entries);
        if (entries.empty()) return;
        poll(entries.data(), entries.size(), 100);
        read();
    }
}

}  // namespace shardscope::net
