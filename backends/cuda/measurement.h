// Timing on one GPU, for `calibrate --backend cuda`. Without any vendor's header.
#pragma once

#include <string>
#include <vector>

#include "core/program/instruction.h"
#include "core/units.h"

namespace shardscope {

struct GpuMeasurementOptions {
    int device = 0;
    bool tf32 = false;
    bool cudnn = false;  // attention by cuDNN
};

// How often something is timed: at least `times`, and until `budget` is spent.
struct GpuRepeats {
    int times = 5;
    Seconds budget{0.05};
};

// Device memory taken by one of the things that a run keeps outside its arena, measured by difference of what
// the driver says is free.
struct MemoryStage {
    std::string name;  // "context", "kernels", "cublas", …
    Bytes bytes;
};

// One GPU, used by this process alone while it exists. Not thread-safe. Every call throws
// Error{run_failed, "cuda"}.
class GpuMeasurement {
public:
    virtual ~GpuMeasurement() = default;

    // Median time on the device of one call, operands rotating through sets that together exceed the
    // cache. Without the time to launch it: calls are queued behind each other.
    virtual Seconds time_kernel(const Compute& instruction, const GpuRepeats& repeats) = 0;

    // Rate of copying `bytes` within the device's memory, read and written bytes counted.
    virtual BytesPerSecond copy_bandwidth(Bytes bytes, const GpuRepeats& repeats) = 0;

    virtual Seconds host_cost() = 0;          // host time to launch one kernel
    virtual Seconds kernel_overhead() = 0;    // from one empty kernel to the next on the device
    virtual Seconds graph_host_cost() = 0;    // host time to launch a graph, whatever is in it
    virtual Seconds graph_kernel_cost() = 0;  // from one empty kernel of a graph to the next

    // What was taken since before the first use of the device, in order.
    virtual std::vector<MemoryStage> memory_stages() = 0;
};

}  // namespace shardscope
