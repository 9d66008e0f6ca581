#include "backends/cuda/check/kernel_check.h"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include "backends/cuda/check/kernel_checker.h"
#include "backends/cuda/device/check.h"
#include "backends/cuda/dispatch.h"

namespace shardscope::cuda {
namespace {

// Linear layers and attention have to know their problems before they run.
struct Prepared {
    Linears linears;
    Attentions attentions;

    void operator()(const Compute& compute, const Addresses& at, const LaunchContext& context) {
        execute(compute, at, context, linears, attentions);
    }
};

}  // namespace

double tolerance_of(DType stored) { return stored == DType::bf16 ? 1e-2 : 1e-5; }

void check_kernels(const Reference& reference, const CheckOptions& options,
                   const std::function<void(const CheckResult&)>& tell) {
    check(cudaSetDevice(options.device), "cudaSetDevice");
    Prepared kernels{Linears(MatmulOptions{}),
                     Attentions(options.cudnn ? AttentionLibrary::cudnn : AttentionLibrary::own)};
    KernelChecker checker(
        reference,
        [&](const Compute& compute, const Addresses& at, const LaunchContext& context) {
            kernels(compute, at, context);
        },
        options.seed);
    for (const KernelCase& c : options.timed ? timed_cases() : kernel_cases())
        tell(options.timed ? checker.time(c) : checker.compare(c));
}

std::string describe(const CheckResult& result, std::uint64_t seed) {
    std::string types(name_of(result.dtype));
    if (result.gradient != result.dtype)
        types += fmt::format(" with gradients in {}", name_of(result.gradient));
    std::string text = fmt::format("{} {} ({})", result.kernel, types, result.shape);
    if (result.time) {
        text += fmt::format(": {:.1f} us, {:.0f} GB/s", result.time->value * 1e6,
                            result.moved.value / kGB);
        if (result.computed.value > 0)
            text += fmt::format(", {:.1f} TFLOP/s", result.computed.value / 1e12);
        return text;
    }
    if (!result.complaint.empty())
        return text + fmt::format(": {} (seed {})", result.complaint, seed);
    return text + fmt::format(": operand {} is off by {:.1e}, allowed {:.0e} (seed {})",
                              result.operand, result.error, result.tolerance, seed);
}

}  // namespace shardscope::cuda
