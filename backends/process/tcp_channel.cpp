#include "backends/process/tcp_channel.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <sys/uio.h>

namespace shardscope::net {
namespace {

bool same_direction(const Message& a, const Message& b) {
    return a.peer == b.peer && a.send == b.send;
}

}  // namespace

struct TcpChannel::Progress {
    struct Header {
        std::int64_t bytes = 0;
        CollectiveCall call;
        bool operator==(const Header&) const = default;
    };
    static constexpr std::int64_t kHeaderBytes = sizeof(Header);

    const Message* message = nullptr;
    Header header;          // to send, or as it was received
    std::int64_t done = 0;  // bytes of header and message together
    bool finished() const { return done == kHeaderBytes + message->bytes; }

    // What is left of both.
    std::array<iovec, 2> left() {
        const std::int64_t head = std::min(done, kHeaderBytes), body = done - head;
        return {{{reinterpret_cast<std::byte*>(&header) + head,
                  static_cast<std::size_t>(kHeaderBytes - head)},
                 {message->address + body, static_cast<std::size_t>(message->bytes - body)}}};
    }
};

int TcpChannel::fd_of(const Message& message) const {
    const Peer& peer = peers_[static_cast<std::size_t>(message.peer)];
    return !message.send && message.peer == rank_ ? peer.own_end.fd() : peer.socket.fd();
}

// As far as it goes without waiting.
void TcpChannel::advance(Progress& p) {
    const int fd = fd_of(*p.message);
    while (!p.finished()) {
        auto parts = p.left();
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = parts.size();
        const ssize_t bytes =
            p.message->send ? sendmsg(fd, &message, MSG_NOSIGNAL) : recvmsg(fd, &message, 0);
        if (bytes < 0 && errno == EINTR) continue;
        if (bytes < 0 && errno == EAGAIN) return;
        if (bytes <= 0) watch_.lost(peers_[static_cast<std::size_t>(p.message->peer)].rank);
        const bool had_header = p.done >= Progress::kHeaderBytes;
        p.done += bytes;
        if (!p.message->send && !had_header && p.done >= Progress::kHeaderBytes) check_header(p);
    }
}

void TcpChannel::check_header(const Progress& p) const {
    const Message& mine = *p.message;
    if (p.header.call != mine.call) throw call_mismatch(mine.peer, p.header.call, rank_, mine.call);
    if (p.header.bytes != mine.bytes)
        throw length_mismatch(mine.peer, rank_, p.header.bytes, mine.bytes);
}

void TcpChannel::transfer(std::span<const Message> messages) {
    std::array<Progress, kMaxMessages> all;
    const std::span open(all.data(), messages.size());
    for (std::size_t i = 0; i < messages.size(); ++i) {
        all[i].message = &messages[i];
        if (messages[i].send) all[i].header = {messages[i].bytes, messages[i].call};
    }
    std::vector<pollfd> entries;
    while (true) {
        entries.clear();
        for (std::size_t i = 0; i < open.size(); ++i) {
            // One after the other where they share a connection.
            const bool behind = std::ranges::any_of(open.first(i), [&](const Progress& earlier) {
                return !earlier.finished() && same_direction(*earlier.message, messages[i]);
            });
            if (behind || open[i].finished()) continue;
            advance(open[i]);
            if (open[i].finished()) continue;
            const short event = messages[i].send ? POLLOUT : POLLIN;
            entries.push_back({fd_of(messages[i]), event, 0});
        }
        if (entries.empty()) return;
        const std::size_t own = entries.size();
        watch_.add_to(entries);
        poll(entries.data(), entries.size(), -1);
        const auto news = std::span(entries).subspan(own);
        if (std::ranges::any_of(news, [](const pollfd& e) { return e.revents != 0; }))
            watch_.check();
    }
}

void TcpChannel::shut_down() noexcept {
    for (const Peer& peer : peers_)
        for (const Socket* socket : {&peer.socket, &peer.own_end})
            if (*socket) shutdown(socket->fd(), SHUT_RDWR);
}

}  // namespace shardscope::net
