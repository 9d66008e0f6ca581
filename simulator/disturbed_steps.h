// Steps in which ranks do not all run alike: every rank simulated by itself, with jitter and stragglers.
#pragma once

#include <functional>

#include "core/lowering/plan.h"
#include "core/report/step_variation.h"
#include "core/scenario.h"

namespace shardscope {

// Most ranks of a plan: time and memory are in proportion to them, and a step of so many takes seconds.
constexpr int kDisturbedRanks = 1024;

// How many steps are enough for the mean and quartiles, in about the same time whatever the ranks: 100 of up to 64
// ranks, fewer of more, at least 10.
int usual_disturbed_steps(int ranks);

// Simulates `steps` steps on `threads` threads, number i with seed disturbance.seed + i; times are of the slowest rank,
// and the same with any number of threads. `on_step` is called with how many are done, by one thread at a time. Throws Error "separate-ranks" (invalid_input) for plans with more ranks,
// and "straggler" for a rank that there is not. Thread-safe.
StepVariation simulate_disturbed(const Scenario& scenario, const Plan& plan,
                                 const Disturbance& disturbance, int steps, int threads = 1,
                                 const std::function<void(int)>& on_step = {});

}  // namespace shardscope
