// Walks a prepared Program with a virtual clock and tells when everything happened.
//
// Discrete events in order of time: a lane that starts an operation is asleep until its end; a lane
// that has to wait (for an event, for other roles, for the host) sleeps until someone wakes it. With
// shared cores the clock counts *work* instead of seconds: all active lanes progress at one rate
// (CoreSharing), so their order never changes when the rate does. Deterministic; ties go to the
// lower lane number.
#pragma once

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

// The same for a program prepared before (with `separate_kernels` when spans are wanted).
std::vector<RoleTimeline> simulate_step(const LaneProgram& program, const Cluster& cluster,
                                        bool record_spans = false);

}  // namespace shardscope
