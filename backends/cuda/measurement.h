// Timing on one GPU, for `calibrate --backend cuda`. Without any vendor's header.
#pragma once

#include <optional>
#include <vector>

#include "core/program/instruction.h"
#include "core/units.h"

namespace shardscope {

struct GpuMeasurementOptions {
    int device = 0;
    bool tf32 = false;
    bool cudnn = false;  // attention in bf16 by cuDNN
};

// How often something is timed: at least `times`, and until `budget` is spent.
struct GpuRepeats {
    int times = 5;
    Seconds budget{0.02};
};

// Device memory that a run takes outside its arena, whatever it runs.
struct GpuRuntimeMemory {
    Bytes context;    // the driver's context, the code of kernels and libraries
    Bytes workspace;  // scratch of one stream with kernels
};

// One GPU, which nobody else uses meanwhile. Not thread-safe. Every call throws Error{run_failed,
// "cuda"}.
class GpuMeasurement {
public:
    virtual ~GpuMeasurement() = default;

    // Median time on the device of one call among calls of the same in a graph, as steps are replayed.
    // Operands are random and rotate through sets that together exceed the cache. Throws
    // Error "out-of-memory" where they do not fit.
    virtual Seconds time_kernel(const Compute& instruction, const GpuRepeats& repeats) = 0;

    // Rate of copies within the device's memory of `bytes`, read and written bytes counted.
    virtual BytesPerSecond copy_bandwidth(Bytes bytes, const GpuRepeats& repeats) = 0;

    virtual Seconds host_cost() = 0;        // host time to launch one kernel
    virtual Seconds kernel_overhead() = 0;  // device time of an empty kernel in a queue of them
    virtual Seconds graph_host_cost() = 0;  // host time to launch a graph
    virtual Seconds graph_kernel_overhead() = 0;  // device time of an empty kernel of a graph

    virtual GpuRuntimeMemory runtime_memory() = 0;
};

// A collective of fp32 sums among all members, or a transfer from the first to the second.
struct GpuCollective {
    std::optional<CollectiveKind> kind;  // empty: a transfer
    Bytes bytes;                         // of the whole buffer
    int repeats = 0;
};

// Seconds of one call on this member's GPU.
struct GpuCollectiveTime {
    double median = 0;
    double spread = 0;  // quartiles' distance over the median
};

// One member of a group of GPUs. Not thread-safe.
class GpuCollectives {
public:
    virtual ~GpuCollectives() = default;
    // All members call it with the same cases. Every call starts when all members are there. Throws
    // Error{run_failed, "nccl"}.
    virtual std::vector<GpuCollectiveTime> time(const std::vector<GpuCollective>& cases) = 0;
};

}  // namespace shardscope
