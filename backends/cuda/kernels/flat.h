// Kernels over flat ranges and matrices, a vector per thread at a time.
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/device.h"
#include "backends/cuda/kernels/launch.h"

namespace shardscope::cuda {

// Calls body(first, count) for every run of N elements of [0, elements); count < N at the end.
template <int N, class Body>
__global__ void for_elements(std::int64_t elements, Body body) {
    const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x * N;
    std::int64_t first = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * N;
    for (; first < elements; first += step)
        body(first, elements - first < N ? static_cast<int>(elements - first) : N);
}

// Calls body(row, column) for every run of N columns of a matrix of whole vectors.
template <int N, class Body>
__global__ void for_matrix(std::int64_t rows, std::int64_t columns, Body body) {
    const std::int64_t rows_step = std::int64_t{gridDim.x} * blockDim.y;
    const std::int64_t step = std::int64_t{gridDim.y} * blockDim.x * N;
    const std::int64_t first = (std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * N;
    std::int64_t row = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
    for (; row < rows; row += rows_step)
        for (std::int64_t column = first; column < columns; column += step) body(row, column);
}

template <int N, class Body>
void run_flat(const char* name, std::int64_t elements, const LaunchContext& context,
              const Body& body) {
    if (elements <= 0) return;
    launch(name, for_elements<N, Body>, flat_geometry(elements, N), context, elements, body);
}
template <int N, class Body>
void run_matrix(const char* name, std::int64_t rows, std::int64_t columns,
                const LaunchContext& context, const Body& body) {
    if (rows <= 0 || columns <= 0) return;
    launch(name, for_matrix<N, Body>, matrix_geometry(rows, columns / N), context, rows, columns,
           body);
}

// Operands as arrays of T.
template <class T>
T* as(std::byte* address) {
    return reinterpret_cast<T*>(address);
}

// Calls work.template operator()<N>() with the elements of T that a thread moves at once: a vector where
// rows of `columns` elements keep all addresses aligned, else one.
template <class T, class Work, class... Address>
void with_vectors(std::int64_t columns, const Work& work, const Address*... addresses) {
    if (columns % kPerWords<T> == 0 && (is_aligned(addresses) && ...))
        work.template operator()<kPerWords<T>>();
    else
        work.template operator()<1>();
}

}  // namespace shardscope::cuda
