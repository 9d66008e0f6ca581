// Kernels that see one tensor-parallel rank's part of the vocabulary: all parts together are the
// kernel that sees the whole of it. The reductions between ranks are done here, in doubles.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {
namespace {

using std::int64_t;

std::size_t place(int64_t index) { return static_cast<std::size_t>(index); }

constexpr double kGarbage = 1e30;  // what padding may hold: e^1e30 would swamp every sum

struct Split {
    int64_t rows, vocab;
    int ranks;
    int64_t columns() const { return (vocab + ranks - 1) / ranks; }
};

// Vocabularies that divide, that leave a rank partly empty, and that leave ranks wholly empty.
std::vector<Split> splits() {
    std::vector<Split> out;
    for (const int64_t vocab : {6, 50, 257})
        for (const int ranks : {1, 2, 3, 5}) out.push_back({7, vocab, ranks});
    out.push_back({3, 1, 3});
    return out;
}

// Rank i's columns of the whole logits, garbage beyond the vocabulary.
Values part(const Split& s, const Values& logits, int rank) {
    Values out;
    for (int64_t r = 0; r < s.rows; ++r)
        for (int64_t c = rank * s.columns(); c < (rank + 1) * s.columns(); ++c)
            out.push_back(c < s.vocab ? logits[place(r * s.vocab + c)] : kGarbage);
    return out;
}

struct Result {
    std::vector<Values> gradients;  // of each rank's columns
    Values losses;                  // of each rank, 2 before the call
};

Values largest_of_all(const Split& s, const std::vector<Values>& parts, DType dtype) {
    Values largest(place(s.rows), -std::numeric_limits<double>::infinity());
    for (int i = 0; i < s.ranks; ++i) {
        const Values own = call(VocabularyMax{s.rows, s.columns(), s.vocab}, dtype,
                                {tensor(parts[place(i)]), space(s.rows)}, {.tensor_index = i})[1];
        for (std::size_t r = 0; r < own.size(); ++r) largest[r] = std::max(largest[r], own[r]);
    }
    return largest;
}

// The three kernels on every rank, with the two all-reduces between them.
Result run_split(const Split& s, const Values& logits, const Values& targets, double scale,
                 DType dtype) {
    std::vector<Values> parts;
    for (int i = 0; i < s.ranks; ++i) parts.push_back(part(s, logits, i));
    const Values largest = largest_of_all(s, parts, dtype);
    Values sums(place(2 * s.rows), 0.0);
    for (int i = 0; i < s.ranks; ++i) {
        const auto after =
            call(VocabularySum{s.rows, s.columns(), s.vocab}, dtype,
                 {tensor(parts[place(i)]), tensor(largest), tokens(targets), space(2 * s.rows)},
                 {.tensor_index = i});
        parts[place(i)] = after[0];
        for (std::size_t j = 0; j < sums.size(); ++j) sums[j] += after[3][j];
    }
    Result result;
    for (int i = 0; i < s.ranks; ++i) {
        const auto after = call(VocabularyLoss{s.rows, s.columns(), s.vocab, scale}, dtype,
                                {tensor(parts[place(i)]), tensor(sums), tokens(targets), scalar(2)},
                                {.tensor_index = i});
        result.gradients.push_back(after[0]);
        result.losses.push_back(after[3][0]);
    }
    return result;
}

// The ranks' columns side by side again; what lies beyond the vocabulary must be zero.
Values whole(const Split& s, const std::vector<Values>& parts) {
    Values out(place(s.rows * s.vocab));
    for (int i = 0; i < s.ranks; ++i)
        for (int64_t r = 0; r < s.rows; ++r)
            for (int64_t c = 0; c < s.columns(); ++c) {
                const double value = parts[place(i)][place(r * s.columns() + c)];
                const int64_t column = i * s.columns() + c;
                if (column < s.vocab)
                    out[place(r * s.vocab + column)] = value;
                else
                    EXPECT_EQ(value, 0.0) << "padding column of rank " << i;
            }
    return out;
}

// fp32: the sum over a rank's columns is rounded once more per rank. bf16: the exponentials and the
// probabilities, of which the largest is scale, are rounded by 2⁻⁸ each, where the whole kernel rounds
// probabilities only; the loss is made from sums of neither.
struct SplitTolerance {
    DType dtype;
    double gradient, loss;
};
constexpr SplitTolerance kTolerances[] = {
    {DType::fp64, 1e-15, 1e-14}, {DType::fp32, 1e-6, 1e-5}, {DType::bf16, 3e-3, 1e-5}};

TEST(VocabularyKernels, AllRanksTogetherAreTheWholeLoss) {
    Random random;
    SCOPED_TRACE(random.trace());
    constexpr double kScale = 0.25;
    for (const Split& s : splits())
        for (const auto& [dtype, gradient, loss] : kTolerances) {
            SCOPED_TRACE(std::to_string(s.vocab) + " classes on " + std::to_string(s.ranks));
            const Values logits = as_bf16(random.normal(s.rows * s.vocab, 3.0));
            const Values targets = random.integers(s.rows, s.vocab);
            const auto want = call(SoftmaxCrossEntropy{s.rows, s.vocab, kScale}, dtype,
                                   {tensor(logits), tokens(targets), scalar()});
            const Result got = run_split(s, logits, targets, kScale, dtype);
            EXPECT_TRUE(close(whole(s, got.gradients), want[0], gradient));
            EXPECT_TRUE(close({got.losses[0] - 2}, want[2], loss));
            for (std::size_t i = 1; i < got.losses.size(); ++i) EXPECT_EQ(got.losses[i], 2);
        }
}

TEST(VocabularyKernels, ARankOfPaddingAloneFindsNothing) {
    const Split s{2, 3, 5};  // a column each for ranks 0 to 2
    for (const DType dtype : {DType::fp64, DType::fp32}) {
        const Values largest =
            call(VocabularyMax{s.rows, 1, s.vocab}, dtype,
                 {tensor({kGarbage, kGarbage}), space(s.rows)}, {.tensor_index = 3})[1];
        EXPECT_EQ(largest, Values(2, -std::numeric_limits<double>::infinity()));
        const auto sums = call(
            VocabularySum{s.rows, 1, s.vocab}, dtype,
            {tensor({kGarbage, kGarbage}), tensor({1.5, -2}), tokens({0, 2}), space(2 * s.rows)},
            {.tensor_index = 3});
        EXPECT_EQ(sums[0], Values(2, 0.0));
        EXPECT_EQ(sums[3], Values(4, 0.0));
    }
}

TEST(VocabularyKernels, LargeLogitsDoNotOverflow) {
    const Split s{2, 3, 2};
    const Values logits{1e4, 0, -1e4, 1e4, 0, -1e4};
    for (const DType dtype : {DType::fp32, DType::fp64}) {
        const Result got = run_split(s, logits, {0, 1}, 0.25, dtype);
        EXPECT_DOUBLE_EQ(got.losses[0] - 2, 0.25 * 1e4);
        EXPECT_TRUE(close(whole(s, got.gradients), {0, 0, 0, 0.25, -0.25, 0}, 1e-15));
    }
}

// A wrong index shows: two ranks that think they are the same one.
TEST(VocabularyKernels, TheRanksIndexMatters) {
    Random random;
    SCOPED_TRACE(random.trace());
    const VocabularySum k{1, 4, 8};
    const Values logits = random.normal(4);
    const auto sums = [&](int index) {
        return call(k, DType::fp64, {tensor(logits), tensor({0.0}), tokens({5}), space(2)},
                    {.tensor_index = index})[3];
    };
    EXPECT_EQ(sums(0)[1], 0);
    EXPECT_EQ(sums(1)[1], logits[1]);
}

// Table rows of rank i, NaN beyond the vocabulary: nothing may read those.
Values rows_of(const Split& s, const Values& table, int64_t hidden, int rank) {
    Values out(place(s.columns() * hidden), std::nan(""));
    for (int64_t r = 0; r < s.columns(); ++r)
        for (int64_t i = 0; i < hidden && rank * s.columns() + r < s.vocab; ++i)
            out[place(r * hidden + i)] = table[place((rank * s.columns() + r) * hidden + i)];
    return out;
}

TEST(VocabularyKernels, EmbeddingsSumToTheWholeOne) {
    Random random;
    SCOPED_TRACE(random.trace());
    const int64_t hidden = 33, seq = 5;
    for (Split s : splits()) {
        s.rows = 3 * seq;
        SCOPED_TRACE(std::to_string(s.vocab) + " tokens on " + std::to_string(s.ranks));
        const Values token = random.integers(s.rows, s.vocab);
        const Values table = random.normal(s.vocab * hidden),
                     positions = random.normal(seq * hidden);
        for (const bool rotary : {false, true}) {
            const Tensor position = rotary ? absent() : tensor(positions);
            const Values want =
                call(Embedding{s.rows, seq, s.vocab, hidden}, DType::fp64,
                     {tokens(token), tensor(table), position, space(s.rows * hidden)})[3];
            Values sum(want.size(), 0.0);
            for (int i = 0; i < s.ranks; ++i) {
                const Values y =
                    call(Embedding{s.rows, seq, s.columns(), hidden, true}, DType::fp64,
                         {tokens(token), tensor(rows_of(s, table, hidden, i)), position,
                          space(s.rows * hidden)},
                         {.tensor_index = i})[3];
                for (std::size_t j = 0; j < y.size(); ++j) sum[j] += y[j];
            }
            // One rank adds a number, the others zero.
            EXPECT_EQ(sum, want);
        }
    }
}

TEST(VocabularyKernels, EmbeddingGradientsAreTheRowsOfTheWholeOne) {
    Random random;
    SCOPED_TRACE(random.trace());
    const int64_t hidden = 33, seq = 5;
    for (Split s : splits())
        for (const bool accumulate : {false, true}) {
            s.rows = 3 * seq;
            SCOPED_TRACE(std::to_string(s.vocab) + " tokens on " + std::to_string(s.ranks));
            const Values token = random.integers(s.rows, s.vocab),
                         dy = random.normal(s.rows * hidden);
            const Values dtable = random.normal(s.ranks * s.columns() * hidden);
            const Tensor dpositions = tensor(random.normal(seq * hidden));
            const Values head(dtable.begin(), dtable.begin() + s.vocab * hidden);
            const auto want =
                call(EmbeddingGrad{s.rows, seq, s.vocab, hidden, accumulate, accumulate},
                     DType::fp64, {tokens(token), tensor(dy), tensor(head), dpositions});
            for (int i = 0; i < s.ranks; ++i) {
                const auto first = dtable.begin() + i * s.columns() * hidden;
                const auto got = call(
                    EmbeddingGrad{s.rows, seq, s.columns(), hidden, accumulate, accumulate, true},
                    DType::fp64,
                    {tokens(token), tensor(dy), tensor({first, first + s.columns() * hidden}),
                     dpositions},
                    {.tensor_index = i});
                Values rows = rows_of(s, want[2], hidden, i);
                // Rows beyond the vocabulary get no gradient: they stay, or become zero.
                for (std::size_t j = 0; j < rows.size(); ++j)
                    if (std::isnan(rows[j]))
                        rows[j] = accumulate ? first[static_cast<std::ptrdiff_t>(j)] : 0.0;
                EXPECT_EQ(got[2], rows);
                EXPECT_EQ(got[3], want[3]);
            }
        }
}

}  // namespace
}  // namespace shardscope::test
