// Trains a scenario, on CPU ranks or others, and collects what every rank holds into whole tensors, by name.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "backends/cpu/cpu_runner.h"
#include "tests/support/tiny.h"

namespace shardscope::test {

using Tensors = std::map<std::string, std::vector<double>>;

// Attention key biases are collected as 0 where positions do not turn them: they add the same to all
// scores of a query, so that their gradient is zero in exact arithmetic, and Adam turns rounding noise
// into steps.
struct Trained {
    Trace trace;
    std::map<std::int64_t, Tensors> gradients;  // after steps 0 and 1: reduced, before clipping
    Tensors parameters;                         // after the last step
    bool replicas_agree = true;                 // what several ranks hold is equal bit for bit
};

struct Tampering {
    std::function<void(Plan&)> plan;  // changes the plan before it runs
    std::function<void(int rank, std::int64_t step, const RankState&)> state;  // after each step
};

Trained train(const Scenario& scenario, const Tampering& tampering = {});

// The same with other runners: `run` runs the plan and calls `inspect` after each step of every rank,
// for several ranks at a time if it likes.
using Inspect = std::function<void(int rank, std::int64_t step, const RankState&)>;
using RunPlan = std::function<Trace(const Plan& plan, const Inspect& inspect)>;
Trained train_with(const RunPlan& run, const Scenario& scenario, const Tampering& tampering = {});

// Memory of rank 0 in a second run of the scenario on CPU ranks: in a process's first, oneDNN compiles
// its kernels and keeps them, about 18 MB. Collects nothing, since what a test keeps while ranks run is
// memory outside the plan, as any other.
MemoryUse memory_of_second_run(const Scenario& scenario);

// ‖a − b‖₂ / ‖b‖₂ of one tensor and of all together; `b` is the reference.
struct Difference {
    double whole = 0;
    double worst = 0;
    std::string worst_name;
};
Difference compare(const Tensors& a, const Tensors& b);

}  // namespace shardscope::test
