// The threads of a rank: shares that do not depend on them, and kernels with the same bits.
#include "backends/cpu/kernels/team.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {
namespace {

using cpu::Share;
using cpu::Team;

std::vector<std::pair<std::int64_t, std::int64_t>> shares(int threads, std::int64_t count,
                                                          std::int64_t grain) {
    Team team(threads);
    std::mutex mutex;
    std::vector<std::pair<std::int64_t, std::int64_t>> seen;
    team.divide(count, grain, [&](const Share& share) {
        const std::lock_guard lock(mutex);
        EXPECT_GE(share.thread, 0);
        EXPECT_LT(share.thread, threads);
        seen.emplace_back(share.first, share.last);
    });
    std::sort(seen.begin(), seen.end());
    return seen;
}

TEST(Team, SharesAreTheSameWithAnyNumberOfThreads) {
    const std::vector<std::pair<std::int64_t, std::int64_t>> want = {{0, 4}, {4, 8}, {8, 10}};
    for (const int threads : {1, 2, 3, 7}) {
        EXPECT_EQ(shares(threads, 10, 4), want) << threads << " threads";
        EXPECT_TRUE(shares(threads, 0, 4).empty());
        EXPECT_EQ(shares(threads, 3, 4).size(), 1u);
    }
}

// Short jobs one after the other: helpers enter late, or a job that follows the one they woke for.
TEST(Team, NoShareIsLostOrDoneTwice) {
    Team team(3);
    for (std::int64_t round = 0; round < 20'000; ++round) {
        const std::int64_t count = 2 + round % 7;
        std::atomic<std::int64_t> sum{0};
        team.divide(count, 1, [&](const Share& share) { sum += 1 + share.first; });
        ASSERT_EQ(sum, count * (count + 1) / 2) << "round " << round;
    }
}

TEST(Team, AFailureIsThrownByDivideAndTheTeamGoesOn) {
    for (const int threads : {1, 3}) {
        Team team(threads);
        const auto fail = [](const Share& share) {
            if (share.first == 5) throw std::runtime_error("share 5");
        };
        EXPECT_THROW(team.divide(10, 1, fail), std::runtime_error) << threads;
        EXPECT_NO_THROW(team.divide(5, 1, fail)) << threads;
    }
}

TEST(Team, SumsAreAddedInOneOrder) {
    const auto sum = [](int threads) {
        Team team(threads);
        return cpu::sum_of_shares(team, 100'000, 16, [](const Share& share) {
            double part = 0;
            for (std::int64_t i = share.first; i < share.last; ++i)
                part += 1.0 / static_cast<double>(i + 1);
            return part;
        });
    };
    EXPECT_EQ(sum(2), sum(1));
    EXPECT_EQ(sum(3), sum(1));
    EXPECT_NEAR(sum(1), 12.090146129863428, 1e-12);  // the harmonic number
}

// Every kernel that is divided, large enough to be; attention has a tile for each thread.
struct TeamCase {
    Kernel kernel;
    std::vector<Tensor> operands;
};

std::vector<TeamCase> team_cases(Random& random) {
    constexpr std::int64_t rows = 384, in = 96, out = 160, seq = 128, hidden = 192, heads = 6;
    constexpr std::int64_t head = hidden / heads, samples = rows / seq, vocab = 100, n = 100'000;
    constexpr int tiles = 3;
    const auto t = [&](std::int64_t count) { return tensor(random.normal(count)); };
    const auto some = [&](std::int64_t count) { return tokens(random.integers(count, vocab)); };
    const std::int64_t y = rows * hidden, tile = 2 * tiles * kAttentionQueryBlock * seq;
    OptimizerSpec adam;
    return {
        {Linear{rows, in, out, true, true, Activation::gelu},
         {t(rows * in), t(in * out), t(out), t(rows * out), space(rows * out), space(rows * out)}},
        {Linear{100, 256, 640}, {t(100 * 256), t(256 * 640), absent(), absent(), space(64'000)}},
        {LinearInputGrad{rows, out, in, Activation::gelu},
         {t(rows * in), t(in * out), t(rows * out), space(rows * out)}},
        {LinearWeightGrad{rows, in, out, true, true},
         {t(rows * in), t(rows * out), t(in * out), t(out)}},
        {Activate{n, Activation::gelu}, {t(n), space(n)}},
        {ActivateGrad{n, Activation::gelu}, {t(n), t(n), space(n)}},
        {SwiGlu{rows, hidden}, {t(2 * y), space(y)}},
        {SwiGluGrad{rows, hidden}, {t(y), t(2 * y), space(2 * y)}},
        {Activate{n, Activation::gelu_erf}, {t(n), space(n)}},
        {GeGlu{rows, hidden, Activation::gelu_erf}, {t(2 * y), space(y)}},
        {GeGluGrad{rows, hidden}, {t(y), t(2 * y), space(2 * y)}},
        {HeadNorm{rows, heads, heads, head},
         {t(3 * y), t(head), t(head), space(2 * y), space(2 * rows * heads)}},
        {HeadNormInputGrad{rows, heads, heads, head},
         {t(3 * y), t(2 * y), t(2 * rows * heads), t(head), t(head), space(3 * y)}},
        {HeadNormWeightGrad{rows, heads, heads, head, true},
         {t(3 * y), t(2 * y), t(2 * rows * heads), t(head), t(head)}},
        {Norm{rows, hidden}, {t(y), t(hidden), t(hidden), space(y), space(2 * rows)}},
        {NormInputGrad{rows, hidden, NormKind::layer_norm, true},
         {t(y), t(y), t(2 * rows), t(hidden), t(y), space(y)}},
        {NormWeightGrad{rows, hidden}, {t(y), t(y), t(2 * rows), space(hidden), space(hidden)}},
        {Rope{rows, seq, heads, heads, head}, {t(3 * y)}},
        {Embedding{rows, seq, vocab, hidden},
         {some(rows), t(vocab * hidden), t(seq * hidden), space(y)}},
        {Embedding{rows, seq, vocab, hidden, false, 2, 1.5},
         {some(rows), t(vocab * hidden), t((seq + 2) * hidden), space(y)}},
        {EmbeddingGrad{rows, seq, vocab, hidden, false, true, false, seq + 2, 2, 1.5},
         {some(rows), t(y), space(vocab * hidden), t((seq + 2) * hidden)}},
        {EmbeddingGrad{rows, seq, vocab, hidden, true, true},
         {some(rows), t(y), t(vocab * hidden), t(seq * hidden)}},
        {Attention{samples, seq, heads, heads / 2, head, AttentionKind::flash, tiles},
         {t(2 * y), space(y), space(samples * heads * seq), space(tile)}},
        {AttentionGrad{samples, seq, heads, heads / 2, head, AttentionKind::flash, tiles},
         {t(y), t(2 * y), t(y), t(samples * heads * seq), space(2 * y), space(tile)}},
        {SoftmaxCrossEntropy{rows, vocab}, {t(rows * vocab), some(rows), space(1)}},
        {VocabularyMax{rows, vocab, vocab}, {t(rows * vocab), space(rows)}},
        {VocabularySum{rows, vocab, vocab},
         {t(rows * vocab), t(rows), some(rows), space(2 * rows)}},
        {VocabularyLoss{rows, vocab, vocab, 0.5},
         {t(rows * vocab), tensor(Values(2 * rows, 3.0)), some(rows), scalar(1)}},
        {Zero{n}, {space(n)}},
        {Add{n}, {t(n), t(n)}},
        {Copy{n}, {t(n), space(n)}},
        {BiasResidual{rows, hidden, true, true}, {t(y), t(hidden), t(y)}},
        {SumSquares{n}, {t(n), space(1)}},
        {OptimizerStep{n, adam}, {t(n), absent(), t(n), absent(), t(n), tensor(Values(n, 0.5))}},
    };
}

TEST(Team, KernelsHaveTheSameBitsWithAnyNumberOfThreads) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const TeamCase& c : team_cases(random))
        for (const DType dtype : {DType::fp32, DType::fp64, DType::bf16}) {
            const auto alone = call(c.kernel, dtype, c.operands);
            for (const int threads : {2, 3}) {
                CallOptions options;
                options.threads = threads;
                const auto divided = call(c.kernel, dtype, c.operands, options);
                const auto access = accesses(c.kernel);
                for (std::size_t i = 0; i < divided.size(); ++i) {
                    const bool scratch = std::holds_alternative<Attention>(c.kernel) && i == 3;
                    const bool tile = std::holds_alternative<AttentionGrad>(c.kernel) && i == 5;
                    if (access[i] == Access::read || scratch || tile) continue;
                    EXPECT_TRUE(divided[i] == alone[i])
                        << kernel_name(c.kernel) << " " << name_of(dtype) << ", operand " << i
                        << ", " << threads << " threads";
                }
            }
        }
}

TEST(Team, AttentionWantsATileForEveryThread) {
    CallOptions options;
    options.threads = 2;
    EXPECT_THROW(call(Attention{1, 4, 1, 1, 4}, DType::fp32,
                      {space(48), space(16), space(4), space(16)}, options),
                 std::logic_error);
}

}  // namespace
}  // namespace shardscope::test
