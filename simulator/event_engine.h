// Walks a prepared Program with a virtual clock and tells when everything happened.
//
// Discrete events in order of time: a lane that starts an operation is asleep until its end; a lane
// that has to wait (for an event, for other roles, for the host) sleeps until someone wakes it. With
// shared cores the clock counts *work* instead of seconds: all active lanes progress at one rate
// (CoreSharing), so their order never changes when the rate does. Deterministic; ties go to the
// lower lane number.
#pragma once

#include <cstdint>
#include <vector>

#include "core/cluster/cluster.h"
#include "core/program/program.h"
#include "core/report/trace.h"
#include "simulator/lane_program.h"

namespace shardscope {

// One step of one role.
struct RoleTimeline {
    StepTime time;
    std::vector<Span> spans;  // in order of start; empty unless asked
};

// Simulates one step; one timeline per role, all spans with one operation per instruction when asked.
// Throws Error (run_failed, "deadlock") that names what every lane waits for when nothing can go on.
std::vector<RoleTimeline> simulate_step(const Program& program, const Cluster& cluster,
                                        bool record_spans = false,
                                        RuntimeProfile profile = RuntimeProfile::shardscope);

// How the kernels of one step differ from what they take on average.
struct StepNoise {
    // Relative standard deviation of every kernel by itself, log-normal with mean 1. Of kernels that are one
    // operation the sum's, which is log-normal nearly enough: L. Fenton, "The sum of log-normal
    // probability distributions in scatter transmission systems", IRE Trans. CS-8 (1960).
    double kernel_jitter = 0;
    std::vector<double> factors;  // of all kernels of a role, by LaneProgram::roles; empty: 1
    std::uint64_t seed = 1;       // the same seed gives the same step
};

// The same for a program prepared before (with `separate_kernels` when spans are wanted).
std::vector<RoleTimeline> simulate_step(const LaneProgram& program, const Cluster& cluster,
                                        bool record_spans = false,
                                        const StepNoise* noise = nullptr);

}  // namespace shardscope
