// Device code of sums down columns in two stages: parts of the rows by many blocks, then the parts.
#pragma once

#include <string>

#include "backends/cuda/kernels/flat.h"
#include "core/error.h"

namespace shardscope::cuda {

// partials[part][sum][column]. Terms has kSums, N (columns of a vector) and
//   add(row, column, sums[kSums][N])   adds a row's terms for N columns.
template <class Terms>
__global__ void sum_parts(std::int64_t rows, std::int64_t rows_per_part, int columns, Terms terms,
                          float* partials) {
    constexpr int kSums = Terms::kSums, N = Terms::N;
    const int lanes = static_cast<int>(blockDim.x), lines = static_cast<int>(blockDim.y);
    const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
    const int first_column = static_cast<int>(blockIdx.x) * lanes * N;
    const int column = first_column + x * N;
    const std::int64_t first = blockIdx.y * rows_per_part;
    const std::int64_t end = first + rows_per_part < rows ? first + rows_per_part : rows;

    float sums[kSums][N] = {};
    if (column < columns) {
#pragma unroll 4
        for (std::int64_t row = first + y; row < end; row += lines) terms.add(row, column, sums);
    }
    // shared[line][sum · N + i][lane]: no two lanes of a warp write to one bank.
    auto* shared = dynamic_shared<float>();
#pragma unroll
    for (int s = 0; s < kSums; ++s)
#pragma unroll
        for (int i = 0; i < N; ++i) shared[((y * kSums + s) * N + i) * lanes + x] = sums[s][i];
    __syncthreads();
    float* part = partials + std::int64_t{blockIdx.y} * kSums * columns;
    const int outputs = kSums * N * lanes;
    for (int o = y * lanes + x; o < outputs; o += lanes * lines) {
        float sum = 0;
        for (int line = 0; line < lines; ++line) sum += shared[line * outputs + o];
        const int s = o / (N * lanes), i = o / lanes % N;
        const int to = first_column + o % lanes * N + i;
        if (to < columns) part[std::int64_t{s} * columns + to] = sum;
    }
}

// to[sum][column] (+)= Σ_part partials; `to` may be null for the second sum.
template <class G>
__global__ void finish_columns(int parts, int columns, bool accumulate, const float* partials,
                               G* first, G* second) {
    constexpr int kLines = 8;
    __shared__ float shared[kLines][kWarp];
    const int column = static_cast<int>(blockIdx.x * kWarp + threadIdx.x);
    const int sums = static_cast<int>(gridDim.y), line = static_cast<int>(threadIdx.y);
    float sum = 0;
    if (column < columns) {
        for (int part = line; part < parts; part += kLines)
            sum += partials[(std::int64_t{part} * sums + blockIdx.y) * columns + column];
    }
    shared[line][threadIdx.x] = sum;
    __syncthreads();
    G* to = blockIdx.y == 0 ? first : second;
    if (line != 0 || column >= columns || to == nullptr) return;
    for (int l = 1; l < kLines; ++l) sum += shared[l][threadIdx.x];
    to[column] =
        accumulate ? static_cast<G>(static_cast<float>(to[column]) + sum) : static_cast<G>(sum);
}

template <class G, class Terms>
void reduce_columns(const char* name, std::int64_t rows, std::int64_t columns, const Terms& terms,
                    bool accumulate, G* first, G* second, const LaunchContext& context) {
    if (columns <= 0) return;
    const ColumnGeometry g = column_geometry(rows, columns, Terms::N, Terms::kSums,
                                             context.scratch_bytes, context.device);
    if (const auto bytes = partial_bytes(g, columns, Terms::kSums); bytes > context.scratch_bytes)
        throw Error("cuda",
                    std::string(name) + ": partial sums of " + std::to_string(columns) +
                        " columns take " + std::to_string(bytes) + " bytes of the " +
                        std::to_string(context.scratch_bytes) + " bytes of scratch memory",
                    "use a smaller layer, or split it with tensor parallelism",
                    ErrorKind::run_failed);
    auto* partials = as<float>(context.scratch);
    launch(name, sum_parts<Terms>, g.sum, context, rows, g.rows_per_part, static_cast<int>(columns),
           terms, partials);
    launch(name, finish_columns<G>, g.finish, context, g.parts, static_cast<int>(columns),
           accumulate, partials, first, second);
}

}  // namespace shardscope::cuda
