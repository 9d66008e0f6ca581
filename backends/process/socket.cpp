#include "backends/process/socket.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include "core/error.h"

namespace shardscope::net {
namespace {

using namespace std::chrono_literals;

[[noreturn]] void fail_on_socket(const std::string& what, const std::string& why,
                                 const std::string& fix) {
    throw Error("processes", what + ": " + why, fix, ErrorKind::run_failed);
}

std::string reason(int code) { return std::strerror(code); }

const sockaddr* base(const Address& address) {
    return reinterpret_cast<const sockaddr*>(&address.storage);
}

int milliseconds_until(Deadline deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000));
}

// False when the deadline has passed.
bool wait_for(int fd, short events, Deadline deadline) {
    pollfd entry{fd, events, 0};
    while (true) {
        const int ready = poll(&entry, 1, milliseconds_until(deadline));
        if (ready > 0) return true;
        if (ready == 0 || errno != EINTR) return false;
    }
}

void set(int fd, int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);  // advice: works without, only slower
}

// A peer whose machine has vanished is noticed after a quarter of a minute.
void tune(int fd) {
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 5);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 3);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 15'000);
    fcntl(fd, F_SETFL, O_NONBLOCK);
}

// Nothing when nobody listens, or not yet.
std::optional<Socket> try_to_connect(const Address& address, Deadline deadline) {
    Socket socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) fail_on_socket("no socket", reason(errno), "free some file descriptors");
    tune(socket.fd());
    if (connect(socket.fd(), base(address), address.length) == 0) return socket;
    if (errno != EINPROGRESS || !wait_for(socket.fd(), POLLOUT, deadline)) return std::nullopt;
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return std::nullopt;
    return socket;
}

}  // namespace

int Address::port() const {
    return ntohs(storage.ss_family == AF_INET6
                     ? reinterpret_cast<const sockaddr_in6&>(storage).sin6_port
                     : reinterpret_cast<const sockaddr_in&>(storage).sin_port);
}

void Address::set_port(int port) {
    const in_port_t number = htons(static_cast<std::uint16_t>(port));
    if (storage.ss_family == AF_INET6)
        reinterpret_cast<sockaddr_in6&>(storage).sin6_port = number;
    else
        reinterpret_cast<sockaddr_in&>(storage).sin_port = number;
}

std::string Address::host() const {
    char host[NI_MAXHOST] = "?";
    getnameinfo(base(*this), length, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
    return host;
}

std::string Address::text() const { return host() + ":" + std::to_string(port()); }

bool Address::is_loopback() const { return host().starts_with("127.") || host() == "::1"; }

Socket::~Socket() {
    if (fd_ >= 0) close(fd_);
}

Address resolve(const std::string& host, int port) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int code = getaddrinfo(host.c_str(), nullptr, &hints, &found); code != 0)
        fail_on_socket("MASTER_ADDR \"" + host + "\" is no known host", gai_strerror(code),
                       "give rank 0's host by a name that every host knows, or by its number");
    Address address;
    std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
    address.length = found->ai_addrlen;
    freeaddrinfo(found);
    address.set_port(port);
    return address;
}

Socket listen_at(Address address, bool any_interface) {
    if (any_interface && address.storage.ss_family == AF_INET6)
        reinterpret_cast<sockaddr_in6&>(address.storage).sin6_addr = in6addr_any;
    else if (any_interface)
        reinterpret_cast<sockaddr_in&>(address.storage).sin_addr.s_addr = htonl(INADDR_ANY);
    Socket socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) fail_on_socket("no socket", reason(errno), "free some file descriptors");
    set(socket.fd(), SOL_SOCKET, SO_REUSEADDR, 1);
    fcntl(socket.fd(), F_SETFL, O_NONBLOCK);
    if (bind(socket.fd(), base(address), address.length) != 0 ||
        listen(socket.fd(), SOMAXCONN) != 0)
        fail_on_socket("cannot listen at " + address.text(), reason(errno),
                       "choose another MASTER_PORT");
    return socket;
}

Address own_address(const Socket& socket) {
    Address address;
    address.length = sizeof address.storage;
    getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&address.storage), &address.length);
    return address;
}

std::optional<Socket> connect_to(const Address& address, Deadline deadline) {
    do {
        if (auto socket = try_to_connect(address, deadline)) return socket;
        std::this_thread::sleep_for(20ms);
    } while (Clock::now() < deadline);
    return std::nullopt;
}

std::optional<Socket> accept_one(const Socket& listener, Deadline deadline) {
    while (wait_for(listener.fd(), POLLIN, deadline)) {
        const int fd = accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) continue;  // who called has hung up
        tune(fd);
        return Socket(fd);
    }
    return std::nullopt;
}

bool send_all(const Socket& socket, std::span<const std::byte> bytes, Deadline deadline) {
    while (!bytes.empty()) {
        const ssize_t sent = send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent > 0)
            bytes = bytes.subspan(static_cast<std::size_t>(sent));
        else if (errno == EINTR)
            continue;
        else if (errno != EAGAIN || !wait_for(socket.fd(), POLLOUT, deadline))
            return false;
    }
    return true;
}

bool receive_all(const Socket& socket, std::span<std::byte> bytes, Deadline deadline) {
    while (!bytes.empty()) {
        const ssize_t got = recv(socket.fd(), bytes.data(), bytes.size(), 0);
        if (got > 0)
            bytes = bytes.subspan(static_cast<std::size_t>(got));
        else if (got == 0)
            return false;
        else if (errno == EINTR)
            continue;
        else if (errno != EAGAIN || !wait_for(socket.fd(), POLLIN, deadline))
            return false;
    }
    return true;
}

}  // namespace shardscope::net
