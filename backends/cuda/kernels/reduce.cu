// Sums to one number, in double.
#include <algorithm>

#include "backends/cuda/kernels/kernels.h"
#include "backends/cuda/kernels/scalar_sum.h"

namespace shardscope::cuda {
namespace {

// `offset`: elements from a multiple of 16 bytes to x, so that all vectors but the outermost are whole.
template <class T>
__global__ void sum_squares(std::int64_t elements, int offset, const T* x, double* partials) {
    constexpr int N = kPerWords<T>;
    const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x * N;
    std::int64_t at = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * N - offset;
    double sum = 0;
    for (; at < elements; at += step) {
        float v[N];
        if (at >= 0 && at + N <= elements) {
            load(x + at, v);
        } else {
#pragma unroll
            for (int i = 0; i < N; ++i)
                v[i] = at + i >= 0 && at + i < elements ? static_cast<float>(x[at + i]) : 0.0f;
        }
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const auto value = static_cast<double>(v[i]);
            sum += value * value;
        }
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kMostThreads)
    finish(const double* partials, int count, double weight, bool accumulate, double* to) {
    double sum = 0;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x))
        sum += partials[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *to = (accumulate ? *to : 0.0) + weight * sum;
}

}  // namespace

void finish_sum(const char* name, const double* partials, int count, double weight, bool accumulate,
                double* to, const LaunchContext& context) {
    launch(name, finish, finish_sum_geometry(), context, partials, count, weight, accumulate, to);
}

template <class T>
void run(const SumSquares& k, const Addresses& at, const LaunchContext& context) {
    const std::int64_t origin = k.sharded ? context.data_index * k.elements : 0;
    const std::int64_t first = std::clamp<std::int64_t>(k.first - origin, 0, k.elements);
    const std::int64_t last = std::clamp<std::int64_t>(k.last - origin, first, k.elements);
    const T* x = as<const T>(at[0]) + first;
    const auto offset =
        static_cast<int>(reinterpret_cast<std::uintptr_t>(x) % sizeof(Words) / sizeof(T));
    auto* partials = as<double>(context.scratch);
    const Geometry g = sum_geometry(last - first + offset, kPerWords<T>, context.device);
    launch("sum_squares", sum_squares<T>, g, context, last - first, offset, x, partials);
    finish_sum("sum_squares", partials, static_cast<int>(g.grid.x), k.weight, k.accumulate,
               as<double>(at[1]), context);
}

SHARDSCOPE_INSTANTIATE(SumSquares);

}  // namespace shardscope::cuda
