// Whether a strategy fits, in the words of the window.
#pragma once

#include <QString>

#include "core/report/report.h"

namespace shardscope::gui {

// The category that takes most of the memory.
Category largest_category(const MemoryUse& memory);

// "✓ fits", "! OOM +2.7 GiB", "✕ world-size", "✕ failed: RULE".
QString short_verdict(const StrategyReport& report);
// "✓ fits, 50.4 of 79.1 GiB are free", "! OOM, 2.7 GiB over; largest: parameters", or "✕ " and the error as
// the command line prints it: "rule: message; fix".
QString long_verdict(const StrategyReport& report);

}  // namespace shardscope::gui
