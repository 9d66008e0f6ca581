#include "backends/process/module.h"

#include <filesystem>

#include <dlfcn.h>

namespace shardscope {
namespace {

using MakeLink = MessageLink* (*)(int rank, int size);

[[noreturn]] void missing(const std::string& message, const std::string& fix) {
    throw Error("module-missing", message, fix, ErrorKind::run_failed);
}

MakeLink find_mpi(const std::string& folder) {
    const std::string path = folder + "/shardscope_mpi.so";
    std::error_code unreadable;
    if (!std::filesystem::exists(path, unreadable))
        missing(
            "the MPI module is not there: " + path,
            "build with MPI installed (libopenmpi-dev), or use `shardscope launch` or torchrun, "
            "which need none");
    // Global, because Open MPI's own plug-ins look for its symbols.
    void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (module == nullptr)
        missing("the MPI module cannot be loaded: " + std::string(dlerror()),
                "install Open MPI's libraries (libopenmpi3)");
    void* symbol = dlsym(module, "shardscope_make_mpi_link");
    if (symbol == nullptr) missing(path + " is no MPI module of Shardscope", "install it anew");
    return reinterpret_cast<MakeLink>(symbol);
}

}  // namespace

std::unique_ptr<MessageLink> load_mpi_link(const std::string& folder, int rank, int size) {
    return std::unique_ptr<MessageLink>(find_mpi(folder)(rank, size));
}

std::string why_no_mpi(const std::string& folder) {
    try {
        find_mpi(folder);
        return "";
    } catch (const Error& error) {
        return error.message;
    }
}

}  // namespace shardscope
