// LayerNorm and RMSNorm against their definitions, gradients against differences.
#include <cmath>

#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {
namespace {

using std::int64_t;

struct NormInputs {
    Norm k;
    Values x, w, b;
    NormInputs(Random& random, int64_t rows, int64_t hidden, NormKind kind)
        : k{rows, hidden, kind, 1e-5},
          x(as_float(random.normal(rows * hidden, 2.0))),
          w(as_float(random.normal(hidden))),
          b(as_float(random.normal(hidden))) {
        // A row whose mean is far from zero, as residual streams have.
        for (int64_t i = 0; i < hidden; ++i) x[static_cast<std::size_t>(i)] += 16;
    }
    bool shifted() const { return k.kind == NormKind::layer_norm; }
    int64_t stats() const { return k.rows * (shifted() ? 2 : 1); }
    std::vector<Values> run(DType dtype) const {
        return call(k, dtype,
                    {tensor(x), tensor(w), shifted() ? tensor(b) : absent(),
                     space(k.rows * k.hidden), space(stats())});
    }
    void reference(Values& y, Values& saved) const {
        for (int64_t r = 0; r < k.rows; ++r) {
            const auto row = x.begin() + r * k.hidden;
            double mean = 0, square = 0;
            for (int64_t i = 0; shifted() && i < k.hidden; ++i)
                mean += row[i] / static_cast<double>(k.hidden);
            for (int64_t i = 0; i < k.hidden; ++i)
                square += (row[i] - mean) * (row[i] - mean) / static_cast<double>(k.hidden);
            const double inverse = 1 / std::sqrt(square + k.epsilon);
            if (shifted()) saved.push_back(mean);
            saved.push_back(inverse);
            for (int64_t i = 0; i < k.hidden; ++i)
                y.push_back((row[i] - mean) * inverse * w[static_cast<std::size_t>(i)] +
                            (shifted() ? b[static_cast<std::size_t>(i)] : 0.0));
        }
    }
};

std::vector<NormInputs> norm_cases(Random& random) {
    std::vector<NormInputs> out;
    const int64_t shapes[][2] = {{1, 1}, {1, 32}, {3, 7}, {70, 65}, {33, 300}};
    for (const auto& s : shapes)
        for (const NormKind kind : {NormKind::layer_norm, NormKind::rms_norm})
            out.emplace_back(random, s[0], s[1], kind);
    return out;
}

TEST(NormKernel, MatchesItsDefinition) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const NormInputs& in : norm_cases(random)) {
        Values y, saved;
        in.reference(y, saved);
        const auto exact = in.run(DType::fp64), single = in.run(DType::fp32);
        // A width of 1 has variance 0: 1/√epsilon magnifies the rounding of the mean.
        EXPECT_TRUE(close(exact[3], y, 1e-13));
        EXPECT_TRUE(close(exact[4], saved, 1e-13));
        // The shifted row loses three bits of x − mean.
        EXPECT_TRUE(close(single[3], y, 4e-6));
        EXPECT_TRUE(close(single[4], saved, 2e-6));
    }
}

TEST(NormKernel, InputGradientMatchesDifferences) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const NormInputs& in : norm_cases(random))
        for (const bool residual : {false, true}) {
            if (in.k.hidden == 1) continue;  // 1/√epsilon: differences are too coarse there
            const int64_t n = in.k.rows * in.k.hidden;
            const Values dy = random.normal(n), add = random.normal(n);
            const auto loss = [&](const Values& x) {
                NormInputs moved = in;
                moved.x = x;
                return dot(dy, moved.run(DType::fp64)[3]) + (residual ? dot(add, x) : 0.0);
            };
            const NormInputGrad k{in.k.rows, in.k.hidden, in.k.kind, residual};
            const auto run = [&](DType dtype) {
                return call(k, dtype,
                            {tensor(dy), tensor(in.x), tensor(in.run(dtype)[4]), tensor(in.w),
                             residual ? tensor(add) : absent(), space(n)})[5];
            };
            expect_gradient(random, loss, in.x, run(DType::fp64));
            EXPECT_TRUE(close(run(DType::fp32), run(DType::fp64), 1e-5));
        }
}

TEST(NormKernel, WeightGradientMatchesDifferencesAndAccumulates) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const NormInputs& in : norm_cases(random)) {
        const Values dy = random.normal(in.k.rows * in.k.hidden);
        NormWeightGrad k{in.k.rows, in.k.hidden, in.k.kind, false};
        const auto run = [&](DType dtype, const Values& dw, const Values& db) {
            return call(k, dtype,
                        {tensor(dy), tensor(in.x), tensor(in.run(dtype)[4]), tensor(dw),
                         in.shifted() ? tensor(db) : absent()});
        };
        const auto gradient = run(DType::fp64, in.w, in.b);
        const auto loss = [&](const Values& w, const Values& b) {
            NormInputs moved = in;
            moved.w = w;
            moved.b = b;
            return dot(dy, moved.run(DType::fp64)[3]);
        };
        expect_gradient(
            random, [&](const Values& w) { return loss(w, in.b); }, in.w, gradient[3]);
        if (in.shifted())
            expect_gradient(
                random, [&](const Values& b) { return loss(in.w, b); }, in.b, gradient[4]);
        EXPECT_TRUE(close(run(DType::fp32, in.w, in.b)[3], gradient[3], 1e-5));

        k.accumulate = true;
        const auto added = run(DType::fp64, in.w, in.b);
        Values dw = in.w, db = in.b;
        for (std::size_t i = 0; i < dw.size(); ++i) dw[i] += gradient[3][i];
        EXPECT_TRUE(close(added[3], dw, 1e-12));
        if (!in.shifted()) continue;
        for (std::size_t i = 0; i < db.size(); ++i) db[i] += gradient[4][i];
        EXPECT_TRUE(close(added[4], db, 1e-12));
    }
}

}  // namespace
}  // namespace shardscope::test
