// What a run tells while it goes on, for programs: one JSON object per line (docs/report.md, "Events").
//
// Each function returns one line with its line break. Figures that are not known are null.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/report/report.h"
#include "core/runner.h"

namespace shardscope {

// How a strategy's part of a run is identified, and what rates count.
struct RunningStrategy {
    const StrategyReport& report;
    std::string_view backend;
    int ranks = 0;
    std::int64_t steps = 0;
    bool tokens = true;  // else samples
};
std::string started_event(const RunningStrategy& run);

// `rate`: tokens (samples) per second of this step.
std::string step_event(const std::string& strategy, const StepProgress& progress, double rate);

// What became of a strategy: "finished" with report.measured, "failed" with report.error (invalid ones
// and those that do not fit, too).
std::string finished_event(const StrategyReport& report);
std::string failed_event(const StrategyReport& report, const Error& error);

// It was told to stop after `step` of `steps`; report.measured is of those (null where there are none).
std::string cancelled_event(const StrategyReport& report, std::int64_t step, std::int64_t steps);

// The last line. `report`: the file that was written; empty where none was. `error`: of the whole run.
std::string ended_event(int exit_code, bool cancelled, const std::optional<std::string>& report,
                        const std::optional<Error>& error);

}  // namespace shardscope
