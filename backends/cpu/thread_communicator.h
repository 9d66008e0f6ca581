// Collectives and transfers among threads of one process, through each other's memory.
#pragma once

#include <memory>
#include <vector>

#include "backends/communicator.h"

namespace shardscope {

// The members of one new communicator, in rank order; each is to be driven by a thread of its own.
// Every member reads and writes the others' buffers, which must stay valid until their owner's call
// returns. Calls that differ between members throw Error{run_failed, "collective-mismatch"} on all of
// them. Members may be destroyed in any order, after their last call.
std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int size);

}  // namespace shardscope
