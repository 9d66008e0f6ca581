// Where rank 0 listens, in a file that all processes of a run see.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace shardscope::net {

// What the file says. Runs that were killed leave theirs behind, and its port may by then be another program's:
// the key tells the runs apart.
struct MeetingFile {
    std::uint32_t key = 0;  // random, not 0
    int port = 0;
    std::vector<std::string>
        addresses;  // of rank 0's host, those that others are likely to reach first
};

// All addresses of this machine's interfaces that are up: those of real networks, then those of bridges for
// containers and virtual machines, then loopback ones.
std::vector<std::string> own_addresses();

std::uint32_t random_key();

// Replaces the file at once, so that nobody reads half of it. Throws Error{run_failed, "processes"}.
void publish(const MeetingFile& meeting, const std::string& path);

// Nothing where there is no file, or none of ours.
std::optional<MeetingFile> read_meeting_file(const std::string& path);

// Removes the file unless another run has written it since.
void withdraw(const MeetingFile& meeting, const std::string& path) noexcept;

}  // namespace shardscope::net
