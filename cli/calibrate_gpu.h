// Measures a GPU, and how several communicate: the numbers behind predictions of runs on GPUs.
#pragma once

#include "backends/cuda_module.h"
#include "cli/calibrate_measure.h"
#include "cli/gpus.h"
#include "cli/processes.h"
#include "core/cluster/cluster.h"

namespace shardscope {

// A cluster of this GPU, one rank of it, with its calibration filled in: matrix multiplies (fp32 in TF32 if
// place.options.tf32), every other kernel, memory, launches, and what a run takes of memory beside its
// arena. `attention_by_cudnn`: its attention in bf16. About a minute. Throws Error (run_failed).
Cluster calibrate_gpu(const CudaModule& module, const GpuPlace& place,
                      const CalibrateOptions& options, const CalibrateProgress& progress);

// NCCL among the processes, one GPU each. All processes call it and get the same.
TransportCalibration calibrate_nccl(const CudaModule& module, const GpuPlace& place,
                                    Processes& processes, const CalibrateOptions& options,
                                    const CalibrateProgress& progress);

// Measures this GPU, and where there are processes how they communicate, with progress, and writes the file. Of a
// GPU that the file knows already only the communication is new. Then all processes call it. Returns what
// the file says now (on rank 0).
Cluster calibrate_gpu_to(const std::string& file, const RunArguments& arguments, bool quick,
                         Processes* processes, const Environment& environment);

// The links of a cluster as its NCCL samples show them: the rate of the largest transfer and the time of
// the smallest, on one host and between hosts.
void set_links_from(const TransportCalibration& nccl, Cluster& cluster);

}  // namespace shardscope
