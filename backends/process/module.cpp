#include "backends/process/module.h"

#include "backends/loadable_module.h"

namespace shardscope {
namespace {

using MakeLink = MessageLink* (*)(int rank, int size);

// Global, because Open MPI's own plug-ins look for its symbols.
constexpr LoadableModule kMpi{
    "MPI",
    "shardscope_mpi.so",
    "shardscope_make_mpi_link",
    true,
    "build with MPI installed (libopenmpi-dev), or use `shardscope launch` or torchrun, which need "
    "none",
    "install Open MPI's libraries (libopenmpi3)"};

MakeLink find_mpi(const std::string& folder) {
    return reinterpret_cast<MakeLink>(open_module(kMpi, folder));
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
