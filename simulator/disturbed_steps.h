// Steps in which ranks do not all run alike: every rank simulated by itself, with jitter and stragglers.
#pragma once

#include "core/lowering/plan.h"
#include "core/report/step_variation.h"
#include "core/scenario.h"

namespace shardscope {

// Simulates `steps` steps, number i with seed disturbance.seed + i; times are of the slowest rank. Throws
// Error "separate-ranks" (invalid_input) for plans with more ranks, and "straggler" for a rank that there
// is not. Thread-safe.
StepVariation simulate_disturbed(const Scenario& scenario, const Plan& plan,
                                 const Disturbance& disturbance, int steps);

}  // namespace shardscope
