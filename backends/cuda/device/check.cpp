#include "backends/cuda/device/check.h"

#include "backends/cuda/kernels/launch.h"
#include "core/error.h"

namespace shardscope::cuda {
namespace {

std::string text_of(cudaError_t status) {
    return std::string(cudaGetErrorString(status)) + " (" + cudaGetErrorName(status) + ")";
}

}  // namespace

void check(cudaError_t status, const char* call) {
    if (status == cudaSuccess) return;
    cudaGetLastError();  // told here; what follows is about the next call
    throw Error("cuda", std::string(call) + ": " + text_of(status),
                "see what the driver reports with nvidia-smi", ErrorKind::run_failed);
}

void check_allocation(cudaError_t status, const char* call, Bytes asked) {
    if (status != cudaErrorMemoryAllocation) return check(status, call);
    cudaGetLastError();
    std::size_t unused = 0, total = 0;
    std::string there;
    if (cudaMemGetInfo(&unused, &total) == cudaSuccess)
        there = ", " + std::to_string(unused) + " of " + std::to_string(total) + " are free";
    throw Error("out-of-memory",
                std::string(call) + " of " + std::to_string(asked.value) + " bytes failed" + there,
                "end other programs on this GPU, or choose a strategy that needs less",
                ErrorKind::run_failed);
}

bool is_idle(cudaStream_t stream) {
    const cudaError_t status = cudaStreamQuery(stream);
    if (status != cudaErrorNotReady) {
        check(status, "cudaStreamQuery");
        return true;
    }
    cudaGetLastError();  // "not ready" is an answer, but is kept as if it were the error of a launch
    return false;
}

void check_launch(const char* what) { check(cudaPeekAtLastError(), what); }

}  // namespace shardscope::cuda
