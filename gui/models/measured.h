// What a run measured of one strategy, as charts show it beside the simulation. Filled from opened reports.
#pragma once

#include <array>
#include <optional>

#include "core/program/program.h"
#include "core/report/trace.h"

namespace shardscope::gui {

struct MeasuredMemory {
    Bytes peak;  // of the fullest rank
    std::optional<std::array<Bytes, kCategories>> categories;
    bool stale = false;  // the scenario is not the one that was measured any more
};

struct MeasuredTime {
    Seconds step_time;  // median of the slowest rank; NaN: no step was timed
    std::optional<StepTime> parts;
    bool stale = false;
};

// (simulated − measured) / measured, as the command line's comparison gives it; empty where there is
// nothing to divide by.
std::optional<double> relative_error(Bytes simulated, Bytes measured);
std::optional<double> relative_error(Seconds simulated, Seconds measured);

}  // namespace shardscope::gui
