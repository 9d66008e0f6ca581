// The GPUs that a run uses: which one is this process's, and the scenario's cluster put on them.
#pragma once

#include <optional>
#include <string>

#include "backends/cuda_module.h"
#include "cli/arguments.h"
#include "cli/environment.h"
#include "cli/processes.h"
#include "cli/runners.h"
#include "core/scenario.h"

namespace shardscope {

struct GpuPlace {
    CudaOptions options;  // the user's, and this process's GPU
    std::string name;     // of the GPU
    Bytes memory;         // of the smallest GPU of the run
    int visible = 0;      // GPUs of this host that this process sees
    bool cudnn = false;   // attention in bf16 is cuDNN's
};

// Finds this process's GPU: the LOCAL_RANK-th that is visible, or the only one. A collective call where
// there are processes. Throws Error "module-missing" and "no-gpu"; "gpus" where more ranks would share a
// GPU than --ranks-per-gpu allows.
GpuPlace place_on_gpus(const RunArguments& arguments, const Environment& environment,
                       Processes* processes);

// The same where the backend runs on GPUs; else nothing.
std::optional<GpuPlace> gpus_for(const Backend& backend, const RunArguments& arguments,
                                 const Environment& environment, Processes* processes);

// `gpus`: which GPU each rank would use, by its unique name; empty where this process's host has none for it. Throws
// Error "gpus", with the numbers and a remedy, where more than `shared` ranks would use one, or none is
// there. `visible`: GPUs that each host shows.
void check_gpu_sharing(const std::vector<std::string>& gpus, const std::vector<std::string>& hosts,
                       int shared, int visible);

// Puts the scenario on the run's GPUs: as many as there are processes, as fast as its cluster, or what
// `calibrate --backend cuda` measured of this GPU (`measured`, a file that need not exist), says. Returns a
// note for the report if that changed what the scenario asked for. Throws "ranks" where the processes are
// not as many as the scenario's ranks; alone, the remedy is the line that starts them.
std::optional<std::string> move_to_gpus(Scenario& scenario, const RunArguments& arguments,
                                        const GpuPlace& place, Processes* processes,
                                        const std::string& measured, const Words& command_line);

// Throws "not-calibrated" where no prediction is possible: neither the scenario nor a measurement says how fast
// the GPU is.
void require_known_gpu(const Device& device);

// Where `calibrate --backend cuda` writes unless told otherwise: beside the calibration of this machine.
std::string gpu_calibration_file(const Environment& environment);

}  // namespace shardscope
