// The kernel part of `calibrate`: which shapes are measured, and how samples come out of timings.
#pragma once

#include <vector>

#include "cli/calibrate_measure.h"
#include "core/cluster/cluster.h"

namespace shardscope {

// Matrix-multiply rates. A training step multiplies every shape three ways (Linear and its two
// gradients, which read their operands transposed or not); a sample is the mean over the three.
std::vector<MatmulSample> measure_matmul(const CalibrateOptions& options,
                                         const CalibrateProgress& progress);

// A sample's shape, timed again: a quarter of a second.
MatmulSample measure_again(const MatmulSample& sample);

// Every other kernel, from sizes that fit a core's cache to sizes that do not, and what bias,
// activation and residual add to a matrix multiply.
std::vector<KernelSample> measure_kernels(const CalibrateOptions& options,
                                          const CalibrateProgress& progress);

// How much longer a mixture of kernels takes on the slowest of `cores` threads at once than on a
// thread alone; ≥ 1. The slowest, because ranks wait for each other in every step, and cores are not
// equal: on virtual machines one often shares its physical core with a stranger.
double measure_busy_slowdown(int cores, const CalibrateOptions& options);

// What dividing a kernel over one thread per core adds to its share of the work: telling the helpers, and
// waiting for the last of them. Wall time, since processor time would not show the waiting.
Seconds measure_fork_join(int cores, const CalibrateOptions& options);

// Copy rate of memory, bytes read and bytes written counted.
BytesPerSecond measure_memory_bandwidth(const CalibrateOptions& options);

// What the CPU executor spends on an instruction beside its kernel.
Seconds measure_host_cost();

}  // namespace shardscope
