// RMSNorm of query and key heads against its definition, gradients against differences.
#include <cmath>

#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {
namespace {

using std::int64_t;

struct HeadNormInputs {
    HeadNorm k;
    Values qkv, query, key;
    HeadNormInputs(Random& random, int64_t rows, int64_t heads, int64_t kv_heads, int64_t head_dim)
        : k{rows, heads, kv_heads, head_dim, 1e-5},
          qkv(as_float(random.normal(width(), 2.0))),
          query(as_float(random.normal(head_dim))),
          key(as_float(random.normal(head_dim))) {}
    int64_t width() const { return k.rows * (k.heads + 2 * k.kv_heads) * k.head_dim; }
    int64_t heads() const { return k.rows * (k.heads + k.kv_heads); }
    std::vector<Values> run(DType dtype) const {
        return call(
            k, dtype,
            {tensor(qkv), tensor(query), tensor(key), space(heads() * k.head_dim), space(heads())});
    }
    // The normed qkv, what q and k were, and 1/rms.
    std::array<Values, 3> reference() const {
        std::array<Values, 3> out{qkv, {}, {}};
        for (int64_t r = 0; r < k.rows; ++r)
            for (int64_t h = 0; h < k.heads + k.kv_heads; ++h) {
                const int64_t first = (r * (k.heads + 2 * k.kv_heads) + h) * k.head_dim;
                const auto head = qkv.begin() + first;
                double square = 0;
                for (int64_t i = 0; i < k.head_dim; ++i)
                    square += head[i] * head[i] / static_cast<double>(k.head_dim);
                const double inverse = 1 / std::sqrt(square + k.epsilon);
                out[1].insert(out[1].end(), head, head + k.head_dim);
                out[2].push_back(inverse);
                for (int64_t i = 0; i < k.head_dim; ++i)
                    out[0][static_cast<std::size_t>(first + i)] =
                        head[i] * inverse *
                        (h < k.heads ? query : key)[static_cast<std::size_t>(i)];
            }
        return out;
    }
};

std::vector<HeadNormInputs> head_norm_cases(Random& random) {
    std::vector<HeadNormInputs> out;
    const int64_t shapes[][4] = {{1, 1, 1, 2}, {5, 4, 2, 6}, {3, 2, 1, 33}, {40, 3, 3, 64}};
    for (const auto& s : shapes) out.emplace_back(random, s[0], s[1], s[2], s[3]);
    return out;
}

TEST(HeadNormKernel, MatchesItsDefinition) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const HeadNormInputs& in : head_norm_cases(random)) {
        const auto [qkv, before, stats] = in.reference();
        const auto exact = in.run(DType::fp64), single = in.run(DType::fp32);
        EXPECT_TRUE(close(exact[0], qkv, 1e-13));
        EXPECT_TRUE(close(exact[3], before, 0));
        EXPECT_TRUE(close(exact[4], stats, 1e-13));
        EXPECT_TRUE(close(single[0], qkv, 2e-6));
        EXPECT_TRUE(close(single[3], before, 0));
        EXPECT_TRUE(close(single[4], stats, 2e-6));
    }
}

TEST(HeadNormKernel, InputGradientMatchesDifferences) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const HeadNormInputs& in : head_norm_cases(random)) {
        const Values dy = random.normal(in.width());
        const auto loss = [&](const Values& qkv) {
            HeadNormInputs moved = in;
            moved.qkv = qkv;
            return dot(dy, moved.run(DType::fp64)[0]);
        };
        const HeadNormInputGrad k{in.k.rows, in.k.heads, in.k.kv_heads, in.k.head_dim};
        const auto run = [&](DType dtype) {
            const auto forward = in.run(dtype);
            return call(k, dtype,
                        {tensor(dy), tensor(forward[3]), tensor(forward[4]), tensor(in.query),
                         tensor(in.key), space(in.width())})[5];
        };
        expect_gradient(random, loss, in.qkv, run(DType::fp64));
        EXPECT_TRUE(close(run(DType::fp32), run(DType::fp64), 1e-5));
    }
}

TEST(HeadNormKernel, WeightGradientMatchesDifferencesAndAccumulates) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const HeadNormInputs& in : head_norm_cases(random)) {
        const Values dy = random.normal(in.width());
        HeadNormWeightGrad k{in.k.rows, in.k.heads, in.k.kv_heads, in.k.head_dim, false};
        const auto run = [&](DType dtype) {
            const auto forward = in.run(dtype);
            return call(k, dtype,
                        {tensor(dy), tensor(forward[3]), tensor(forward[4]), tensor(in.query),
                         tensor(in.key)});
        };
        const auto loss = [&](const Values& query, const Values& key) {
            HeadNormInputs moved = in;
            moved.query = query;
            moved.key = key;
            return dot(dy, moved.run(DType::fp64)[0]);
        };
        const auto gradient = run(DType::fp64);
        expect_gradient(
            random, [&](const Values& w) { return loss(w, in.key); }, in.query, gradient[3]);
        expect_gradient(
            random, [&](const Values& w) { return loss(in.query, w); }, in.key, gradient[4]);
        EXPECT_TRUE(close(run(DType::fp32)[3], gradient[3], 2e-5));
        k.accumulate = true;
        const auto added = run(DType::fp64);
        for (std::size_t i = 0; i < in.query.size(); ++i) {
            EXPECT_NEAR(added[3][i], in.query[i] + gradient[3][i], 1e-11);
            EXPECT_NEAR(added[4][i], in.key[i] + gradient[4][i], 1e-11);
        }
    }
}

}  // namespace
}  // namespace shardscope::test
