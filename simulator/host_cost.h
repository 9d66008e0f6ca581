// What a GPU's host spends on a step.
#pragma once

#include <cstdint>

#include "core/cluster/cluster.h"
#include "core/program/program.h"
#include "core/units.h"

namespace shardscope {

// Graphs that a body is replayed as: per stream, runs of kernels, and of collectives on the compute
// stream, that nothing else of the stream interrupts (loading a batch does).
std::int64_t graphs_of(const Body& body);

// Host time per instruction: Device::host_cost, or, where graphs are replayed, the mean over a step of
// the role that takes longest to issue: a launch per graph, and host_cost for everything between them.
Seconds issue_cost(const Program& program, const Device& device);

}  // namespace shardscope
