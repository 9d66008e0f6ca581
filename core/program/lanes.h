// Two steps of a program as lanes: per role and stream, in order, every instruction that others may
// wait for or that may wait.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "core/program/check_progress.h"
#include "core/program/role_links.h"

namespace shardscope {

struct LaneItem {
    const Instruction* instruction = nullptr;
    Task task;
    int step = 0;
    std::int64_t issued_after = 0;  // how many of the role's host_waits precede it
    bool host_waits = false;        // the host goes on once it is over
    std::int32_t meeting = -1;      // collective: Lanes::meetings
    std::int64_t number = 0;    // collective: in its meeting; wait: how many recordings precede it
    std::size_t first_end = 0;  // exchange: Lanes::ends, one per transfer
};

struct Lane {
    std::size_t role = 0;
    Stream stream = Stream::compute;
    std::vector<LaneItem> items;
};

struct LanePlace {
    std::size_t lane = 0, item = 0;
};

// One end of a transfer.
struct LaneEnd {
    std::int32_t channel = 0;  // Lanes::channels
    bool send = false;
    std::size_t number = 0;  // in its channel and direction
};

// Collectives of one group on one stream among roles that share sets of it.
struct Meeting {
    std::vector<std::size_t> roles;
    std::map<std::size_t, std::vector<LanePlace>> calls;  // per role, in order
};

struct LaneChannel {
    Channel channel;
    std::vector<LanePlace> sends, receives;  // in order of issue
    std::vector<LanePlace>& side(bool send) { return send ? sends : receives; }
    const std::vector<LanePlace>& side(bool send) const { return send ? sends : receives; }
};

// Borrows instructions from the program.
struct Lanes {
    Lanes(const Program& program, Host host);

    static std::size_t index(std::size_t role, Stream stream) {
        return role * kStreams + static_cast<std::size_t>(stream);
    }

    std::vector<Lane> lanes;
    std::vector<LaneEnd> ends;
    std::vector<LaneChannel> channels;
    std::vector<Meeting> meetings;
    std::vector<std::vector<std::vector<LanePlace>>> recordings;  // [role][event], in order
    std::vector<std::vector<LanePlace>> host_waits;               // [role], in order
};

}  // namespace shardscope
