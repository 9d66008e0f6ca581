// What offloading takes: moves between device, host and NVMe, and kernels on the host's processors
// (docs/cost-model.md).
#pragma once

#include "core/cluster/cluster.h"
#include "core/program/instruction.h"
#include "core/units.h"

namespace shardscope {

// Ranks of a node do the same at the same time, so that each has its part of the host's memory bandwidth and of
// NVMe; the link to the host is every device's own.
class OffloadCost {
public:
    // `ranks`: of the program, which fill one node after the other.
    OffloadCost(const Cluster& cluster, std::size_t ranks);

    // On one of the four streams of moves.
    Seconds move(Stream stream, Bytes bytes) const;
    // Stepping is bound by memory: DeepSpeed's CPU Adam, in vectors and threads, is (Ren et al. 2021, 5.1).
    Seconds kernel(const Compute& compute) const;

private:
    double latency_, link_, memory_, read_, write_;  // seconds, bytes per second of one rank
};

}  // namespace shardscope
