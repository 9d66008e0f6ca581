// Messages between the members of one channel, each pair over a connection of its own.
#pragma once

#include <functional>
#include <vector>

#include <poll.h>

#include "backends/process/message_link.h"
#include "backends/process/socket.h"

namespace shardscope::net {

// What a channel needs of the link that it belongs to.
struct LinkWatch {
    // Adds what the link wants to be woken for. Thread-safe.
    std::function<void(std::vector<pollfd>&)> add_to;
    // Called when one of those was the reason; throws when the run was aborted. Thread-safe.
    std::function<void()> check;
    // A connection to `rank` broke; throws. Thread-safe.
    std::function<void(Rank rank)> lost;
};

class TcpChannel final : public MessageChannel {
public:
    // One of the two ends to every member; the own one has two ends, as it sends to itself.
    struct Peer {
        Rank rank;
        Socket socket;
        Socket own_end;  // where messages to oneself come in
    };

    TcpChannel(std::vector<Peer> peers, int rank, LinkWatch watch)
        : peers_(std::move(peers)), rank_(rank), watch_(std::move(watch)) {}

    void transfer(std::span<const Message> messages) override;

    // Makes pending and later transfers fail. Thread-safe.
    void shut_down() noexcept;

private:
    struct Progress;
    void advance(Progress& progress);
    void check_header(const Progress& progress) const;
    int fd_of(const Message& message) const;

    std::vector<Peer> peers_;
    int rank_;  // index of this process
    LinkWatch watch_;
};

}  // namespace shardscope::net
