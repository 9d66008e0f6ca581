// How the processes of a run find each other: all come to rank 0, which listens at MASTER_ADDR and
// MASTER_PORT or where it has written in a file, and get from it where everybody else listens.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "backends/process/socket.h"
#include "core/ids.h"

namespace shardscope::net {

// Who this process is, as its launcher says.
struct MeetingPlace {
    Rank rank;
    int size = 1;
    std::string master_host = "127.0.0.1";
    int master_port = 29500;
    std::string file;     // where rank 0 writes host and port instead; empty: they are known
    std::string host;     // of this process, for people
    std::string version;  // of the program; all must have the same
    std::chrono::seconds patience{120};  // until everybody is here
};

// The first bytes of every connection, from the one that calls.
struct Hello {
    enum class Kind : std::uint32_t { join, channel };
    std::uint64_t magic = 0x31656e6f64726853;  // also tells the byte order
    Kind kind = Kind::join;
    std::int32_t rank = 0;
    std::int32_t size = 0;      // join
    std::uint32_t channel = 0;  // channel
    std::int32_t port = 0;      // join: where the caller listens
    char host[64] = {};         // join
    char version[64] = {};      // join
    std::uint32_t key = 0;      // join: of the run, as the file says; 0: there is no file
};

struct Meeting {
    Socket listener;
    std::vector<Address> listeners;  // of every rank
    std::vector<std::string> hosts;  // of every rank
    // On rank 0 to every rank (none to itself), elsewhere one, to rank 0 (the first element).
    std::vector<Socket> control;
};

// Returns when all `size` processes have come. Throws Error{run_failed, "processes"}: nobody listens,
// ranks are missing, two have the same rank, sizes or versions differ.
Meeting meet(const MeetingPlace& place);

// Receives and checks a Hello; nothing when it is none.
std::optional<Hello> receive_hello(const Socket& socket);

}  // namespace shardscope::net
