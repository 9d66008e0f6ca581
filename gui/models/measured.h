// What a run measured of one strategy, as charts show it beside the simulation. Filled from opened reports
// (gui/models/measurements.h), which compute the errors: predicted / measured − 1, NaN where not known.
#pragma once

#include <array>
#include <limits>
#include <optional>

#include "core/program/program.h"
#include "core/report/trace.h"

namespace shardscope::gui {

struct MeasuredMemory {
    Bytes peak;  // of the fullest rank
    double error = std::numeric_limits<double>::quiet_NaN();
    std::optional<std::array<Bytes, kCategories>> categories;
    bool stale = false;  // the scenario is not the one that was measured any more
};

struct MeasuredTime {
    Seconds step_time;  // median of the slowest rank
    double error = std::numeric_limits<double>::quiet_NaN();
    std::optional<StepTime> parts;
    bool stale = false;
};

}  // namespace shardscope::gui
