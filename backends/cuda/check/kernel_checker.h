// Runs single cases of the kernel check on the current device.
#pragma once

#include <functional>
#include <random>

#include "backends/cuda/check/kernel_case.h"
#include "backends/cuda/check/kernel_check.h"
#include "backends/cuda/kernels/launch.h"

namespace shardscope::cuda {

// What is checked: starts an instruction's kernel on the context's stream.
using DeviceKernels = std::function<void(const Compute&, const Addresses&, const LaunchContext&)>;

// Has a stream and scratch memory on the current device. Not thread-safe. Every call throws
// Error{run_failed} where the device fails.
class KernelChecker {
public:
    KernelChecker(Reference reference, DeviceKernels kernels, std::uint64_t seed);
    ~KernelChecker();
    KernelChecker(const KernelChecker&) = delete;
    KernelChecker& operator=(const KernelChecker&) = delete;

    // Runs the case on the device and by the reference, and compares.
    CheckResult compare(const KernelCase& c);
    // Runs it on the device several times.
    CheckResult time(const KernelCase& c);

private:
    LaunchContext context_for(const KernelCase& c);

    Reference reference_;
    DeviceKernels kernels_;
    std::mt19937_64 random_;
    LaunchContext context_;
    StepWords* words_ = nullptr;
};

}  // namespace shardscope::cuda
