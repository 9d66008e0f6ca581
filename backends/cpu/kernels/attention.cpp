// Causal attention by blocks of queries. Flash keeps the scores of one block in the workspace and
// saves log-sum-exp; the backward pass makes the probabilities again from it (Dao et al.,
// FlashAttention, 2022). The unfused kind keeps all probabilities in the statistics instead.
#include <algorithm>
#include <stdexcept>

#include "backends/cpu/kernels/gemm.h"
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu {
namespace {

// The shape that forward and backward share, and where a head lies in the rows of qkv and y.
struct Heads {
    std::int64_t samples, seq, heads, kv_heads, dim;
    bool flash;

    template <class Kernel>
    explicit Heads(const Kernel& k)
        : samples(k.samples),
          seq(k.seq),
          heads(k.heads),
          kv_heads(k.kv_heads),
          dim(k.head_dim),
          flash(k.kind == AttentionKind::flash) {}

    std::int64_t qkv_stride() const { return (heads + 2 * kv_heads) * dim; }
    std::int64_t y_stride() const { return heads * dim; }
    std::int64_t group() const { return heads / kv_heads; }
    std::int64_t q(std::int64_t sample, std::int64_t head) const {
        return sample * seq * qkv_stride() + head * dim;
    }
    std::int64_t k(std::int64_t sample, std::int64_t head) const {
        return q(sample, heads + head / group());
    }
    std::int64_t v(std::int64_t sample, std::int64_t head) const {
        return q(sample, heads + kv_heads + head / group());
    }
    std::int64_t y(std::int64_t sample, std::int64_t head) const {
        return sample * seq * y_stride() + head * dim;
    }
    // Queries before `head`'s first, in stats.
    std::int64_t queries(std::int64_t sample, std::int64_t head) const {
        return (sample * heads + head) * seq;
    }
    template <class T>
    T scale() const {
        return static_cast<T>(1.0 / std::sqrt(static_cast<double>(dim)));
    }
};

// Queries first … first + count − 1; they see the keys before `keys`.
struct Block {
    std::int64_t first, count, keys;
};
Block block_at(const Heads& h, std::int64_t first) {
    const std::int64_t end = std::min(h.seq, first + kAttentionQueryBlock);
    return {first, end - first, end};
}

// Keys that a row of scores is worked on for: those the query sees, up to a multiple of kLanes,
// because whole registers are faster than a remainder. The scores of the keys after the query are
// finite numbers that mask() replaces.
std::int64_t padded(std::int64_t visible, std::int64_t keys) {
    return std::min(keys, (visible + kLanes - 1) / kLanes * kLanes);
}
template <class T>
SHARDSCOPE_INLINE void mask(T* row, std::int64_t visible, std::int64_t end, T value) {
    for (std::int64_t i = visible; i < end; ++i) row[i] = value;
}

// Scores to probabilities, zero for keys after the query up to `width`; `lse` (null: not wanted)
// receives log Σ exp(score).
template <class T>
SHARDSCOPE_CLONES void softmax(Block block, T* scores, std::int64_t stride, std::int64_t width,
                               T* lse) {
    for (std::int64_t r = 0; r < block.count; ++r) {
        T* row = scores + r * stride;
        const std::int64_t visible = block.first + r + 1, end = padded(visible, block.keys);
        mask(row, visible, end, row[0]);
        const T largest = lane_max(row, end);
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < end; ++i) row[i] = exponential(row[i] - largest);
        mask(row, visible, width, T(0));
        const T sum = lane_sum<T>(end, [row](std::int64_t i) { return row[i]; });
        const T factor = T(1) / sum;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < end; ++i) row[i] *= factor;
        if (lse) lse[block.first + r] = largest + std::log(sum);
    }
}

// Scores to probabilities with the log-sum-exp that forward saved.
template <class T>
SHARDSCOPE_CLONES void probabilities(Block block, const T* lse, T* scores, std::int64_t stride) {
    for (std::int64_t r = 0; r < block.count; ++r) {
        T* row = scores + r * stride;
        const std::int64_t visible = block.first + r + 1, end = padded(visible, block.keys);
        const T by = lse[block.first + r];
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < end; ++i) row[i] = exponential(row[i] - by);
        mask(row, visible, block.keys, T(0));
    }
}

// dscores = p ⊙ (dp − Σ dy·y), in place of dp; masked keys have p = 0. dy and y point to the
// block's first row of the head.
template <class T>
SHARDSCOPE_CLONES void score_gradient(Block block, const Heads& h, const T* dy, const T* y,
                                      const T* p, T* dp, std::int64_t stride) {
    for (std::int64_t r = 0; r < block.count; ++r) {
        const T *dy_row = dy + r * h.y_stride(), *y_row = y + r * h.y_stride();
        const T along =
            lane_sum<T>(h.dim, [dy_row, y_row](std::int64_t i) { return dy_row[i] * y_row[i]; });
        const T* p_row = p + r * stride;
        T* row = dp + r * stride;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < block.keys; ++i) row[i] = p_row[i] * (row[i] - along);
    }
}

// scores = scale · q·kᵀ of a block.
template <class T>
void score(const Heads& h, Block block, const T* q, const T* k, T* scores) {
    const std::int64_t stride = h.qkv_stride();
    gemm<T>(block.count, block.keys, h.dim, h.scale<T>(), {q + block.first * stride, stride},
            {k, stride, true}, T(0), scores, h.seq);
}

template <class T>
struct Forward {
    const T* qkv;
    T *y, *stats, *workspace;

    void head(const Heads& h, std::int64_t sample, std::int64_t head) const {
        const std::int64_t stride = h.qkv_stride(), queries = h.queries(sample, head);
        T* out = y + h.y(sample, head);
        for (std::int64_t first = 0; first < h.seq; first += kAttentionQueryBlock) {
            const Block block = block_at(h, first);
            T* p = h.flash ? workspace : stats + (queries + first) * h.seq;
            score(h, block, qkv + h.q(sample, head), qkv + h.k(sample, head), p);
            softmax(block, p, h.seq, h.flash ? block.keys : h.seq,
                    h.flash ? stats + queries : nullptr);
            gemm<T>(block.count, h.dim, block.keys, T(1), {p, h.seq},
                    {qkv + h.v(sample, head), stride}, T(0), out + first * h.y_stride(),
                    h.y_stride());
        }
    }
};

template <class T>
struct Backward {
    const T *dy, *qkv, *y, *stats;
    T *dqkv, *workspace;

    // Blocks run from the last to the first, so that the first one touched covers every key and
    // can overwrite dk and dv; so does the first head of a group of query heads.
    void head(const Heads& h, std::int64_t sample, std::int64_t head) const {
        const std::int64_t last = (h.seq - 1) / kAttentionQueryBlock * kAttentionQueryBlock;
        for (std::int64_t first = last; first >= 0; first -= kAttentionQueryBlock)
            one_block(h, block_at(h, first), sample, head, head % h.group() == 0 && first == last);
    }

    void one_block(const Heads& h, Block block, std::int64_t sample, std::int64_t head,
                   bool overwrite) const {
        const std::int64_t stride = h.qkv_stride(), rows = block.first * h.y_stride();
        const std::int64_t q = h.q(sample, head) + block.first * stride;
        const std::int64_t k = h.k(sample, head), v = h.v(sample, head);
        const T* dout = dy + h.y(sample, head) + rows;
        const T beta = overwrite ? T(0) : T(1);
        T* dp = h.flash ? workspace + block.count * h.seq : workspace;
        const T* p = block_probabilities(h, block, sample, head);
        gemm<T>(block.keys, h.dim, block.count, T(1), {p, h.seq, true}, {dout, h.y_stride()}, beta,
                dqkv + v, stride);
        gemm<T>(block.count, block.keys, h.dim, T(1), {dout, h.y_stride()}, {qkv + v, stride, true},
                T(0), dp, h.seq);
        score_gradient(block, h, dout, y + h.y(sample, head) + rows, p, dp, h.seq);
        gemm<T>(block.count, h.dim, block.keys, h.scale<T>(), {dp, h.seq}, {qkv + k, stride}, T(0),
                dqkv + q, stride);
        gemm<T>(block.keys, h.dim, block.count, h.scale<T>(), {dp, h.seq, true}, {qkv + q, stride},
                beta, dqkv + k, stride);
    }

    const T* block_probabilities(const Heads& h, Block block, std::int64_t sample,
                                 std::int64_t head) const {
        const std::int64_t queries = h.queries(sample, head);
        if (!h.flash) return stats + (queries + block.first) * h.seq;
        score(h, block, qkv + h.q(sample, head), qkv + h.k(sample, head), workspace);
        probabilities(block, stats + queries, workspace, h.seq);
        return workspace;
    }
};

template <class Kernel, class Pass>
void for_each_head(const Kernel& kernel, const void* workspace, const Pass& pass) {
    if (!workspace && attention_workspace_elements(kernel) > 0)
        throw std::logic_error("attention was lowered without its workspace");
    const Heads h(kernel);
    for (std::int64_t sample = 0; sample < h.samples; ++sample)
        for (std::int64_t head = 0; head < h.heads; ++head) pass.head(h, sample, head);
}

}  // namespace

template <class T>
void run(const Attention& k, const Addresses& at) {
    for_each_head(k, at[3],
                  Forward<T>{as<const T>(at[0]), as<T>(at[1]), as<T>(at[2]), as<T>(at[3])});
}

template <class T>
void run(const AttentionGrad& k, const Addresses& at) {
    for_each_head(k, at[5],
                  Backward<T>{as<const T>(at[0]), as<const T>(at[1]), as<const T>(at[2]),
                              as<const T>(at[3]), as<T>(at[4]), as<T>(at[5])});
}

SHARDSCOPE_INSTANTIATE(Attention);
SHARDSCOPE_INSTANTIATE(AttentionGrad);

}  // namespace shardscope::cpu
