// Whether this machine is still as fast as its calibration says: machines that are shared, throttled or moved
// are not, and predictions are then wrong by as much.
#pragma once

#include <optional>
#include <string>

#include "core/cluster/cluster.h"

namespace shardscope {

// The rate of matrix multiplies now as a part of the calibrated one, one thread: the median over a few calibrated
// shapes of at most some milliseconds each, under a second in all. Empty where nothing was calibrated.
std::optional<double> speed_now(const Calibration& calibration);

// A note where speed_now() is off by more than kSpeedTolerance, either way.
inline constexpr double kSpeedTolerance = 0.15;
std::optional<std::string> speed_note(const Calibration& calibration, double speed);

}  // namespace shardscope
