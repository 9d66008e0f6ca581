// Pass "units": which parameters are communicated and sharded together.
#pragma once

#include <vector>

#include "core/lowering/plan.h"

namespace shardscope {

// ZeRO 3: one unit per layer that owns parameters. Otherwise consecutive layers, taken in the order
// their gradients become ready (last layer first), fill buckets of at least strategy.bucket bytes of
// `gradient` elements, as PyTorch DDP does. Units come in forward order. dp = 1 shards nothing.
std::vector<Unit> make_units(const Model& model, const Strategy& strategy, int dp, DType gradient);

// Where a parameter lies.
struct Place {
    UnitId unit;
    std::int64_t offset = 0;  // elements
};
std::vector<Place> places_of(const Model& model, const std::vector<Unit>& units);

}  // namespace shardscope
