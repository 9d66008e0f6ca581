// Medians of repeated timings.
#pragma once

#include <functional>
#include <vector>

#include "core/units.h"

namespace shardscope {

// Processor time of the calling thread: a kernel's cost without what other programs take.
Seconds thread_time();

// How long to repeat something: until `budget` of thread time is spent, but at least `least` times;
// and no longer than kPatience times the budget on the wall, which a busy machine soon takes.
struct Repeats {
    Seconds budget{0.02};
    int least = 5;
};
constexpr double kPatience = 3;

// Median thread time of one call; calls too short for the clock are timed in batches. The first
// call is not timed.
Seconds median_time(const std::function<void()>& call, const Repeats& repeats);

// The q-th quantile (0 … 1) of a non-empty list.
double quantile(std::vector<double> values, double q);

}  // namespace shardscope
