#include "backends/cuda/kernels/column_reduction.h"
#include "backends/cuda/kernels/column_sums.h"

namespace shardscope::cuda {
namespace {

template <class T, int kWidth>
struct Elements {
    static constexpr int kSums = 1, N = kWidth;
    const T* x;
    std::int64_t columns;
    SHARDSCOPE_DEVICE void add(std::int64_t row, int column, float (&sums)[1][N]) const {
        float v[N];
        load(x + row * columns + column, v);
#pragma unroll
        for (int i = 0; i < N; ++i) sums[0][i] += v[i];
    }
};

}  // namespace

template <class T, class G>
void column_sums(const T* x, std::int64_t rows, std::int64_t columns, bool accumulate, G* sums,
                 const LaunchContext& context) {
    with_vectors<T>(
        columns,
        [&]<int N>() {
            reduce_columns<G>("column_sums", rows, columns, Elements<T, N>{x, columns}, accumulate,
                              sums, static_cast<G*>(nullptr), context);
        },
        x);
}

template void column_sums(const float*, std::int64_t, std::int64_t, bool, float*,
                          const LaunchContext&);
template void column_sums(const Bf16*, std::int64_t, std::int64_t, bool, float*,
                          const LaunchContext&);
template void column_sums(const Bf16*, std::int64_t, std::int64_t, bool, Bf16*,
                          const LaunchContext&);

}  // namespace shardscope::cuda
