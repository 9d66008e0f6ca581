// A Communicator among processes, over messages.
//
// Every member owns one part of a reduced buffer: the others send it theirs, it adds them in rank
// order, and sends the sum to all. Each member so moves 2(n−1)/n of an all-reduced buffer in each
// direction, which is the least possible (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms
// for clusters of workstations", 2009), and the sums have the bits of the thread communicator.
#pragma once

#include <memory>
#include <vector>

#include "backends/communicator.h"
#include "backends/process/message_link.h"

namespace shardscope {

// What arrives to be summed is kept in buffers of at most this size per communicator, allocated when
// it is made; larger reductions go through them in pieces.
inline constexpr std::int64_t kStagingBytes = std::int64_t{512} << 10;

// This process's member of a new communicator of `members`; see MessageLink::open. `link` must outlive
// it, and its abort() is the link's: it ends all communication of the run.
std::unique_ptr<Communicator> make_message_communicator(MessageLink& link,
                                                        const std::vector<Rank>& members,
                                                        std::uint32_t id);

}  // namespace shardscope
