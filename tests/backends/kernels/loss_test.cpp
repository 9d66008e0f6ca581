// Softmax cross-entropy.
#include <cmath>

#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {
namespace {

using std::int64_t;

struct LossCase {
    SoftmaxCrossEntropy k;
    Values logits, targets;
    LossCase(Random& random, int64_t rows, int64_t classes)
        : k{rows, classes, 0.25, false},
          logits(as_float(random.normal(rows * classes, 3.0))),
          targets(random.integers(rows, classes)) {}
    std::vector<Values> run(const Values& at, DType dtype = DType::fp64, double before = 0) const {
        return call(k, dtype, {tensor(at), tokens(targets), scalar(before)});
    }
    double reference() const {
        double loss = 0;
        for (int64_t r = 0; r < k.rows; ++r) {
            double sum = 0;
            for (int64_t c = 0; c < k.classes; ++c)
                sum += std::exp(logits[static_cast<std::size_t>(r * k.classes + c)]);
            const auto target = static_cast<std::size_t>(
                r * k.classes + static_cast<int64_t>(targets[static_cast<std::size_t>(r)]));
            loss += std::log(sum) - logits[target];
        }
        return k.scale * loss;
    }
};

TEST(LossKernel, MatchesItsDefinitionAndDifferences) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const auto& [rows, classes] :
         {std::pair<int64_t, int64_t>{1, 1}, {1, 10}, {7, 257}, {66, 31}}) {
        const LossCase in(random, rows, classes);
        const auto exact = in.run(in.logits), single = in.run(in.logits, DType::fp32);
        EXPECT_NEAR(exact[2][0], in.reference(), 1e-13 * std::max(1.0, in.reference()));
        EXPECT_NEAR(single[2][0], in.reference(), 1e-6 * std::max(1.0, in.reference()));
        const auto loss = [&](const Values& at) { return in.run(at)[2][0]; };
        expect_gradient(random, loss, in.logits, exact[0]);
        if (classes > 1) {
            EXPECT_TRUE(close(single[0], exact[0], 1e-6));
        }
    }
}

TEST(LossKernel, AccumulatesTheLoss) {
    Random random;
    SCOPED_TRACE(random.trace());
    LossCase in(random, 5, 9);
    in.k.accumulate_loss = true;
    EXPECT_NEAR(in.run(in.logits, DType::fp64, 2.5)[2][0], 2.5 + in.reference(), 1e-13);
}

TEST(LossKernel, LargeLogitsDoNotOverflow) {
    Random random;
    SCOPED_TRACE(random.trace());
    LossCase in(random, 2, 3);
    in.logits = {1e4, 0, -1e4, 1e4, 0, -1e4};
    in.targets = {0, 1};
    for (const DType dtype : {DType::fp32, DType::fp64}) {
        const auto after = in.run(in.logits, dtype);
        EXPECT_DOUBLE_EQ(after[2][0], 0.25 * 1e4);
        EXPECT_TRUE(close(after[0], {0, 0, 0, 0.25, -0.25, 0}, 1e-15));
    }
}

}  // namespace
}  // namespace shardscope::test
