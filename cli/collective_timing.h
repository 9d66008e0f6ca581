// Timing collectives and transfers, among whatever ranks a communicator connects.
#pragma once

#include <optional>
#include <vector>

#include "backends/communicator.h"
#include "core/cluster/cluster.h"

namespace shardscope {

struct CollectiveCase {
    std::optional<CollectiveKind> kind;  // empty: a transfer from the first member to the second
    std::int64_t elements = 0;           // fp32, of the whole buffer
    int repeats = 0;

    Bytes bytes() const { return Bytes(elements * size_of(DType::fp32)); }
    std::string name() const;  // CollectiveSample::kind
};

// Seconds of one call as one member sees it; calls start together.
struct CollectiveTiming {
    double wall = 0, wall_low = 0;  // median and lower quartile
    double spread = 0;              // quartiles' distance over the median
    double thread = 0;              // median processor time
};

// All members call it with the same cases. Buffers are separate ones for sending and receiving, as
// gathered layers and gradient shards have.
std::vector<CollectiveTiming> time_collectives(const std::vector<CollectiveCase>& cases,
                                               Communicator& group);

// Sizes from 1 KiB by factors of `factor`; repeated until about `budget` bytes have moved, 7 to `most`
// times.
struct CollectiveGrid {
    std::int64_t largest = 16 << 20;
    int factor = 4;
    std::int64_t budget = 128 << 20;
    int most = 100;
};
std::vector<CollectiveCase> collective_cases(const CollectiveGrid& grid);
std::vector<CollectiveCase> transfer_cases(const CollectiveGrid& grid);

}  // namespace shardscope
