// How a step varies when ranks do not all run alike: what a simulation with jitter and stragglers found.
#pragma once

#include <cstdint>
#include <vector>

#include "core/ids.h"
#include "core/units.h"

namespace shardscope {

struct Straggler {
    Rank rank;
    double factor = 1;  // of the time of its kernels
    bool operator==(const Straggler&) const = default;
};

// Relative standard deviations, of log-normal factors with mean 1.
struct Disturbance {
    double kernel_jitter = 0;  // of every kernel by itself
    double rank_jitter = 0;    // of all kernels of a rank in a step together
    std::vector<Straggler> stragglers;
    std::uint64_t seed = 1;

    bool any() const { return kernel_jitter > 0 || rank_jitter > 0 || !stragglers.empty(); }
    bool operator==(const Disturbance&) const = default;
};

// Of the step time over `steps` simulated steps, with seeds from Disturbance::seed on.
struct StepVariation {
    Disturbance disturbance;
    int steps = 0;
    Seconds mean, p5, p50, p95;
    Seconds busy;  // kernels on the compute stream (StepTime::busy), mean over steps and ranks

    bool operator==(const StepVariation&) const = default;
};

struct DisturbedStep {
    Seconds wall;  // of the slowest rank
    Seconds busy;  // mean over ranks
};

// Of steps in any order, at least one.
StepVariation variation_of(const std::vector<DisturbedStep>& steps);

}  // namespace shardscope
