// Embedding and rotary positions.
#include <cmath>

#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {
namespace {

using std::int64_t;

std::size_t index_of(double value) { return static_cast<std::size_t>(value); }

TEST(EmbeddingKernel, AddsPositionsAndGathersGradients) {
    Random random;
    SCOPED_TRACE(random.trace());
    const int64_t samples = 3, seq = 5, vocab = 7, hidden = 33, rows = samples * seq;
    const Values token = random.integers(rows, vocab);
    const Values table = random.normal(vocab * hidden), positions = random.normal(seq * hidden);
    const Values dy = random.normal(rows * hidden);
    for (const bool rotary : {false, true})
        for (const bool accumulate : {false, true}) {
            Values y, dtable = random.normal(vocab * hidden),
                      dposition = random.normal(seq * hidden);
            const Tensor before_table = tensor(dtable), before_position = tensor(dposition);
            if (!accumulate) {
                dtable.assign(dtable.size(), 0);
                dposition.assign(dposition.size(), 0);
            }
            for (std::size_t r = 0; r < index_of(rows); ++r)
                for (std::size_t i = 0; i < index_of(hidden); ++i) {
                    const std::size_t t = index_of(token[r]) * index_of(hidden) + i;
                    const std::size_t p = r % index_of(seq) * index_of(hidden) + i;
                    y.push_back(table[t] + (rotary ? 0 : positions[p]));
                    dtable[t] += dy[r * index_of(hidden) + i];
                    dposition[p] += dy[r * index_of(hidden) + i];
                }
            const auto forward =
                call(Embedding{rows, seq, vocab, hidden}, DType::fp64,
                     {tokens(token), tensor(table), rotary ? absent() : tensor(positions),
                      space(rows * hidden)});
            EXPECT_TRUE(close(forward[3], y, 0));
            const auto gradient = call(
                EmbeddingGrad{rows, seq, vocab, hidden, accumulate, accumulate}, DType::fp64,
                {tokens(token), tensor(dy), before_table, rotary ? absent() : before_position});
            EXPECT_TRUE(close(gradient[2], dtable, 1e-15));
            if (!rotary) {
                EXPECT_TRUE(close(gradient[3], dposition, 1e-15));
            }
        }
}

// Gemma scales its rows, OPT's positions begin at the third row of their table.
TEST(EmbeddingKernel, ScalesTheTableAndShiftsPositions) {
    Random random;
    SCOPED_TRACE(random.trace());
    const int64_t seq = 5, rows = 2 * seq, vocab = 7, hidden = 9, offset = 2, kept = 11;
    const double scale = 3.5;
    const Values token = random.integers(rows, vocab), dy = random.normal(rows * hidden);
    const Values table = random.normal(vocab * hidden), positions = random.normal(kept * hidden);
    Values y, dtable(table.size(), 0), dpositions(positions.size(), 0);
    for (std::size_t r = 0; r < index_of(rows); ++r)
        for (std::size_t i = 0; i < index_of(hidden); ++i) {
            const std::size_t t = index_of(token[r]) * index_of(hidden) + i;
            const std::size_t p = (r % index_of(seq) + index_of(offset)) * index_of(hidden) + i;
            y.push_back(scale * table[t] + positions[p]);
            dtable[t] += scale * dy[r * index_of(hidden) + i];
            dpositions[p] += dy[r * index_of(hidden) + i];
        }
    const Embedding forward{rows, seq, vocab, hidden, false, offset, scale};
    EXPECT_TRUE(
        close(call(forward, DType::fp64,
                   {tokens(token), tensor(table), tensor(positions), space(rows * hidden)})[3],
              y, 1e-14));
    EmbeddingGrad backward{rows, seq, vocab, hidden, false, false, false, kept, offset, scale};
    const std::vector<Tensor> operands{tokens(token), tensor(dy), tensor(table), tensor(positions)};
    const auto gradient = call(backward, DType::fp64, operands);
    EXPECT_TRUE(close(gradient[2], dtable, 1e-14));
    EXPECT_TRUE(close(gradient[3], dpositions, 1e-14));
    backward.accumulate_table = backward.accumulate_positions = true;
    const auto added = call(backward, DType::fp64, operands);
    for (std::size_t i = 0; i < table.size(); ++i) dtable[i] += table[i];
    for (std::size_t i = 0; i < positions.size(); ++i) dpositions[i] += positions[i];
    EXPECT_TRUE(close(added[2], dtable, 1e-14));
    EXPECT_TRUE(close(added[3], dpositions, 1e-14));
}

// Every pair as a complex number times e^{i·t·θ^(−2j/d)}.
Values turned(const Rope& k, Values qkv) {
    const int64_t stride = (k.heads + 2 * k.kv_heads) * k.head_dim, half = k.turned() / 2;
    for (int64_t r = 0; r < k.rows; ++r)
        for (int64_t h = 0; h < k.heads + k.kv_heads; ++h)
            for (int64_t j = 0; j < half; ++j) {
                const double frequency = std::pow(
                    k.theta, -2.0 * static_cast<double>(j) / static_cast<double>(k.turned()));
                const double angle = static_cast<double>(r % k.seq) * frequency;
                double& a = qkv[static_cast<std::size_t>(r * stride + h * k.head_dim + j)];
                double& b = qkv[static_cast<std::size_t>(r * stride + h * k.head_dim + j + half)];
                const double first = a * std::cos(angle) - b * std::sin(angle);
                b = b * std::cos(angle) + a * std::sin(angle);
                a = first;
            }
    return qkv;
}

TEST(RopeKernel, TurnsAndTurnsBack) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (Rope k : {Rope{1, 1, 1, 1, 2}, Rope{6, 3, 2, 1, 6}, Rope{150, 75, 4, 2, 64, 500000.0},
                   Rope{40, 40, 1, 1, 514}, Rope{9, 9, 2, 1, 10, 10000.0, false, 4}}) {
        const Values qkv = random.normal(k.rows * (k.heads + 2 * k.kv_heads) * k.head_dim);
        const Values y = call(k, DType::fp64, {tensor(qkv)})[0];
        EXPECT_TRUE(close(y, turned(k, qkv), 1e-14));
        EXPECT_TRUE(close(call(k, DType::fp32, {tensor(qkv)})[0], y, 2e-7));
        // The inverse is the transpose: it undoes the rotation and is its gradient.
        k.inverse = true;
        EXPECT_TRUE(close(call(k, DType::fp64, {tensor(y)})[0], qkv, 1e-14));
    }
}

TEST(RopeKernel, ScaledFrequencies) {
    const RopeScaling linear{RopeScaling::Kind::linear, 4.0};
    EXPECT_EQ(scaled_frequency(linear, 0.8), 0.2);
    // Llama 3.1: 8 · the length of 8192, frequencies of fewer than one turn in it are divided, those of
    // more than four are not.
    const RopeScaling llama{RopeScaling::Kind::llama3, 8.0, 1.0, 4.0, 8192};
    const double turn = 2 * M_PI / 8192;
    EXPECT_EQ(scaled_frequency(llama, 4.5 * turn), 4.5 * turn);
    EXPECT_EQ(scaled_frequency(llama, 0.9 * turn), 0.9 * turn / 8);
    EXPECT_NEAR(scaled_frequency(llama, 2.5 * turn), (0.5 / 8 + 0.5) * 2.5 * turn, 1e-18);

    Random random;
    SCOPED_TRACE(random.trace());
    Rope k{6, 6, 1, 1, 2};
    k.scaling = linear;
    const Values qkv = random.normal(6 * 6);
    const Values y = call(k, DType::fp64, {tensor(qkv)})[0];
    for (std::size_t t = 0; t < 6; ++t)
        EXPECT_NEAR(y[t * 6],
                    qkv[t * 6] * std::cos(double(t) / 4) - qkv[t * 6 + 1] * std::sin(double(t) / 4),
                    1e-14);
}

TEST(RopeKernel, ScoresDependOnDistanceOnly) {
    // Equal q everywhere and equal k everywhere: q·k after turning is a function of t − u.
    const Rope k{30, 30, 1, 1, 4};
    Values qkv;
    for (int r = 0; r < 30; ++r)
        for (const double v : {0.3, -1.0, 2.0, 0.7, 1.5, 0.2, -0.4, 1.0, 0.0, 0.0, 0.0, 0.0})
            qkv.push_back(v);
    const Values y = call(k, DType::fp64, {tensor(qkv)})[0];
    const auto score = [&](std::size_t t, std::size_t u) {
        double sum = 0;
        for (std::size_t i = 0; i < 4; ++i) sum += y[t * 12 + i] * y[u * 12 + 4 + i];
        return sum;
    };
    EXPECT_NEAR(score(7, 2), score(29, 24), 1e-13);
    EXPECT_GT(std::abs(score(7, 2) - score(7, 3)), 1e-3);
}

}  // namespace
}  // namespace shardscope::test
