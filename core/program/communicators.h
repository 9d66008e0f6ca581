// Which communicators the ranks of a program need where each is made by all ranks together (NCCL).
//
// Collectives have one per group and stream, so that a stream waits for nothing but its own. A transfer
// has one of its two ranks, direction and lane: operations of one communicator run in order whatever
// stream they are on, and a rank that shared one with both neighbours could wait for a transfer behind
// the one it needs.
#pragma once

#include <array>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "core/program/program.h"

namespace shardscope {

// Communicators that one split of all ranks makes: disjoint sets of ranks, each in ascending order (of a
// transfer: sender, receiver).
struct CommunicatorSplit {
    std::string name;  // "dp gather", "activations 1"
    std::vector<std::vector<Rank>> members;

    // Index of the set that `rank` is in; −1: in none.
    int set_of(Rank rank) const;
};

struct CommunicatorPlan {
    std::vector<CommunicatorSplit> splits;  // in the order in which every rank makes them

    // Split of a group's collectives on a stream, and of a transfer; −1: nobody has a use for it.
    int of_collectives(Stream stream, GroupId group) const;
    int of_transfer(Rank from, Rank to, TransferLane lane) const;

    std::array<std::vector<int>, kStreams> collectives;  // [stream][group]
    std::map<std::tuple<std::int32_t, std::int32_t, TransferLane>, int>
        transfers;  // [from, to, lane]
};

// The same on every rank. Throws Error{run_failed, "unsupported"} for a transfer to the rank itself.
CommunicatorPlan plan_communicators(const Program& program);

}  // namespace shardscope
