// What ranks in different processes observed, brought together.
#pragma once

#include <optional>
#include <vector>

#include "backends/communicator.h"
#include "core/report/trace.h"

namespace shardscope {

// Every member of `world` brings what its rank observed (nothing where it had none to run), and gets
// what all did, in rank order. A collective call.
std::vector<RankTrace> gather_traces(Communicator& world, const std::optional<RankTrace>& mine);

}  // namespace shardscope
