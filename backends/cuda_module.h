// Loads the CUDA module, which is there only where it was built, and works only where NVIDIA's libraries are.
#pragma once

#include <string>
#include <vector>

#include "backends/cuda/module.h"

namespace shardscope {

// Where the module and the libraries that it needs may be.
struct CudaPlaces {
    std::string module_folder;
    // Searched for cuBLASLt, NCCL and cuDNN where the system's loader does not find them, in this order.
    std::vector<std::string> library_folders;
};

// The module, once per process; it stays loaded. Throws Error{run_failed, "module-missing"}, naming the
// module or the library that is not there. Does not touch the driver.
const CudaModule& load_cuda_module(const CudaPlaces& places);

// The same, and a GPU that can be used; else Error{run_failed, "no-gpu"} says why there is none.
const CudaModule& require_gpu(const CudaPlaces& places);

}  // namespace shardscope
