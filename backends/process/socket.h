// TCP sockets as values that close themselves, with deadlines.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <sys/socket.h>

namespace shardscope::net {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

struct Address {
    sockaddr_storage storage{};
    socklen_t length = 0;

    int port() const;
    void set_port(int port);
    std::string host() const;  // "10.0.0.1"
    std::string text() const;  // "10.0.0.1:29500"
    bool is_loopback() const;
};

// Owns a file descriptor.
class Socket {
public:
    Socket() = default;
    explicit Socket(int fd) : fd_(fd) {}
    Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Socket& operator=(Socket&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Socket();

    int fd() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

// All of these throw Error{run_failed, "processes"} saying what could not be done and why.

// The first address of a host's name or number.
Address resolve(const std::string& host, int port);
// Listens at `address` (port 0: a free one), or, if `any_interface`, at its port on all interfaces.
Socket listen_at(Address address, bool any_interface);
Address own_address(const Socket& socket);

// Tries until the deadline while nobody listens there; nothing when it has passed.
std::optional<Socket> connect_to(const Address& address, Deadline deadline);
// The next caller; nothing when the deadline has passed.
std::optional<Socket> accept_one(const Socket& listener, Deadline deadline);

// False when the other end has closed, or failed, or the deadline has passed.
bool send_all(const Socket& socket, std::span<const std::byte> bytes, Deadline deadline);
bool receive_all(const Socket& socket, std::span<std::byte> bytes, Deadline deadline);

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return std::as_bytes(std::span(&value, 1));
}
template <class T>
std::span<std::byte> writable_bytes_of(T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return std::as_writable_bytes(std::span(&value, 1));
}

}  // namespace shardscope::net
