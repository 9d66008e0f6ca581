// Activations: values against the textbook formulas, gradients against differences, and the float
// exponential under all of them.
#include <cmath>

#include "backends/cpu/kernels/simd.h"
#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {
namespace {

using std::int64_t;

TEST(ActivationKernel, FloatExponentialIsAccurate) {
    double worst = 0;
    for (int i = -870000; i <= 880000; ++i) {
        const float x = static_cast<float>(i) * 1e-4f;
        const double exact = std::exp(static_cast<double>(x));
        worst = std::max(worst, std::abs(static_cast<double>(cpu::exponential(x)) / exact - 1));
    }
    EXPECT_LE(worst, 1.2e-7);
    EXPECT_EQ(cpu::exponential(0.0f), 1.0f);
    EXPECT_EQ(cpu::exponential(-87.1f), 0.0f);
    EXPECT_EQ(cpu::exponential(-1e30f), 0.0f);
    EXPECT_TRUE(std::isnan(cpu::exponential(std::nanf(""))));
    EXPECT_EQ(cpu::exponential(1e30f), cpu::exponential(88.0f));
}

TEST(ActivationKernel, SigmoidStaysFiniteAndNormal) {
    for (const float x : {-1e38f, -200.0f, -87.0f, 0.0f, 87.0f, 200.0f, 1e38f}) {
        const auto s = sigmoid<PortableMath>(x);
        EXPECT_TRUE(std::isnormal(s.value)) << x;
        EXPECT_LE(s.value, 1.0f);
        EXPECT_NEAR(s.value + s.complement, 1.0f, 1e-7f);
    }
}

TEST(ActivationKernel, GeluMatchesItsDefinition) {
    Values x;
    for (int i = -1000; i <= 1000; ++i) x.push_back(i * 0.01);
    Values y;
    for (const double v : x)
        y.push_back(0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))));
    const auto n = static_cast<int64_t>(x.size());
    const Activate k{n, Activation::gelu};
    EXPECT_TRUE(close(call(k, DType::fp64, {tensor(x), space(n)})[1], y, 1e-15));
    EXPECT_TRUE(close(call(k, DType::fp32, {tensor(x), space(n)})[1], y, 1e-7));
}

double gelu_of(Activation activation, double x) {
    return activation == Activation::gelu_erf
               ? x * 0.5 * std::erfc(-x / std::sqrt(2.0))
               : 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

TEST(ActivationKernel, GeluErfMatchesItsDefinition) {
    Values x, y;
    for (int i = -1000; i <= 1000; ++i) x.push_back(i * 0.01);
    for (const double v : x) y.push_back(gelu_of(Activation::gelu_erf, v));
    const auto n = static_cast<int64_t>(x.size());
    const Activate k{n, Activation::gelu_erf};
    EXPECT_TRUE(close(call(k, DType::fp64, {tensor(x), space(n)})[1], y, 1e-15));
    EXPECT_TRUE(close(call(k, DType::fp32, {tensor(x), space(n)})[1], y, 2e-7));
    // Far from zero nothing of the approximation's error is left.
    const auto far = call(Activate{4, Activation::gelu_erf}, DType::fp32,
                          {tensor({-1e30, -40, 40, 1e30}), space(4)})[1];
    EXPECT_TRUE(close({far[0], far[1], far[2]}, {0, 0, 40}, 0));
    EXPECT_EQ(far[3], as_float({1e30})[0]);
}

TEST(ActivationKernel, GradientMatchesDifferences) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const Activation a :
         {Activation::none, Activation::relu, Activation::gelu, Activation::gelu_erf})
        for (const int64_t n : {1, 33, 1000}) {
            const Values x = off_zero(random.normal(n, 2.0)), dy = random.normal(n);
            const auto loss = [&](const Values& at) {
                return dot(dy, call(Activate{n, a}, DType::fp64, {tensor(at), space(n)})[1]);
            };
            const std::vector<Tensor> operands{tensor(dy), tensor(x), space(n)};
            const Values dx = call(ActivateGrad{n, a}, DType::fp64, operands)[2];
            expect_gradient(random, loss, x, dx);
            EXPECT_TRUE(close(call(ActivateGrad{n, a}, DType::fp32, operands)[2], dx, 1e-6));
        }
}

TEST(ActivationKernel, SwiGluMatchesItsDefinition) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const auto& [rows, ffn] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {7, 130}}) {
        const Values gate_up = random.normal(2 * rows * ffn, 2.0);
        Values y;
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t i = 0; i < ffn; ++i) {
                const double g = gate_up[static_cast<std::size_t>(2 * r * ffn + i)];
                const double up = gate_up[static_cast<std::size_t>((2 * r + 1) * ffn + i)];
                y.push_back(g / (1 + std::exp(-g)) * up);
            }
        const SwiGlu k{rows, ffn};
        const auto run = [&](const Values& at, DType dtype) {
            return call(k, dtype, {tensor(at), space(rows * ffn)})[1];
        };
        EXPECT_TRUE(close(run(gate_up, DType::fp64), y, 1e-14));
        EXPECT_TRUE(close(run(gate_up, DType::fp32), y, 5e-7));

        const Values dy = random.normal(rows * ffn);
        const auto loss = [&](const Values& at) { return dot(dy, run(at, DType::fp64)); };
        const std::vector<Tensor> operands{tensor(dy), tensor(gate_up), space(2 * rows * ffn)};
        const Values gradient = call(SwiGluGrad{rows, ffn}, DType::fp64, operands)[2];
        expect_gradient(random, loss, gate_up, gradient);
        EXPECT_TRUE(close(call(SwiGluGrad{rows, ffn}, DType::fp32, operands)[2], gradient, 1e-6));
    }
}

TEST(ActivationKernel, GeGluMatchesItsDefinition) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const Activation a : {Activation::gelu, Activation::gelu_erf})
        for (const auto& [rows, ffn] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {7, 130}}) {
            const Values gate_up = random.normal(2 * rows * ffn, 2.0);
            Values y;
            for (int64_t r = 0; r < rows; ++r)
                for (int64_t i = 0; i < ffn; ++i)
                    y.push_back(gelu_of(a, gate_up[static_cast<std::size_t>(2 * r * ffn + i)]) *
                                gate_up[static_cast<std::size_t>((2 * r + 1) * ffn + i)]);
            const auto run = [&, rows = rows, ffn = ffn](const Values& at, DType dtype) {
                return call(GeGlu{rows, ffn, a}, dtype, {tensor(at), space(rows * ffn)})[1];
            };
            EXPECT_TRUE(close(run(gate_up, DType::fp64), y, 1e-14));
            EXPECT_TRUE(close(run(gate_up, DType::fp32), y, 1e-6));

            const Values dy = random.normal(rows * ffn);
            const auto loss = [&](const Values& at) { return dot(dy, run(at, DType::fp64)); };
            const std::vector<Tensor> operands{tensor(dy), tensor(gate_up), space(2 * rows * ffn)};
            const GeGluGrad k{rows, ffn, a};
            const Values gradient = call(k, DType::fp64, operands)[2];
            expect_gradient(random, loss, gate_up, gradient);
            EXPECT_TRUE(close(call(k, DType::fp32, operands)[2], gradient, 2e-6));
        }
}

}  // namespace
}  // namespace shardscope::test
