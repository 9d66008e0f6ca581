// The ends of a TCP link as threads of one process, for tests.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backends/process/tcp_link.h"
#include "tests/support/thread_ranks.h"

namespace shardscope::test {

inline int free_port() {
    const net::Socket listener = net::listen_at(net::resolve("127.0.0.1", 0), false);
    return net::own_address(listener).port();
}

// Two ranks on each host.
inline net::MeetingPlace place_of(int rank, int size, int port) {
    net::MeetingPlace place;
    place.rank = Rank(rank);
    place.size = size;
    place.master_port = port;
    place.host = "h" + std::to_string(rank / 2);
    place.version = "test";
    place.patience = std::chrono::seconds(20);
    return place;
}

// Calls body(rank, link) on a thread of its own for every rank; see on_ranks().
template <class Body>
std::vector<std::optional<Error>> on_tcp_links(int ranks, Body body) {
    const int port = free_port();
    return on_ranks(ranks, [&](int r) {
        const auto link = make_tcp_link(place_of(r, ranks, port));
        body(r, *link);
    });
}

}  // namespace shardscope::test
