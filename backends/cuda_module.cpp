#include "backends/cuda_module.h"

#include <array>
#include <filesystem>

#include <dlfcn.h>

#include "backends/loadable_module.h"
#include "core/error.h"

namespace shardscope {
namespace {

using Entry = const CudaModule* (*)();

constexpr LoadableModule kCuda{
    "CUDA",
    "shardscope_cuda.so",
    "shardscope_cuda_module",
    false,
    "build it where CUDA's toolkit and NCCL are installed (cmake --preset release prints what it "
    "lacks, cmake --build --preset release makes it), or use "
    "--backend cpu",
    "install cuBLAS and NCCL (Debian packages, or the pip wheels nvidia-cublas and "
    "nvidia-nccl-cu13), or set SHARDSCOPE_CUDA_LIBRARIES to the folders that have them"};

// The sonames that the module, or what it opens itself, may need; of other versions the next.
constexpr std::array<const char*, 3> kLibraries{"libcublasLt.so.13", "libcublasLt.so.12",
                                                "libnccl.so.2"};
constexpr const char* kCudnn = "libcudnn.so.9";

// The loader takes a library that is already there for one of the same name, wherever it came from.
void load_from(const std::vector<std::string>& folders, const char* library) {
    for (const std::string& folder : folders) {
        const std::string path = folder + "/" + library;
        std::error_code unreadable;
        if (!std::filesystem::exists(path, unreadable)) continue;
        if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return;
    }
}

Entry find_entry(const CudaPlaces& places) {
    Entry entry = nullptr;
    try {
        entry = reinterpret_cast<Entry>(open_module(kCuda, places.module_folder));
    } catch (const Error&) {
        for (const char* library : kLibraries) load_from(places.library_folders, library);
        entry = reinterpret_cast<Entry>(open_module(kCuda, places.module_folder));
    }
    // The module opens cuDNN by its name when it is wanted: one that only the folders have must be there
    // by then.
    if (dlopen(kCudnn, RTLD_NOW | RTLD_LOCAL) == nullptr) load_from(places.library_folders, kCudnn);
    return entry;
}

}  // namespace

const CudaModule& load_cuda_module(const CudaPlaces& places) { return *find_entry(places)(); }

const CudaModule& require_gpu(const CudaPlaces& places) {
    const CudaModule& module = load_cuda_module(places);
    const std::string why = module.why_not();
    if (!why.empty())
        throw Error("no-gpu", why, module.remedy() + ", or use --backend cpu",
                    ErrorKind::run_failed);
    return module;
}

}  // namespace shardscope
