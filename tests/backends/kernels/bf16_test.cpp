// Every kernel in bf16 against the same kernel in fp64 on the same (bf16) inputs.
//
// Results are computed in fp32 and rounded once when they are stored, which moves them by 2⁻⁸ of
// themselves; before that, sums of a few hundred numbers near 1 in fp32 are off by 1e-5 at most. So an
// element may differ by 2⁻⁸·|want| + 1e-5, and a test that allows `roundings` of them says why. What is
// stored in fp32 (statistics, gradients if asked for) has the second part only.
#include <cmath>

#include "core/program/operand_types.h"
#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {
namespace {

using std::int64_t;

constexpr double kRounding = 1.0 / 256;
constexpr double kSums = 1e-5;

// What is stored in fp32 is off by the roundings of two products, a sum and the store, as an optimizer's moments are.
constexpr double kFloatRoundings = 4 * 0x1p-24;

// Inputs as a call with these types stores them, for the call in fp64 that it is compared with.
std::vector<Tensor> stored_operands(std::vector<Tensor> operands,
                                    const std::array<DType, kMaxOperands>& types) {
    for (std::size_t i = 0; i < operands.size(); ++i) {
        Values& values = operands[i].values;
        if (types[i] == DType::bf16) values = as_bf16(std::move(values));
        if (types[i] == DType::fp32) values = as_float(std::move(values));
    }
    return operands;
}

::testing::AssertionResult near(const Values& got, const Values& want, double relative,
                                double absolute) {
    if (got.size() != want.size()) return ::testing::AssertionFailure() << "unequal sizes";
    for (std::size_t i = 0; i < want.size(); ++i)
        if (!(std::abs(got[i] - want[i]) <= relative * std::abs(want[i]) + absolute))
            return ::testing::AssertionFailure()
                   << "element " << i << " is " << got[i] << ", expected " << want[i];
    return ::testing::AssertionSuccess();
}

struct Allowed {
    double roundings = 1;
    double absolute = kSums;
    CallOptions options = {};
};

// With gradients in bf16 and in fp32.
void expect_as_in_fp64(const Kernel& kernel, const std::vector<Tensor>& operands,
                       const Allowed& allowed = {}) {
    for (const DType gradient : {DType::bf16, DType::fp32}) {
        Compute compute;
        compute.kernel = kernel;
        compute.dtype = DType::bf16;
        compute.gradient = gradient;
        const auto types = operand_dtypes(compute);
        const auto inputs = stored_operands(operands, types);
        CallOptions options = allowed.options;
        const auto want = call(kernel, DType::fp64, inputs, options);
        options.gradient = gradient;
        const auto got = call(kernel, DType::bf16, inputs, options);
        for (std::size_t i = 0; i < operands.size(); ++i) {
            const double relative =
                types[i] == DType::bf16 ? allowed.roundings * kRounding : kFloatRoundings;
            EXPECT_TRUE(near(got[i], want[i], relative, allowed.absolute))
                << kernel_name(kernel) << ", operand " << i << ", gradients in "
                << name_of(gradient);
        }
    }
}

// Every test draws from one source.
class Bf16Kernel : public ::testing::Test {
protected:
    Tensor normal(int64_t count, double deviation = 1.0) {
        return tensor(random_.normal(count, deviation));
    }
    Tensor when(bool present, int64_t count) { return present ? normal(count) : absent(); }
    Tensor indices(int64_t count, int64_t below) { return tokens(random_.integers(count, below)); }
    Random random_;

private:
    ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
};

struct ProductShape {
    int64_t rows, in, out;
};
// Among them one that is longer than the tiles of the multiply in every direction.
std::vector<ProductShape> shapes() {
    return {{1, 1, 1}, {5, 17, 33}, {67, 130, 10}, {133, 300, 150}};
}

TEST_F(Bf16Kernel, Linear) {
    for (const auto& [rows, in, out] : shapes())
        for (const Activation a :
             {Activation::none, Activation::relu, Activation::gelu, Activation::gelu_erf})
            for (const bool bias : {false, true})
                for (const bool residual : {false, true})
                    // Bias and residual may cancel the product, of which nothing is rounded before.
                    expect_as_in_fp64(
                        shardscope::Linear{rows, in, out, bias, residual, a},
                        {normal(rows * in), normal(in * out, 1 / std::sqrt(double(in))),
                         when(bias, out), when(residual, rows * out), space(rows * out),
                         needs_argument(a) ? space(rows * out) : absent()});
}

TEST_F(Bf16Kernel, LinearGradients) {
    for (const auto& [rows, in, out] : shapes()) {
        for (const Activation a :
             {Activation::none, Activation::relu, Activation::gelu, Activation::gelu_erf})
            expect_as_in_fp64(LinearInputGrad{rows, in, out, a},
                              {normal(rows * out), normal(in * out, 1 / std::sqrt(double(out))),
                               when(a != Activation::none, rows * in), space(rows * in)});
        for (const bool accumulate : {false, true})
            expect_as_in_fp64(LinearWeightGrad{rows, in, out, true, accumulate},
                              {normal(rows * in), normal(rows * out, 1 / std::sqrt(double(rows))),
                               normal(in * out), normal(out)});
    }
}

TEST_F(Bf16Kernel, Activations) {
    for (const int64_t n : {1, 33, 1000}) {
        for (const Activation a :
             {Activation::none, Activation::relu, Activation::gelu, Activation::gelu_erf}) {
            expect_as_in_fp64(Activate{n, a}, {normal(n, 2), space(n)});
            expect_as_in_fp64(ActivateGrad{n, a}, {normal(n), normal(n, 2), space(n)});
        }
        for (const Activation a : {Activation::gelu, Activation::gelu_erf}) {
            expect_as_in_fp64(GeGlu{3, n, a}, {normal(6 * n, 2), space(3 * n)});
            expect_as_in_fp64(GeGluGrad{3, n, a}, {normal(3 * n), normal(6 * n, 2), space(6 * n)});
        }
        expect_as_in_fp64(SwiGlu{3, n}, {normal(6 * n, 2), space(3 * n)});
        expect_as_in_fp64(SwiGluGrad{3, n}, {normal(3 * n), normal(6 * n, 2), space(6 * n)});
    }
}

TEST_F(Bf16Kernel, Norms) {
    for (const NormKind kind : {NormKind::layer_norm, NormKind::rms_norm})
        for (const auto& [rows, hidden] :
             {std::pair<int64_t, int64_t>{3, 7}, {70, 65}, {5, 1500}}) {
            const bool shifted = kind == NormKind::layer_norm;
            const int64_t n = rows * hidden, statistics = rows * (shifted ? 2 : 1);
            const Tensor x = tensor(as_bf16(random_.normal(n, 2))), w = normal(hidden);
            const Norm forward{rows, hidden, kind, 1e-5};
            expect_as_in_fp64(forward, {x, w, when(shifted, hidden), space(n), space(statistics)});
            const Tensor stats =
                tensor(call(forward, DType::fp64,
                            {x, w, when(shifted, hidden), space(n), space(statistics)})[4]);
            for (const bool residual : {false, true})
                expect_as_in_fp64(NormInputGrad{rows, hidden, kind, residual},
                                  {normal(n), x, stats, w, when(residual, n), space(n)});
            for (const bool accumulate : {false, true})
                expect_as_in_fp64(NormWeightGrad{rows, hidden, kind, accumulate},
                                  {normal(n), x, stats, normal(hidden), when(shifted, hidden)},
                                  {.absolute = 3 * kSums});  // 1/σ in fp32, times sums over 70 rows
        }
}

TEST_F(Bf16Kernel, HeadNorms) {
    const int64_t rows = 20, heads = 4, kv_heads = 2, dim = 24;
    const int64_t width = rows * (heads + 2 * kv_heads) * dim, normed = rows * (heads + kv_heads);
    const Tensor qkv = tensor(as_bf16(random_.normal(width, 2)));
    const HeadNorm forward{rows, heads, kv_heads, dim, 1e-5};
    expect_as_in_fp64(forward, {qkv, normal(dim), normal(dim), space(normed * dim), space(normed)});
    const auto saved = call(forward, DType::fp64,
                            {qkv, normal(dim), normal(dim), space(normed * dim), space(normed)});
    const Tensor before = tensor(saved[3]), stats = tensor(saved[4]);
    expect_as_in_fp64(HeadNormInputGrad{rows, heads, kv_heads, dim},
                      {normal(width), before, stats, normal(dim), normal(dim), space(width)});
    for (const bool accumulate : {false, true})
        expect_as_in_fp64(HeadNormWeightGrad{rows, heads, kv_heads, dim, accumulate},
                          {normal(width), before, stats, normal(dim), normal(dim)},
                          {.absolute = 3 * kSums});  // as norms
}

TEST_F(Bf16Kernel, Rope) {
    for (shardscope::Rope k : {shardscope::Rope{6, 3, 2, 1, 6},
                               {150, 75, 4, 2, 64, 500000.0},
                               {9, 9, 2, 1, 10, 10000.0, false, 4}})
        for (const bool inverse : {false, true}) {
            k.inverse = inverse;
            expect_as_in_fp64(k, {normal(k.rows * (k.heads + 2 * k.kv_heads) * k.head_dim)});
        }
}

TEST_F(Bf16Kernel, Embedding) {
    const int64_t seq = 20, hidden = 300, vocab = 11, rows = 40 * seq;
    for (const bool positions : {false, true})
        expect_as_in_fp64(shardscope::Embedding{rows, seq, vocab, hidden},
                          {indices(rows, vocab), normal(vocab * hidden),
                           when(positions, seq * hidden), space(rows * hidden)});
    expect_as_in_fp64(shardscope::Embedding{rows, seq, vocab, hidden, false, 2, 3.5},
                      {indices(rows, vocab), normal(vocab * hidden), normal((seq + 2) * hidden),
                       space(rows * hidden)});
}

// About 70 rows fall on every token, 40 on every position: one by one in bf16 they would be off by
// several roundings of the sum.
TEST_F(Bf16Kernel, EmbeddingGradientsAreRoundedOnce) {
    const int64_t seq = 20, hidden = 300, vocab = 11, rows = 40 * seq;
    for (const bool accumulate : {false, true})
        for (const bool split : {false, true})
            expect_as_in_fp64(
                EmbeddingGrad{rows, seq, vocab, hidden, accumulate, accumulate, split},
                {indices(rows, split ? 2 * vocab : vocab), normal(rows * hidden),
                 normal(vocab * hidden), normal(seq * hidden)},
                {.options = {.tensor_index = split ? 1 : 0}});
    // Gradients of scaled rows are larger, and so is what their sums in fp32 are off by.
    for (const bool accumulate : {false, true})
        expect_as_in_fp64(
            EmbeddingGrad{rows, seq, vocab, hidden, accumulate, accumulate, false, seq + 3, 2, 3.5},
            {indices(rows, vocab), normal(rows * hidden), normal(vocab * hidden),
             normal((seq + 3) * hidden)},
            {.absolute = 4 * kSums});
}

TEST_F(Bf16Kernel, Loss) {
    for (const auto& [rows, classes] : {std::pair<int64_t, int64_t>{1, 10}, {66, 257}})
        expect_as_in_fp64(SoftmaxCrossEntropy{rows, classes, 0.25, true},
                          {normal(rows * classes, 3), indices(rows, classes), scalar(1)},
                          // The loss: a sum over 66 rows of what fp32 holds to 1e-7.
                          {.absolute = 2 * kSums});
}

TEST_F(Bf16Kernel, VocabularyLoss) {
    const int64_t rows = 7, columns = 40, vocab = 65;
    for (const int rank : {0, 1}) {
        const CallOptions options{.tensor_index = rank};
        const Tensor logits = normal(rows * columns, 3), targets = indices(rows, vocab);
        // The largest is copied; a sum of 40 exponentials is of the exponentials before they are
        // rounded, and reaches e⁴ or so.
        expect_as_in_fp64(VocabularyMax{rows, columns, vocab}, {logits, space(rows)},
                          {0, 0, options});
        Values largest = random_.normal(rows);
        for (double& v : largest) v += 8;
        expect_as_in_fp64(VocabularySum{rows, columns, vocab},
                          {logits, tensor(largest), targets, space(2 * rows)},
                          {1, 5 * kSums, options});
        Values exponentials = random_.normal(rows * columns), sums;
        for (double& v : exponentials) v = std::exp(-std::abs(v));
        for (int64_t r = 0; r < rows; ++r) sums.insert(sums.end(), {30.0 + double(r), -1.0});
        expect_as_in_fp64(shardscope::VocabularyLoss{rows, columns, vocab, 0.25},
                          {tensor(exponentials), tensor(sums), targets, scalar(2)},
                          {.options = options});
    }
}

TEST_F(Bf16Kernel, Elementwise) {
    for (const int64_t n : {1, 37, 1000}) {
        // Zero and Copy are exact, one addition is rounded once and not at all before.
        expect_as_in_fp64(Zero{n}, {space(n)}, {0, 0});
        expect_as_in_fp64(Copy{n}, {normal(n), space(n)}, {0, 0});
        expect_as_in_fp64(Add{n}, {normal(n), normal(n)}, {1, 1e-7});
        expect_as_in_fp64(SumSquares{n, true, 0.5}, {normal(n), scalar(1)}, {0, 1e-10});
        for (const bool bias : {false, true})
            for (const bool residual : {false, true})
                expect_as_in_fp64(BiasResidual{3, n, bias, residual},
                                  {normal(3 * n), when(bias, n), when(residual, 3 * n)}, {1, 1e-6});
    }
}

TEST_F(Bf16Kernel, OptimizerWithAMasterCopy) {
    OptimizerSpec adamw, sgd;
    adamw.weight_decay = 0.1;
    sgd.kind = OptimizerKind::sgd;
    sgd.momentum = 0.9;
    for (const OptimizerSpec& spec : {adamw, sgd}) {
        const int64_t n = 77;
        const Values w = random_.normal(n);
        Values square = random_.normal(n);
        for (double& v : square) v = v * v;
        // The master copy moves by less than a rounding of bf16, and keeps it.
        expect_as_in_fp64(OptimizerStep{n, spec, 0.5, true},
                          {normal(n), scalar(9), space(n), tensor(w), normal(n),
                           spec.states() > 1 ? tensor(square) : absent()},
                          {1, 1e-6, {.step = 4}});
    }
}

TEST_F(Bf16Kernel, OptimizerWithoutAMasterCopyStillComputesInFp32) {
    OptimizerSpec spec;
    expect_as_in_fp64(
        OptimizerStep{50, spec, 0.0, false},
        {normal(50), absent(), normal(50), absent(), normal(50), tensor(Values(50, 1))}, {1, 1e-6});
}

std::vector<Attention> attentions() {
    std::vector<Attention> out;
    // The last ones have more keys than the backward pass sums at a time.
    const int64_t all[][5] = {{1, 1, 1, 1, 1},    {2, 3, 2, 2, 5},     {2, 65, 4, 2, 7},
                              {1, 130, 3, 1, 16}, {1, 300, 4, 2, 128}, {1, 200, 2, 1, 300}};
    for (const auto& s : all)
        for (const AttentionKind kind : {AttentionKind::flash, AttentionKind::unfused})
            out.push_back({s[0], s[1], s[2], s[3], s[4], kind});
    return out;
}

// Probabilities, rounded to bf16 before they are multiplied, are off by 2⁻⁸ each and so is their
// product with v. The unfused kind stores scores as well: of a size up to 4 here, they move the
// probabilities by another 4 · 2⁻⁸.
TEST_F(Bf16Kernel, Attention) {
    for (const auto& k : attentions()) {
        const int64_t rows = k.samples * k.seq, y = rows * k.heads * k.head_dim;
        const bool flash = k.kind == AttentionKind::flash;
        const std::vector<Tensor> operands{
            tensor(as_bf16(random_.normal(rows * (k.heads + 2 * k.kv_heads) * k.head_dim))),
            space(y), space(attention_stats_elements(k)), attention_workspace(k)};
        const auto want = call(k, DType::fp64, operands), got = call(k, DType::bf16, operands);
        EXPECT_TRUE(close(got[1], want[1], (flash ? 2 : 6) * kRounding));
        EXPECT_TRUE(close(got[2], want[2], flash ? kSums : 5 * kRounding));
    }
}

// dk and dv are sums over many queries and several query heads, of products with two numbers that are
// rounded to bf16 first (2⁻⁸ each, of either sign): 2 · 2⁻⁸ of the largest sum, and 2⁻⁸ as it is stored.
TEST_F(Bf16Kernel, AttentionGradient) {
    for (const auto& k : attentions()) {
        const int64_t rows = k.samples * k.seq, y = rows * k.heads * k.head_dim;
        const int64_t qkv = rows * (k.heads + 2 * k.kv_heads) * k.head_dim;
        const Tensor inputs = tensor(as_bf16(random_.normal(qkv)));
        const auto forward =
            call(k, DType::fp64,
                 {inputs, space(y), space(attention_stats_elements(k)), attention_workspace(k)});
        const bool flash = k.kind == AttentionKind::flash;
        const AttentionGrad grad{k.samples, k.seq, k.heads, k.kv_heads, k.head_dim, k.kind};
        const std::vector<Tensor> operands{
            tensor(as_bf16(random_.normal(y))),
            inputs,
            tensor(as_bf16(forward[1])),
            tensor(flash ? as_float(forward[2]) : as_bf16(forward[2])),
            space(qkv),
            attention_workspace(grad)};
        const auto want = call(grad, DType::fp64, operands);
        EXPECT_TRUE(close(call(grad, DType::bf16, operands)[4], want[4], 3 * kRounding))
            << k.seq << " queries, head size " << k.head_dim << (flash ? ", flash" : ", unfused");
    }
}

// The tolerances mean something: half a rounding more is too much.
TEST_F(Bf16Kernel, AnEarlierRoundingFails) {
    const Values x = as_bf16(random_.normal(1000)), y = as_bf16(random_.normal(1000));
    Values sum = x;
    for (std::size_t i = 0; i < x.size(); ++i) sum[i] = 1.01 * x[i];
    sum = as_bf16(sum);
    Values want = x;
    for (std::size_t i = 0; i < x.size(); ++i) {
        want[i] = 1.01 * x[i] + y[i];
        sum[i] += y[i];
    }
    EXPECT_TRUE(near(as_bf16(want), want, kRounding, kSums));
    EXPECT_FALSE(near(as_bf16(sum), want, kRounding, kSums));
}

}  // namespace
}  // namespace shardscope::test
