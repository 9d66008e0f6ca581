#include "backends/process/control_connections.h"

#include <algorithm>
#include <cerrno>
#include <string>

namespace shardscope::net {
namespace {

using namespace std::chrono_literals;

constexpr auto kNewsTransferTime = 2s;  // to send or receive it, once begun

}  // namespace

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
    News news;
    if (there > 0 &&
        receive_all(sockets_[i], writable_bytes_of(news), Clock::now() + kNewsTransferTime)) {
        if (news.kind == News::Kind::failure) return news.error();
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

void ControlConnections::send_to_all(const News& news) noexcept {
    for (const Socket& socket : sockets_)
        if (socket) send_all(socket, bytes_of(news), Clock::now() + kNewsTransferTime);
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
