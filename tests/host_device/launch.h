// Starting kernels: what <<<grid, block, shared, stream>>> is for nvcc.
#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>

#include "tests/host_device/include/cuda_runtime_api.h"
#include "tests/host_device/kernel_call.h"

namespace host_device {

// Puts the kernel on the stream. What CUDA would refuse is left for cudaGetLastError. `function` is what
// cudaFuncSetAttribute knows it by.
void submit_kernel(KernelCall call, const void* function, cudaStream_t stream);

template <class... Parameters>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            std::size_t shared_bytes, cudaStream_t stream,
            std::type_identity_t<Parameters>... arguments) {
    submit_kernel({name, grid, block, shared_bytes,
                   [kernel, values = std::tuple<Parameters...>(arguments...)] {
                       std::apply(kernel, values);
                   }},
                  reinterpret_cast<const void*>(kernel), stream);
}

template <class... Parameters>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t stream, std::type_identity_t<Parameters>... arguments) {
    launch("(unnamed)", kernel, grid, block, shared_bytes, stream, arguments...);
}

}  // namespace host_device
