// What linear layers ask of cuBLASLt, evaluated with plain loops in fp64 by its documentation, against the
// CPU's kernels: every combination of flags, with and without epilogues.
#include "backends/cuda/matmul/matmul_call.h"

#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "backends/arithmetic/activation.h"
#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {
namespace {

using namespace cuda;
using std::int64_t;

struct Exact {
    static double exponential(double x) { return std::exp(x); }
    static double reciprocal(double x) { return 1.0 / x; }
};
double activated(Activation a, double x) {
    switch (a) {
        case Activation::relu:
            return Relu<Exact>::value(x);
        case Activation::gelu:
            return GeluTanh<Exact>::value(x);
        case Activation::gelu_erf:
            return GeluErf<Exact>::value(x);
        default:
            return x;
    }
}
double slope(Activation a, double x) {
    switch (a) {
        case Activation::relu:
            return Relu<Exact>::gradient(1.0, x);
        case Activation::gelu:
            return GeluTanh<Exact>::slope(x);
        case Activation::gelu_erf:
            return GeluErf<Exact>::slope(x);
        default:
            return 1.0;
    }
}

using Operands = std::vector<Values>;  // absent ones are empty
Values* at(Operands& operands, int index) {
    return index < 0 ? nullptr : &operands[static_cast<std::size_t>(index)];
}
// Element (row, column) of a column-major matrix.
double& element(Values& v, int64_t row, int64_t column, int64_t ld) {
    EXPECT_LT(row, ld);
    return v.at(static_cast<std::size_t>(row + column * ld));
}

double left(const MatmulCall& c, Values& a, int64_t row, int64_t i) {
    return c.transpose_a ? element(a, i, row, c.lda) : element(a, row, i, c.lda);
}
double right(const MatmulCall& c, Values& b, int64_t i, int64_t column) {
    return c.transpose_b ? element(b, column, i, c.ldb) : element(b, i, column, c.ldb);
}

// One element's epilogue (cuBLAS manual, cublasLtEpilogue_t).
double finished(const MatmulCall& c, const MatmulOperands& o, Operands& v, int64_t row,
                int64_t column, double x) {
    const auto bias = [&] { return at(v, o.bias)->at(static_cast<std::size_t>(row)); };
    const auto aux = [&]() -> double& { return element(*at(v, o.aux), row, column, c.aux_ld); };
    switch (c.epilogue) {
        case MatmulEpilogue::none:
        case MatmulEpilogue::bgradb:
            return x;
        case MatmulEpilogue::bias:
            return x + bias();
        case MatmulEpilogue::relu:
            return activated(Activation::relu, x);
        case MatmulEpilogue::relu_bias:
            return activated(Activation::relu, x + bias());
        case MatmulEpilogue::gelu:
            return activated(Activation::gelu, x);
        case MatmulEpilogue::gelu_bias:
            return activated(Activation::gelu, x + bias());
        case MatmulEpilogue::gelu_aux:
            return activated(Activation::gelu, aux() = x);
        case MatmulEpilogue::gelu_aux_bias:
            return activated(Activation::gelu, aux() = x + bias());
        case MatmulEpilogue::dgelu:
            return x * slope(Activation::gelu, aux());
    }
    return x;
}

void evaluate(const MatmulCall& c, const MatmulOperands& o, Operands& v) {
    const Values before = *at(v, o.c);  // C may be D
    for (int64_t column = 0; column < c.n; ++column)
        for (int64_t row = 0; row < c.m; ++row) {
            double sum = 0;
            for (int64_t i = 0; i < c.k; ++i)
                sum += left(c, *at(v, o.a), row, i) * right(c, *at(v, o.b), i, column);
            if (c.beta != 0.0f) sum += before.at(static_cast<std::size_t>(row + column * c.ldd));
            element(*at(v, o.d), row, column, c.ldd) = finished(c, o, v, row, column, sum);
        }
    if (c.epilogue != MatmulEpilogue::bgradb) return;
    for (int64_t column = 0; column < c.n; ++column) {
        double sum = 0;
        for (int64_t i = 0; i < c.k; ++i) sum += right(c, *at(v, o.b), i, column);
        at(v, o.bias)->at(static_cast<std::size_t>(column)) = sum;
    }
}

void finish(const Linear& k, const MatmulPlan& plan, Operands& v) {
    if (!plan.after.forward) return;
    const Values product = *at(v, plan.operands.d);
    for (std::size_t i = 0; i < product.size(); ++i) {
        const double x =
            product[i] + (plan.after.bias ? v[2][i % static_cast<std::size_t>(k.out)] : 0);
        if (plan.after.bias && !v[5].empty()) v[5][i] = x;
        v[4][i] = activated(plan.after.activation, x) + (plan.after.residual ? v[3][i] : 0.0);
    }
}
void finish(const LinearInputGrad&, const MatmulPlan& plan, Operands& v) {
    if (!plan.after.derivative) return;
    for (std::size_t i = 0; i < v[3].size(); ++i) v[3][i] *= slope(plan.after.activation, v[2][i]);
}
void finish(const LinearWeightGrad& k, const MatmulPlan& plan, Operands& v) {
    if (!plan.after.column_sums) return;
    for (int64_t c = 0; c < k.out; ++c) {
        double sum = k.accumulate ? v[3][static_cast<std::size_t>(c)] : 0.0;
        for (int64_t r = 0; r < k.rows; ++r) sum += v[1][static_cast<std::size_t>(r * k.out + c)];
        v[3][static_cast<std::size_t>(c)] = sum;
    }
}

Operands values_of(const std::vector<Tensor>& tensors) {
    Operands out;
    for (const Tensor& t : tensors) out.push_back(t.present ? t.values : Values());
    return out;
}

template <class Kernel>
void expect_same(const Kernel& k, const LinearCase& with, const MatmulOptions& options,
                 const std::vector<Tensor>& operands) {
    const MatmulPlan plan = plan_matmul(k, with, options);
    SCOPED_TRACE(text_of(plan.call));
    Operands got = values_of(operands);
    evaluate(plan.call, plan.operands, got);
    finish(k, plan, got);
    const auto want = call(k, DType::fp64, operands);
    for (std::size_t i = 0; i < want.size(); ++i)
        EXPECT_TRUE(close(got[i], want[i], 1e-12)) << "operand " << i;
}

// Calls use(fused, aligned) for all four.
template <class Use>
void for_each_choice(const Use& use) {
    for (const bool fused : {false, true})
        for (const bool aligned : {false, true}) use(MatmulOptions{false, fused}, aligned);
}

TEST(MatmulCall, ForwardIsTheLayer) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const Activation activation : kActivations)
        for (int flags = 0; flags < 8; ++flags)
            for (const int64_t out : {8, 5})
                for_each_choice([&](const MatmulOptions& options, bool aligned) {
                    const Linear k{3, 4, out, (flags & 1) != 0, (flags & 2) != 0, activation};
                    // Nobody keeps the argument of no activation.
                    const bool pre = (flags & 4) != 0 && activation != Activation::none;
                    const auto optional = [&](bool present, int64_t n) {
                        return present ? tensor(random.normal(n)) : absent();
                    };
                    expect_same(k, {DType::fp32, DType::fp32, pre, aligned}, options,
                                {tensor(random.normal(12)), tensor(random.normal(4 * out)),
                                 optional(k.bias, out), optional(k.residual, 3 * out),
                                 space(3 * out), pre ? space(3 * out) : absent()});
                });
}

TEST(MatmulCall, InputGradientIsTheLayers) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const Activation activation : kActivations)
        for (const int64_t in : {8, 5})
            for_each_choice([&](const MatmulOptions& options, bool aligned) {
                const LinearInputGrad k{3, in, 6, activation};
                const bool has_aux = activation != Activation::none;
                expect_same(k, {DType::fp32, DType::fp32, false, aligned}, options,
                            {tensor(random.normal(18)), tensor(random.normal(6 * in)),
                             has_aux ? tensor(random.normal(3 * in)) : absent(), space(3 * in)});
            });
}

TEST(MatmulCall, WeightGradientIsTheLayers) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const bool bias : {false, true})
        for (const bool accumulate : {false, true})
            for_each_choice([&](const MatmulOptions& options, bool aligned) {
                const LinearWeightGrad k{5, 4, 3, bias, accumulate};
                const auto gradient = [&](int64_t n) { return tensor(random.normal(n)); };
                expect_same(k, {DType::fp32, DType::fp32, false, aligned}, options,
                            {tensor(random.normal(20)), tensor(random.normal(15)), gradient(12),
                             bias ? gradient(3) : absent()});
            });
}

const MatmulOptions kFused{false, true}, kPlain{false, false};

TEST(MatmulCall, EpiloguesAreUsedWhereTheyFit) {
    const Linear gelu{16, 8, 32, true, false, Activation::gelu};
    const LinearCase saves{DType::bf16, DType::bf16, true, true};
    EXPECT_EQ(plan_matmul(gelu, saves, kFused).call.epilogue, MatmulEpilogue::gelu_aux_bias);
    EXPECT_FALSE(plan_matmul(gelu, saves, kFused).after.any());
    EXPECT_EQ(plan_matmul(gelu, saves, kPlain).call.epilogue, MatmulEpilogue::none);
    EXPECT_TRUE(plan_matmul(gelu, saves, kPlain).after.bias);
    LinearCase unaligned = saves;
    unaligned.aligned = false;
    EXPECT_EQ(plan_matmul(gelu, unaligned, kFused).call.epilogue, MatmulEpilogue::none);
    // The auxiliary matrix wants rows of a multiple of 8; a bias does not.
    const Linear odd{16, 8, 33, true, false, Activation::gelu};
    EXPECT_EQ(plan_matmul(odd, saves, kFused).call.epilogue, MatmulEpilogue::bias);
    EXPECT_EQ(plan_matmul(odd, saves, kFused).after.activation, Activation::gelu);

    const Linear residual{16, 8, 32, true, true, Activation::none};
    const MatmulPlan plan = plan_matmul(residual, {DType::bf16, DType::bf16, false, true}, kFused);
    EXPECT_EQ(plan.call.epilogue, MatmulEpilogue::bias);
    EXPECT_EQ(plan.call.beta, 1.0f);
    EXPECT_EQ(plan.operands.c, 3);
    EXPECT_EQ(plan.operands.d, 4);
}

TEST(MatmulCall, GradientsMayBeStoredInAnotherType) {
    const LinearWeightGrad k{16, 8, 32, true, false};
    const MatmulPlan mixed = plan_matmul(k, {DType::bf16, DType::fp32, false, true}, kFused);
    EXPECT_EQ(mixed.call.input, DType::bf16);
    EXPECT_EQ(mixed.call.output, DType::fp32);
    EXPECT_TRUE(mixed.after.column_sums);
    const MatmulPlan same = plan_matmul(k, {DType::bf16, DType::bf16, false, true}, kFused);
    EXPECT_EQ(same.call.epilogue, MatmulEpilogue::bgradb);
    LinearWeightGrad adding = k;
    adding.accumulate = true;
    EXPECT_TRUE(
        plan_matmul(adding, {DType::bf16, DType::bf16, false, true}, kFused).after.column_sums);
}

TEST(MatmulCall, Tf32IsForFp32Alone) {
    const Linear k{16, 8, 32, false, false, Activation::none};
    const MatmulOptions tf32{true, true};
    EXPECT_TRUE(plan_matmul(k, {DType::fp32, DType::fp32, false, true}, tf32).call.tf32);
    EXPECT_FALSE(plan_matmul(k, {DType::bf16, DType::bf16, false, true}, tf32).call.tf32);
    EXPECT_FALSE(plan_matmul(k, {DType::fp32, DType::fp32, false, true}, kFused).call.tf32);
}

// The comparison above can fail: a leading dimension of the other matrix is noticed.
TEST(MatmulCall, AWrongCallIsFound) {
    Random random;
    SCOPED_TRACE(random.trace());
    const Linear k{4, 4, 4, false, false, Activation::none};
    MatmulPlan plan = plan_matmul(k, {}, kFused);
    plan.call.transpose_a = false;
    const std::vector<Tensor> operands{tensor(random.normal(16)),
                                       tensor(random.normal(16)),
                                       absent(),
                                       absent(),
                                       space(16),
                                       absent()};
    Operands got = values_of(operands);
    evaluate(plan.call, plan.operands, got);
    EXPECT_FALSE(close(got[4], call(k, DType::fp64, operands)[4], 1e-12));
}

}  // namespace
}  // namespace shardscope::test
