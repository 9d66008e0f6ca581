// A kernel to run, apart from how it is run: what every source with a kernel includes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "tests/host_device/vector_types.h"

namespace host_device {

// A kernel and its arguments: what every thread runs.
struct KernelCall {
    std::string name;
    dim3 grid, block;
    std::size_t shared_bytes = 0;  // dynamic
    std::function<void()> thread;
};

// Runs all blocks. The seed chooses their order and that of each block's threads. Throws KernelError.
void run_kernel(const KernelCall& call, std::uint64_t seed);

}  // namespace host_device
