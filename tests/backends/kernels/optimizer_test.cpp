// Optimizer steps against PyTorch's published update rules, written here one element at a time.
#include <cmath>

#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {
namespace {

using std::int64_t;

struct Element {
    double w = 0, s1 = 0, s2 = 0;
};

// torch.optim's single-tensor update, t from 1; Lion's as algorithm 2 of arXiv:2302.06675.
void reference_update(const OptimizerSpec& o, double g, int t, Element& e) {
    if (o.kind == OptimizerKind::lion) {
        const double c = o.beta1 * e.s1 + (1 - o.beta1) * g;
        e.w -= o.lr * ((c > 0) - (c < 0) + o.weight_decay * e.w);
        e.s1 = o.beta2 * e.s1 + (1 - o.beta2) * g;
        return;
    }
    if (o.kind == OptimizerKind::adamw) e.w *= 1 - o.lr * o.weight_decay;
    if (o.kind != OptimizerKind::adamw) g += o.weight_decay * e.w;
    if (o.kind == OptimizerKind::sgd) {
        if (o.momentum != 0) g = e.s1 = t == 1 ? g : o.momentum * e.s1 + g;
        e.w -= o.lr * g;
        return;
    }
    e.s1 = o.beta1 * e.s1 + (1 - o.beta1) * g;
    e.s2 = o.beta2 * e.s2 + (1 - o.beta2) * g * g;
    const double mean = e.s1 / (1 - std::pow(o.beta1, t));
    const double square = e.s2 / (1 - std::pow(o.beta2, t));
    e.w -= o.lr * mean / (std::sqrt(square) + o.epsilon);
}

std::vector<OptimizerSpec> specs() {
    OptimizerSpec adamw, adam, sgd, momentum, lion;
    adamw.weight_decay = 0.1;
    adam.kind = OptimizerKind::adam;
    adam.weight_decay = 0.01;
    sgd.kind = momentum.kind = OptimizerKind::sgd;
    sgd.lr = 0.1;
    momentum.momentum = 0.9;
    momentum.weight_decay = 0.01;
    lion.kind = OptimizerKind::lion;
    lion.beta2 = 0.99;
    lion.weight_decay = 0.1;
    return {adamw, adam, sgd, momentum, lion};
}

// Three steps with clipping; returns the largest relative difference from the reference.
void train(Random& random, const OptimizerSpec& spec, DType dtype, bool master, double clip,
           double tolerance) {
    const int64_t n = 77;
    const OptimizerStep k{n, spec, clip, master};
    Values w = as_float(random.normal(n)), s1(w.size(), 0.0), s2(w.size(), 0.0), want;
    std::vector<Element> elements(w.size());
    for (std::size_t i = 0; i < w.size(); ++i) elements[i].w = w[i];
    for (int step = 0; step < 3; ++step) {
        const Values g = as_float(random.normal(n, 2.0));
        const double norm = dot(g, g);
        const double factor = clip > 0 ? std::min(1.0, clip / (std::sqrt(norm) + 1e-6)) : 1.0;
        const auto after =
            call(k, dtype,
                 {tensor(g), clip > 0 ? scalar(norm) : absent(), tensor(w),
                  master ? tensor(w) : absent(), spec.states() > 0 ? tensor(s1) : absent(),
                  spec.states() > 1 ? tensor(s2) : absent()},
                 {.step = step});
        w = after[2];
        if (master) {
            EXPECT_TRUE(close(after[3], w, 0));
        }
        if (spec.states() > 0) s1 = after[4];
        if (spec.states() > 1) s2 = after[5];
        want.clear();
        for (std::size_t i = 0; i < w.size(); ++i) {
            reference_update(spec, g[i] * factor, step + 1, elements[i]);
            want.push_back(elements[i].w);
        }
        EXPECT_TRUE(close(w, want, tolerance)) << "step " << step;
    }
    want[5] += 1e-3;
    EXPECT_FALSE(close(w, want, tolerance));
}

TEST(OptimizerKernel, FollowsPyTorch) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const OptimizerSpec& spec : specs())
        for (const bool master : {false, true})
            for (const double clip : {0.0, 0.5, 1e6}) {
                train(random, spec, DType::fp64, master, clip, 1e-14);
                // Three updates, each rounded to fp32 a handful of times.
                train(random, spec, DType::fp32, master, clip, 1e-6);
            }
}

// Embedding rows that no token read stay where they are.
TEST(OptimizerKernel, LionStepsNowhereWithoutAGradient) {
    OptimizerSpec spec;
    spec.kind = OptimizerKind::lion;
    spec.lr = 0.01;
    const auto after = call(OptimizerStep{3, spec}, DType::fp64,
                            {tensor({0.0, 2.0, -1e-300}), absent(), tensor({1.0, 1.0, 1.0}),
                             absent(), tensor({0.0, 0.0, 0.0}), absent()});
    EXPECT_EQ(after[2], (Values{1.0, 0.99, 1.01}));
}

TEST(OptimizerKernel, FirstAdamStepHasTheSizeOfTheLearningRate) {
    OptimizerSpec spec;
    spec.lr = 0.01;
    const auto after = call(OptimizerStep{2, spec}, DType::fp64,
                            {tensor({5.0, -1e-3}), absent(), tensor({1.0, 1.0}), absent(),
                             tensor({0.0, 0.0}), tensor({0.0, 0.0})});
    EXPECT_NEAR(after[2][0], 0.99, 1e-9);
    EXPECT_NEAR(after[2][1], 1.01, 1e-6);
}

}  // namespace
}  // namespace shardscope::test
