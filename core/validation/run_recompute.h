// What of a measured run's activations the backward pass computed again, as its row has it: "full (block, 5 layers)".
#pragma once

#include <optional>
#include <vector>

#include "core/strategy/strategy.h"
#include "core/validation/run_cluster.h"

namespace shardscope {

// By the columns `recompute` and `recompute_note`, and the share of FSDP's blocks in `assumptions`; empty where the row
// leaves it open. Some words are one product's, and counts of layers are of every chunk of a pipeline: both are
// `strategy`'s, which is whole but for this. Adds to `assumed` what the words leave open, and what they name that is not
// modelled. Throws Error "unknown-name" for other words.
std::optional<Recompute> recompute_of(const MeasuredRun& run, const Strategy& strategy,
                                      std::vector<Assumption>& assumed);

}  // namespace shardscope
