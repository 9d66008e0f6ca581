// Predicts measured runs, on all cores.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/validation/validation.h"
#include "core/validation/validation_constants_io.h"

namespace shardscope {

// Where the time went: the first sums over threads, `wall` is a clock's.
struct ValidationTimes {
    Seconds map;       // rows to scenarios
    Seconds plan;      // lowering and memory plans, models included
    Seconds simulate;  // the event engine
    Seconds wall;
    std::size_t simulated = 0;  // scenarios: rows that differ only in what was measured are one
};

struct ValidationOptions {
    int threads = 1;
    ValidationConstants constants;
    // Called while it works, by one thread at a time: rows done, and all.
    std::function<void(std::size_t done, std::size_t rows)> on_progress;
};

// One prediction per run, in the same order: the same whatever `threads` is. What concerns one row only
// is that row's `skipped`; throws what is no Error.
std::vector<Prediction> predict_runs(std::span<const MeasuredRun> runs,
                                     const ValidationOptions& options,
                                     ValidationTimes* times = nullptr);

}  // namespace shardscope
