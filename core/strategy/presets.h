// Named strategies: nothing but values of Strategy with a description for help texts.
#pragma once

#include <span>
#include <string_view>

#include "core/strategy/strategy.h"

namespace shardscope {

struct Preset {
    std::string_view name;  // what a scenario writes: "zero-1"
    std::string_view description;
    Strategy strategy;  // its name is the preset's
};

// In the order in which a comparison shows them: single, ddp, zero-1, zero-2, zero-3. A scenario
// without strategies compares all of them.
std::span<const Preset> strategy_presets();

}  // namespace shardscope
