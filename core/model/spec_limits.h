// Internal to core/model: what files may say about a model's sizes. Far above any published model, far
// below what would make a plan of the model too large to hold.
#pragma once

#include "core/yaml_reader.h"

namespace shardscope {

inline constexpr IntegerRange kLayers{1, 10'000};
inline constexpr IntegerRange kNoneOrLayers{0, kLayers.high};
inline constexpr IntegerRange kHeads{1, 65'536};
inline constexpr IntegerRange kExpertGroups{1, 1024};
inline constexpr IntegerRange kWidth{1, 1 << 24};
inline constexpr NumberRange kTheta{0, 1e12, true};
inline constexpr NumberRange kEpsilon{0, 1, true};
inline constexpr NumberRange kDeviation{0, 1e3, true};  // of initial weights
inline constexpr NumberRange kScale{0, 1e6, true};

}  // namespace shardscope
