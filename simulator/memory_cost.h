// How long a kernel takes that is bound by memory. docs/cost-model.md derives the formula.
#pragma once

#include "core/cluster/cluster.h"

namespace shardscope {

// Immutable after construction; safe to share between threads. Holds no reference to the device.
class MemoryCost {
public:
    explicit MemoryCost(const Device& device);

    // Seconds to read and write so many bytes, kernel overhead not included: the latency of the first
    // access, then the attainable bandwidth, of the cache for what the kernel before has left there.
    // Never longer for fewer bytes or more bandwidth.
    double seconds(double read, double written) const;

private:
    double bandwidth_, cache_bandwidth_, cache_, latency_;
};

}  // namespace shardscope
