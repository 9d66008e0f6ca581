// What a product cannot do, whose way a strategy is to be simulated in: the simulation answers what it would cost,
// and says that nobody can run it.
#pragma once

#include <optional>
#include <string>

#include "core/strategy/strategy.h"

namespace shardscope {

// The first of the strategy's choices that its profile's product does not have, as the end of a sentence:
// "Megatron-LM shards optimizer states alone, as zero 1 does". Empty where there is none. `shardscope` has all.
// Sources: Megatron-LM `training/arguments.py` (`--use-distributed-optimizer`, since 2022), DeepSpeed
// `runtime/pipe/engine.py` (ZeRO 2 and 3 are refused), PyTorch `ShardingStrategy`, llm-foundry `fsdp_config`.
std::optional<std::string> beyond_product(const Strategy& strategy);

}  // namespace shardscope
