// The transport between processes that is a loadable module (backends/loadable_module.h).
#pragma once

#include <memory>
#include <string>

#include "backends/process/message_link.h"

namespace shardscope {

// The link of the module shardscope_mpi.so in `folder`, for rank `rank` of `size`. Throws
// Error{run_failed, "module-missing"}, naming the module or the library that is not there, and what
// shardscope_make_mpi_link() throws. The module stays loaded.
std::unique_ptr<MessageLink> load_mpi_link(const std::string& folder, int rank, int size);

// Why it would throw "module-missing"; empty if it would not. Loads the module, but does not start MPI.
std::string why_no_mpi(const std::string& folder);

}  // namespace shardscope
