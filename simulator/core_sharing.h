// Threads on the cores of one node: how fast each goes when more of them work than there are cores.
#pragma once

#include <algorithm>

#include "core/cluster/cluster.h"

namespace shardscope {

// Processor sharing: the scheduler gives every active thread an equal share of the cores. With all
// cores busy each is slower by the measured factor, since caches and memory are shared too, and
// ranks in lock-step go at the pace of the slowest core.
struct CoreSharing {
    double cores = 0;     // 0: every thread has a core of its own
    double slowdown = 1;  // Calibration::busy_slowdown

    static CoreSharing of(const Cluster& cluster) {
        return {static_cast<double>(cluster.cores),
                std::max(1.0, cluster.device.calibration.busy_slowdown)};
    }

    // Progress of each of `active` threads per second of time; 1 is a thread alone.
    double rate(double active) const {
        if (cores <= 0 || active < cores) return 1;
        return cores / active / slowdown;
    }
};

}  // namespace shardscope
