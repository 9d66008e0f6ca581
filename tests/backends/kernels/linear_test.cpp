// Linear layers against a triple loop, and their gradients against central differences.
#include <cmath>

#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {
namespace {

using std::int64_t;

double activated(Activation a, double x) {
    if (a == Activation::relu) return std::max(x, 0.0);
    if (a == Activation::gelu)
        return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    return x;
}

Values before_activation(const Linear& k, const Values& x, const Values& w, const Values& b) {
    Values y(static_cast<std::size_t>(k.rows * k.out));
    for (int64_t r = 0; r < k.rows; ++r)
        for (int64_t o = 0; o < k.out; ++o) {
            double sum = k.bias ? b[static_cast<std::size_t>(o)] : 0.0;
            for (int64_t i = 0; i < k.in; ++i)
                sum += x[static_cast<std::size_t>(r * k.in + i)] *
                       w[static_cast<std::size_t>(o * k.in + i)];
            y[static_cast<std::size_t>(r * k.out + o)] = sum;
        }
    return y;
}

std::vector<Linear> linear_cases() {
    std::vector<Linear> out;
    const int64_t shapes[][3] = {{1, 1, 1}, {1, 7, 5}, {5, 17, 33}, {64, 64, 300}, {67, 130, 10}};
    for (const auto& s : shapes)
        for (const Activation a : {Activation::none, Activation::relu, Activation::gelu})
            for (const bool bias : {false, true})
                for (const bool residual : {false, true})
                    out.push_back({s[0], s[1], s[2], bias, residual, a});
    return out;
}

struct LinearInputs {
    Values x, w, b, residual;
    LinearInputs(Random& random, const Linear& k)
        : x(as_float(random.normal(k.rows * k.in))),
          w(as_float(random.normal(k.in * k.out, 1 / std::sqrt(static_cast<double>(k.in))))),
          b(as_float(random.normal(k.out))),
          residual(as_float(random.normal(k.rows * k.out))) {}
    std::vector<Values> run(const Linear& k, DType dtype) const {
        const int64_t y = k.rows * k.out;
        return call(k, dtype,
                    {tensor(x), tensor(w), k.bias ? tensor(b) : absent(),
                     k.residual ? tensor(residual) : absent(), space(y),
                     k.activation == Activation::gelu ? space(y) : absent()});
    }
};

TEST(LinearKernel, MatchesATripleLoop) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const Linear& k : linear_cases()) {
        const LinearInputs in(random, k);
        const Values pre = before_activation(k, in.x, in.w, in.b);
        Values y(pre);
        for (std::size_t i = 0; i < y.size(); ++i)
            y[i] = activated(k.activation, pre[i]) + (k.residual ? in.residual[i] : 0.0);

        const auto exact = in.run(k, DType::fp64);
        EXPECT_TRUE(close(exact[4], y, 1e-13));
        if (k.activation == Activation::gelu) {
            EXPECT_TRUE(close(exact[5], pre, 1e-13));
        }
        // Sums of up to 130 products of fp32: a few 2⁻²⁴ each.
        EXPECT_TRUE(close(in.run(k, DType::fp32)[4], y, 2e-6));
    }
}

TEST(LinearKernel, AWrongReferenceFails) {
    Random random;
    SCOPED_TRACE(random.trace());
    const Linear k{5, 17, 33, true, true, Activation::gelu};
    const LinearInputs in(random, k);
    Values perturbed = in.run(k, DType::fp64)[4];
    perturbed[40] += 1e-10;
    EXPECT_FALSE(close(in.run(k, DType::fp64)[4], perturbed, 1e-13));
    perturbed[40] = std::nan("");
    EXPECT_FALSE(close(perturbed, in.run(k, DType::fp64)[4], 1e-13));
}

// loss(x) = Σ dy ⊙ (act(x)·Wᵀ), whose gradient in x is what LinearInputGrad returns.
TEST(LinearKernel, InputGradientMatchesDifferences) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const Linear& shape : linear_cases()) {
        if (shape.bias || shape.residual) continue;
        const LinearInputGrad k{shape.rows, shape.in, shape.out, shape.activation};
        const Linear linear{k.rows, k.in, k.out};
        LinearInputs in(random, linear);
        in.x = off_zero(in.x);
        const Values dy = random.normal(k.rows * k.out);
        const auto activated = [&](const Values& x) {
            return call(Activate{k.rows * k.in, k.activation}, DType::fp64,
                        {tensor(x), space(k.rows * k.in)})[1];
        };
        const auto loss = [&](const Values& x) {
            return dot(dy, call(linear, DType::fp64,
                                {tensor(activated(x)), tensor(in.w), absent(), absent(),
                                 space(k.rows * k.out)})[4]);
        };
        const Tensor aux = k.activation == Activation::none   ? absent()
                           : k.activation == Activation::relu ? tensor(activated(in.x))
                                                              : tensor(in.x);
        const std::vector<Tensor> operands{tensor(dy), tensor(in.w), aux, space(k.rows * k.in)};
        const Values dx = call(k, DType::fp64, operands)[3];
        expect_gradient(random, loss, in.x, dx);
        EXPECT_TRUE(close(call(k, DType::fp32, operands)[3], dx, 3e-6));
    }
}

TEST(LinearKernel, WeightGradientMatchesDifferences) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const Linear& shape : linear_cases()) {
        if (shape.residual || shape.activation != Activation::none) continue;
        const LinearInputs in(random, shape);
        const Values dy = random.normal(shape.rows * shape.out);
        const LinearWeightGrad k{shape.rows, shape.in, shape.out, shape.bias, false};
        const std::vector<Tensor> operands{tensor(in.x), tensor(dy), space(k.in * k.out),
                                           k.bias ? space(k.out) : absent()};
        const auto gradient = call(k, DType::fp64, operands);
        const auto loss = [&](const Values& w, const Values& b) {
            LinearInputs moved = in;
            moved.w = w;
            moved.b = b;
            return dot(dy, moved.run(shape, DType::fp64)[4]);
        };
        expect_gradient(
            random, [&](const Values& w) { return loss(w, in.b); }, in.w, gradient[2]);
        if (k.bias)
            expect_gradient(
                random, [&](const Values& b) { return loss(in.w, b); }, in.b, gradient[3]);
        const auto single = call(k, DType::fp32, operands);
        EXPECT_TRUE(close(single[2], gradient[2], 3e-6));
        EXPECT_TRUE(close(single[3], gradient[3], 3e-6));
    }
}

TEST(LinearKernel, WeightGradientAccumulates) {
    Random random;
    SCOPED_TRACE(random.trace());
    LinearWeightGrad k{67, 19, 300, true, false};
    const Tensor x = tensor(random.normal(k.rows * k.in));
    const Tensor dy = tensor(random.normal(k.rows * k.out));
    const auto fresh = call(k, DType::fp64, {x, dy, space(k.in * k.out), space(k.out)});
    k.accumulate = true;
    Values dw = random.normal(k.in * k.out), db = random.normal(k.out);
    const auto added = call(k, DType::fp64, {x, dy, tensor(dw), tensor(db)});
    for (std::size_t i = 0; i < dw.size(); ++i) dw[i] += fresh[2][i];
    for (std::size_t i = 0; i < db.size(); ++i) db[i] += fresh[3][i];
    EXPECT_TRUE(close(added[2], dw, 1e-13));
    EXPECT_TRUE(close(added[3], db, 1e-13));
}

}  // namespace
}  // namespace shardscope::test
