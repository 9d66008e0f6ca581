// Where a machine keeps NVIDIA's libraries when its loader does not know them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "backends/cuda_module.h"
#include "cli/environment.h"

namespace shardscope {

// Folders that exist, in this order: those of SHARDSCOPE_CUDA_LIBRARIES (separated by colons), of NCCL_ROOT,
// CUDA_HOME and CUDA_PATH, of pip's wheels (nvidia/<package>/lib) in the virtual environment, beside the Python
// on the PATH, in the home folder and in the system's, and of the toolkit in /usr/local/cuda.
std::vector<std::string> cuda_library_folders(const std::map<std::string, std::string>& variables);

CudaPlaces cuda_places(const Environment& environment);

}  // namespace shardscope
