// Zero, add, copy, bias and residual, and sums of squares.
#include <cmath>

#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {
namespace {

using std::int64_t;

TEST(ElementwiseKernels, ZeroAddAndCopy) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const int64_t n : {1, 37, 1000})
        for (const DType dtype : {DType::fp64, DType::fp32}) {
            const Values x = as_float(random.normal(n)), y = as_float(random.normal(n));
            Values sum = y;
            for (std::size_t i = 0; i < y.size(); ++i) sum[i] += x[i];
            if (dtype == DType::fp32) sum = as_float(sum);
            EXPECT_EQ(call(Add{n}, dtype, {tensor(y), tensor(x)})[0], sum);
            EXPECT_EQ(call(Zero{n}, dtype, {space(n)})[0], Values(x.size(), 0.0));
            EXPECT_EQ(call(Copy{n}, dtype, {tensor(x), space(n)})[1], x);
        }
}

TEST(ElementwiseKernels, BiasAndResidual) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const auto& [rows, hidden] : {std::pair<int64_t, int64_t>{1, 1}, {7, 5}, {3, 130}})
        for (const bool bias : {false, true})
            for (const bool residual : {false, true}) {
                const Values y = random.normal(rows * hidden), b = random.normal(hidden),
                             r = random.normal(rows * hidden);
                Values want = y;
                for (std::size_t i = 0; i < y.size(); ++i)
                    want[i] += (bias ? b[i % b.size()] : 0.0) + (residual ? r[i] : 0.0);
                const auto got = [&](DType dtype) {
                    return call(BiasResidual{rows, hidden, bias, residual}, dtype,
                                {tensor(y), bias ? tensor(b) : absent(),
                                 residual ? tensor(r) : absent()})[0];
                };
                // Two additions, each rounded once: 2⁻⁵³ and 2⁻²⁴, of sums of a few units.
                EXPECT_TRUE(close(got(DType::fp64), want, 1e-15));
                EXPECT_TRUE(close(got(DType::fp32), want, 3e-7));
            }
}

TEST(ElementwiseKernels, SumOfSquares) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const int64_t n : {1, 31, 32, 33, 100000}) {
        const Values x = as_float(random.normal(n));
        for (const DType dtype : {DType::fp32, DType::fp64}) {
            const double sum = call(SumSquares{n, false}, dtype, {tensor(x), scalar()})[1][0];
            EXPECT_NEAR(sum, dot(x, x), 1e-13 * dot(x, x));
            EXPECT_DOUBLE_EQ(call(SumSquares{n, true}, dtype, {tensor(x), scalar(3)})[1][0],
                             3 + sum);
        }
    }
}

// Ranges that begin before, in and after the operand, and that end there; `data_index` shifts the
// operand within the unit only when it is sharded.
TEST(ElementwiseKernels, SumOfSquaresOfARange) {
    Random random;
    SCOPED_TRACE(random.trace());
    const int64_t n = 40;
    const Values x = random.normal(n);
    for (const bool sharded : {false, true})
        for (const int index : {0, 1, 2})
            for (const auto& [first, last] : {std::pair<int64_t, int64_t>{0, 120},
                                              {0, 40},
                                              {5, 37},
                                              {35, 50},
                                              {41, 79},
                                              {60, 60},
                                              {90, 200},
                                              {110, 100}}) {
                double want = 0;
                for (int64_t i = 0; i < n; ++i) {
                    const int64_t in_unit = i + (sharded ? index * n : 0);
                    const double v = x[static_cast<std::size_t>(i)];
                    if (in_unit >= first && in_unit < last) want += v * v;
                }
                const SumSquares k{n, true, 0.5, first, last, sharded};
                const double got = call(k, DType::fp64, {tensor(x), scalar(1)},
                                        {.data_index = index, .tensor_index = 7})[1][0];
                EXPECT_NEAR(got, 1 + 0.5 * want, 1e-13)
                    << first << " … " << last << ", index " << index;
            }
}

// The ranks' shards of a unit together are the unit, whatever the range.
TEST(ElementwiseKernels, SumsOfShardsAreTheSumOfTheUnit) {
    Random random;
    SCOPED_TRACE(random.trace());
    const int64_t shard = 24;
    const int ranks = 3;
    const Values unit = random.normal(ranks * shard);
    SumSquares k{ranks * shard, false, 0.25, 10, 61};
    const double want = call(k, DType::fp64, {tensor(unit), scalar()})[1][0];
    k.elements = shard;
    k.sharded = true;
    double sum = 0;
    for (int i = 0; i < ranks; ++i) {
        const auto first = unit.begin() + i * shard;
        sum += call(k, DType::fp64, {tensor({first, first + shard}), scalar()},
                    {.data_index = i})[1][0];
    }
    EXPECT_NEAR(sum, want, 1e-13);
    EXPECT_GT(want, 0);
}

}  // namespace
}  // namespace shardscope::test
