// What a whole training run takes: time with and without failures, energy, price. docs/run-cost.md
// derives it.
//
// A run is TrainingSpec::tokens tokens, or TrainingSpec::steps steps where those are not said.
//
// Power of a GPU, averaged over a step and over the ranks: P = P_idle + (P_max − P_idle)·u, linear in the
// utilisation u as in X. Fan, W. Weber, L. Barroso, "Power provisioning for a warehouse-sized computer",
// ISCA 2007; u is the part of the step in which the compute stream computes, and P_max the data sheet's
// power or the limit below it. The cluster draws (GPUs·P + nodes·P_node)·PUE. What is lost to failures
// draws the same.
#pragma once

#include <cstdint>
#include <optional>

#include "core/report/goodput.h"
#include "core/scenario.h"
#include "core/units.h"

namespace shardscope {

struct Plan;
struct Result;

struct RunEstimate {
    std::int64_t steps = 0;
    Seconds ideal;     // steps · mean_step_time
    Seconds expected;  // with checkpoints and failures, where these are known
    double gpu_hours = 0;
    Watts gpu_power;     // of one GPU, mean; 0: the device's power is not known
    Watts power;         // of the cluster, as the site is billed for it; 0: likewise
    Joules step_energy;  // 0: likewise
    Joules energy;       // of the run; 0: likewise
    double price = 0;    // in the currency of ClusterOperation::price_per_gpu_hour; 0: not known
    std::optional<Goodput> goodput;  // where ClusterOperation::node_mtbf is known

    bool operator==(const RunEstimate&) const = default;
};

// A step of a run: the mean of disturbed ones where the result has them (Result::variation), else Result::step_time.
Seconds mean_step_time(const Result& result);

// Utilisation of the GPUs as the power model has it: the mean over ranks, and over disturbed steps where the result has
// them, of the computing part of a step.
double utilisation(const Result& result);

// Part of its power that a waiting GPU draws where the cluster does not say.
constexpr double kIdlePart = 0.1;

// Nothing where neither ClusterOperation nor TrainingSpec says anything of the run as a whole, and where
// the result has no step time. Thread-safe.
std::optional<RunEstimate> estimate_run(const Scenario& scenario, const Plan& plan,
                                        const Result& result);

}  // namespace shardscope
