// Attention against the textbook formula, gradients against differences, both kinds against each
// other, over head groupings, odd head sizes and sequences that cross the query blocks.
#include <cmath>

#include "core/program/kernel.h"
#include "tests/backends/kernels/kernel_call.h"

namespace shardscope::test {
namespace {

using std::int64_t;

std::vector<Attention> attention_cases() {
    std::vector<Attention> out;
    const int64_t shapes[][5] = {
        {1, 1, 1, 1, 1}, {2, 3, 2, 2, 5}, {1, 64, 2, 1, 8}, {2, 65, 4, 2, 7}, {1, 130, 3, 1, 16}};
    for (const auto& s : shapes)
        for (const AttentionKind kind : {AttentionKind::flash, AttentionKind::unfused})
            out.push_back({s[0], s[1], s[2], s[3], s[4], kind});
    return out;
}

int64_t qkv_elements(const Attention& k) {
    return k.samples * k.seq * (k.heads + 2 * k.kv_heads) * k.head_dim;
}
int64_t y_elements(const Attention& k) { return k.samples * k.seq * k.heads * k.head_dim; }

std::vector<Values> run_attention(const Attention& k, const Values& qkv,
                                  DType dtype = DType::fp64) {
    return call(k, dtype,
                {tensor(qkv), space(y_elements(k)), space(attention_stats_elements(k)),
                 attention_workspace(k)});
}

Values run_grad(const Attention& k, const Values& qkv, const Values& dy,
                DType dtype = DType::fp64) {
    const auto forward = run_attention(k, qkv, dtype);
    const AttentionGrad grad{k.samples, k.seq, k.heads, k.kv_heads, k.head_dim, k.kind};
    return call(grad, dtype,
                {tensor(dy), tensor(qkv), tensor(forward[1]), tensor(forward[2]),
                 space(qkv_elements(k)), attention_workspace(grad)})[4];
}

// y and the log-sum-exp of every query, one query at a time.
struct Reference {
    Values y, lse;

    Reference(const Attention& k, const Values& qkv) : y(static_cast<std::size_t>(y_elements(k))) {
        for (int64_t s = 0; s < k.samples; ++s)
            for (int64_t h = 0; h < k.heads; ++h)
                for (int64_t t = 0; t < k.seq; ++t) query(k, qkv, s, h, t);
    }

private:
    static const double* at(const Attention& k, const Values& qkv, int64_t sample, int64_t t,
                            int64_t head) {
        return qkv.data() + ((sample * k.seq + t) * (k.heads + 2 * k.kv_heads) + head) * k.head_dim;
    }
    void query(const Attention& k, const Values& qkv, int64_t s, int64_t h, int64_t t) {
        const int64_t kv = k.heads + h / (k.heads / k.kv_heads);
        const double* q = at(k, qkv, s, t, h);
        Values weight;
        double sum = 0;
        for (int64_t u = 0; u <= t; ++u) {
            double score = 0;
            for (int64_t i = 0; i < k.head_dim; ++i) score += q[i] * at(k, qkv, s, u, kv)[i];
            weight.push_back(std::exp(score / std::sqrt(static_cast<double>(k.head_dim))));
            sum += weight.back();
        }
        lse.push_back(std::log(sum));
        double* out = y.data() + ((s * k.seq + t) * k.heads + h) * k.head_dim;
        for (int64_t u = 0; u <= t; ++u)
            for (int64_t i = 0; i < k.head_dim; ++i)
                out[i] += weight[static_cast<std::size_t>(u)] / sum *
                          at(k, qkv, s, u, kv + k.kv_heads)[i];
    }
};

TEST(AttentionKernel, MatchesTheTextbook) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const Attention& k : attention_cases()) {
        const Values qkv = as_float(random.normal(qkv_elements(k)));
        const Reference want(k, qkv);
        const auto exact = run_attention(k, qkv), single = run_attention(k, qkv, DType::fp32);
        EXPECT_TRUE(close(exact[1], want.y, 1e-13));
        EXPECT_TRUE(close(single[1], want.y, 2e-6));
        if (k.kind == AttentionKind::flash) {
            EXPECT_TRUE(close(exact[2], want.lse, 1e-13));
            EXPECT_TRUE(close(single[2], want.lse, 2e-6));
        }
    }
}

TEST(AttentionKernel, StoredProbabilitiesAreCausalAndSumToOne) {
    Random random;
    SCOPED_TRACE(random.trace());
    const Attention k{2, 65, 4, 2, 7, AttentionKind::unfused};
    const Values p = run_attention(k, random.normal(qkv_elements(k)))[2];
    const auto seq = static_cast<std::size_t>(k.seq);
    for (std::size_t row = 0; row < p.size() / seq; ++row) {
        double sum = 0;
        for (std::size_t key = 0; key < seq; ++key) {
            const double value = p[row * seq + key];
            if (key > row % seq) {
                EXPECT_EQ(value, 0);
            }
            sum += value;
        }
        EXPECT_NEAR(sum, 1, 1e-14);
    }
}

TEST(AttentionKernel, GradientMatchesDifferences) {
    Random random;
    SCOPED_TRACE(random.trace());
    for (const Attention& k : attention_cases()) {
        const Values qkv = random.normal(qkv_elements(k)), dy = random.normal(y_elements(k));
        const auto loss = [&](const Values& at) { return dot(dy, run_attention(k, at)[1]); };
        const Values gradient = run_grad(k, qkv, dy);
        expect_gradient(random, loss, qkv, gradient);
        EXPECT_TRUE(close(run_grad(k, as_float(qkv), dy, DType::fp32), gradient, 1e-5));
    }
}

TEST(AttentionKernel, BothKindsAgree) {
    Random random;
    SCOPED_TRACE(random.trace());
    Attention flash{2, 200, 6, 2, 9, AttentionKind::flash}, unfused = flash;
    unfused.kind = AttentionKind::unfused;
    const Values qkv = random.normal(qkv_elements(flash)), dy = random.normal(y_elements(flash));
    EXPECT_TRUE(close(run_attention(flash, qkv)[1], run_attention(unfused, qkv)[1], 1e-14));
    EXPECT_TRUE(close(run_grad(flash, qkv, dy), run_grad(unfused, qkv, dy), 1e-13));
}

TEST(AttentionKernel, LargeScoresDoNotOverflow) {
    Random random;
    SCOPED_TRACE(random.trace());
    const Attention k{1, 70, 1, 1, 8, AttentionKind::flash};
    const Values qkv = random.normal(qkv_elements(k), 30.0);
    const Values y = run_attention(k, qkv, DType::fp32)[1];
    for (const double v : y) EXPECT_TRUE(std::isfinite(v));
    const Values gradient = run_grad(k, qkv, random.normal(y_elements(k)), DType::fp32);
    for (const double v : gradient) EXPECT_TRUE(std::isfinite(v));
}

TEST(AttentionKernel, AWrongMaskFails) {
    Random random;
    SCOPED_TRACE(random.trace());
    const Attention k{1, 20, 1, 1, 8, AttentionKind::flash};
    Values qkv = random.normal(qkv_elements(k));
    const Values y = run_attention(k, qkv)[1];
    // The last row's key and value are seen by the last query alone.
    qkv[qkv.size() - 1] += 1e-3;
    Values moved = run_attention(k, qkv)[1];
    EXPECT_FALSE(close(moved, y, 1e-13));
    std::copy(y.end() - k.head_dim, y.end(), moved.end() - k.head_dim);
    EXPECT_TRUE(close(moved, y, 0));
}

}  // namespace
}  // namespace shardscope::test
