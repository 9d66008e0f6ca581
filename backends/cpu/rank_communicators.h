// The communicators of the ranks of a program: of all, where they are threads of one process, or of the
// one that this process is.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "backends/communicator.h"
#include "backends/process/message_link.h"
#include "core/program/program.h"

namespace shardscope {

// Of one rank. Collectives of different streams run at the same time and so never share a
// communicator. The two ends of a transfer are issued on different streams of one lane: transfers have
// a communicator per lane and group.
struct RankCommunicators {
    std::array<std::vector<std::unique_ptr<Communicator>>, kStreams>
        collectives;  // [stream][group]
    std::array<std::vector<std::unique_ptr<Communicator>>, kTransferLanes>
        transfers;  // [lane][group]

    void abort() const noexcept;  // all of them
};

// Ranks 0 … world − 1, as threads. What no member of a set of ranks uses is null.
std::vector<RankCommunicators> make_rank_communicators(const Program& program, int world);

// Of the rank that this process is; every process with a rank in the program must call it. Takes the
// link's channels from 1 on.
RankCommunicators make_process_communicators(const Program& program, MessageLink& link);

}  // namespace shardscope
