// Predicted against measured as a picture: SVG 1.1 without scripts, styles or links, so that every viewer
// shows the same. It has a white ground of its own, for viewers with a dark one.
#pragma once

#include <string>

#include "core/validation/validation.h"

namespace shardscope {

// Step times, and beside them peak memory where there is any: both axes logarithmic and alike, the
// diagonal where both are equal, dashed lines 10 % above and below, a mark per run whose title is its
// row, a colour and shape per family. The same validation gives the same text.
std::string scatter_plot(const Validation& validation);

}  // namespace shardscope
