#include "simulator/memory_cost.h"

#include <algorithm>

#include "simulator/gpu_generation.h"

namespace shardscope {
namespace {

double cache_bandwidth(const Device& device) {
    return generation_of(device.architecture).cache_bytes * device.multiprocessors *
           device.clock.value;
}

}  // namespace

MemoryCost::MemoryCost(const Device& device)
    : bandwidth_(device.memory_bandwidth.value * device.memory_efficiency),
      cache_bandwidth_(std::max(bandwidth_, cache_bandwidth(device))),
      cache_(device.kind == DeviceKind::gpu ? static_cast<double>(device.l2.value) : 0),
      latency_(device.memory_latency.value) {}

// A kernel that moves up to half the cache finds there what it reads, since the kernel before wrote it;
// one that moves as much as the cache holds has displaced it before it comes to it. Between, the part
// falls evenly.
double MemoryCost::seconds(double read, double written) const {
    if (!(bandwidth_ > 0)) return 0;
    const double moved = read + written;
    if (!(moved > 0)) return 0;
    const double found = cache_ > 0 ? std::clamp(2 - 2 * moved / cache_, 0.0, 1.0) : 0;
    return latency_ + (written + (1 - found) * read) / bandwidth_ + found * read / cache_bandwidth_;
}

}  // namespace shardscope
