// Causal attention by blocks of queries. Flash keeps the scores of one block in the workspace and
// saves log-sum-exp; the backward pass makes the probabilities again from it (Dao et al.,
// FlashAttention, 2022). The unfused kind keeps all probabilities in the statistics instead.
//
// bf16: scores and probabilities of flash stay in fp32 until they are operands of a multiply; those of
// the unfused kind are stored in bf16, scores as well, as a GPU without fusion does.
#include <algorithm>
#include <limits>
#include <stdexcept>
#include <vector>

#include "backends/cpu/kernels/gemm_tiles.h"
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/softmax_row.h"

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

// Queries first … first + count − 1 and `keys` keys from first_key on.
struct Block {
    std::int64_t first, count, first_key, keys;
    // How many of the keys the block's query `r` sees.
    std::int64_t visible(std::int64_t r) const {
        return std::clamp<std::int64_t>(first + r + 1 - first_key, 0, keys);
    }
};
// With those of the keys first_key … last_key − 1 that the queries see.
Block block_at(const Heads& h, std::int64_t first, std::int64_t first_key, std::int64_t last_key) {
    const std::int64_t end = std::min(h.seq, first + kAttentionQueryBlock);
    return {first, end - first, first_key, std::min(end, last_key) - first_key};
}
Block block_at(const Heads& h, std::int64_t first) { return block_at(h, first, 0, h.seq); }

// Keys that a row of scores is worked on for: those the query sees, up to a multiple of kLanes,
// because whole registers are faster than a remainder.
std::int64_t padded(std::int64_t visible, std::int64_t keys) {
    return std::min(keys, (visible + kLanes - 1) / kLanes * kLanes);
}
template <class P>
SHARDSCOPE_INLINE void mask(P* row, std::int64_t visible, std::int64_t end, P value) {
    for (std::int64_t i = visible; i < end; ++i) row[i] = value;
}

// Scores to probabilities, zero for keys after the query up to `width`; `lse` (null: not wanted)
// receives log Σ exp(score).
template <class P>
SHARDSCOPE_CLONES void softmax(Block block, P* scores, std::int64_t stride, std::int64_t width,
                               Real<P>* lse) {
    using R = Real<P>;
    for (std::int64_t r = 0; r < block.count; ++r) {
        P* row = scores + r * stride;
        const std::int64_t visible = block.visible(r), end = padded(visible, block.keys);
        mask(row, visible, end, P(-std::numeric_limits<R>::infinity()));
        const R largest = lane_max(row, end);
        const R sum = sum_exponentials(row, end, largest);
        scale_exponentials(row, end, largest, R(1) / sum);
        mask(row, visible, width, P(0));
        if (lse) lse[block.first + r] = largest + std::log(sum);
    }
}

// Scores to probabilities with the log-sum-exp that forward saved.
template <class R>
SHARDSCOPE_CLONES void probabilities(Block block, const R* lse, R* scores, std::int64_t stride) {
    for (std::int64_t r = 0; r < block.count; ++r) {
        R* row = scores + r * stride;
        const std::int64_t visible = block.visible(r), end = padded(visible, block.keys);
        const R by = lse[block.first + r];
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < end; ++i) row[i] = exponential(row[i] - by);
        mask(row, visible, block.keys, R(0));
    }
}

// dscores = p ⊙ (dp − Σ dy·y), in place of dp; masked keys have p = 0. dy and y point to the
// block's first row of the head.
template <class T, class P, class R>
SHARDSCOPE_CLONES void score_gradient(Block block, const Heads& h, const T* dy, const T* y,
                                      const P* p, R* dp, std::int64_t stride) {
    for (std::int64_t r = 0; r < block.count; ++r) {
        const T *dy_row = dy + r * h.y_stride(), *y_row = y + r * h.y_stride();
        const R along =
            lane_sum<R>(h.dim, [dy_row, y_row](std::int64_t i) { return dy_row[i] * y_row[i]; });
        const P* p_row = p + r * stride;
        R* row = dp + r * stride;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < block.keys; ++i) row[i] = p_row[i] * (row[i] - along);
    }
}

// scores = scale · q·kᵀ of a block.
template <class T, class P>
void score(const Heads& h, Block block, const T* q, const T* k, P* scores) {
    const std::int64_t stride = h.qkv_stride();
    multiply(block.count, block.keys, h.dim, h.scale<Real<P>>(),
             Matrix<T>{q + block.first * stride, stride},
             Matrix<T>{k + block.first_key * stride, stride, true}, false, scores, h.seq);
}

template <class T>
struct Forward {
    using R = Real<T>;
    const T* qkv;
    T* y;
    std::byte* stats;
    R* workspace;

    void head(const Heads& h, std::int64_t sample, std::int64_t head) const {
        const std::int64_t queries = h.queries(sample, head);
        for (std::int64_t first = 0; first < h.seq; first += kAttentionQueryBlock) {
            const Block block = block_at(h, first);
            if (h.flash)
                one_block(h, block, sample, head, workspace, block.keys, as<R>(stats) + queries);
            else
                one_block<T>(h, block, sample, head, as<T>(stats) + (queries + first) * h.seq,
                             h.seq, nullptr);
        }
    }

    template <class P>
    void one_block(const Heads& h, Block block, std::int64_t sample, std::int64_t head, P* p,
                   std::int64_t width, R* lse) const {
        T* out = y + h.y(sample, head) + block.first * h.y_stride();
        score(h, block, qkv + h.q(sample, head), qkv + h.k(sample, head), p);
        softmax(block, p, h.seq, width, lse);
        multiply(block.count, h.dim, block.keys, R(1), Matrix<P>{p, h.seq},
                 Matrix<T>{qkv + h.v(sample, head), h.qkv_stride()}, false, out, h.y_stride());
    }
};

// Where a block adds its keys' and values' gradients: at the first key of the block.
template <class Sum>
struct KeyGradients {
    Sum *k, *v;  // null: not wanted
    std::int64_t stride;
    bool accumulate;
};

// The kinds differ in where the probabilities are: P is their type.
template <class T>
struct Backward {
    using R = Real<T>;
    const T *dy, *qkv, *y;
    std::byte* stats;
    T* dqkv;
    R* workspace;

    void head(const Heads& h, std::int64_t sample, std::int64_t head) const {
        if constexpr (kStoresExactly<T>)
            add_head(h, sample, head);
        else if (head % h.group() == 0)
            add_group(h, sample, head);
    }

    // Blocks run from the last to the first, so that the first one touched covers every key and
    // can overwrite dk and dv; so does the first head of a group of query heads.
    void add_head(const Heads& h, std::int64_t sample, std::int64_t head) const {
        const std::int64_t last = (h.seq - 1) / kAttentionQueryBlock * kAttentionQueryBlock;
        for (std::int64_t first = last; first >= 0; first -= kAttentionQueryBlock) {
            const bool overwrite = head % h.group() == 0 && first == last;
            const KeyGradients<T> to{dqkv + h.k(sample, head), dqkv + h.v(sample, head),
                                     h.qkv_stride(), !overwrite};
            one_block(h, block_at(h, first), sample, head, true, to);
        }
    }

    // All query heads that share the keys of `head`, for storage that would round every sum: dk and
    // dv of a range of keys are summed in scratch memory. Where one range holds all keys dq comes
    // with it; else dq, a sum over all keys, is made on its own from scores made once more.
    void add_group(const Heads& h, std::int64_t sample, std::int64_t head) const {
        constexpr std::int64_t kElements = 1 << 15;  // 128 KiB
        const std::int64_t blocks = kElements / (2 * h.dim * kAttentionQueryBlock);
        const std::int64_t range =
            std::min(h.seq, std::max<std::int64_t>(blocks, 1) * kAttentionQueryBlock);
        thread_local std::vector<R> kept;
        kept.resize(std::max(kept.size(), static_cast<std::size_t>(2 * range * h.dim)));
        const bool whole = range >= h.seq;
        for (std::int64_t key = 0; key < h.seq; key += range) {
            std::fill(kept.begin(), kept.end(), R(0));
            const KeyGradients<R> sums{kept.data(), kept.data() + range * h.dim, h.dim, true};
            for_each_block(h, head, key, [&](std::int64_t query_head, std::int64_t first) {
                one_block(h, block_at(h, first, key, key + range), sample, query_head, whole, sums);
            });
            const std::int64_t keys = std::min(range, h.seq - key);
            store(h, sums.k, keys, dqkv + h.k(sample, head) + key * h.qkv_stride());
            store(h, sums.v, keys, dqkv + h.v(sample, head) + key * h.qkv_stride());
        }
        if (whole) return;
        for_each_block(h, head, 0, [&](std::int64_t query_head, std::int64_t first) {
            one_block(h, block_at(h, first), sample, query_head, true, KeyGradients<R>{});
        });
    }

    template <class Use>
    static void for_each_block(const Heads& h, std::int64_t head, std::int64_t first_query,
                               const Use& use) {
        for (std::int64_t i = 0; i < h.group(); ++i)
            for (std::int64_t first = first_query; first < h.seq; first += kAttentionQueryBlock)
                use(head + i, first);
    }

    static void store(const Heads& h, const R* sums, std::int64_t keys, T* to) {
        for (std::int64_t key = 0; key < keys; ++key)
            std::copy_n(sums + key * h.dim, h.dim, to + key * h.qkv_stride());
    }

    template <class Sum>
    void one_block(const Heads& h, Block block, std::int64_t sample, std::int64_t head,
                   bool wants_q, const KeyGradients<Sum>& to) const {
        const std::int64_t queries = h.queries(sample, head);
        if (h.flash) {
            score(h, block, qkv + h.q(sample, head), qkv + h.k(sample, head), workspace);
            probabilities(block, as<const R>(stats) + queries, workspace, h.seq);
            gradients<R>(h, block, sample, head, workspace, workspace + block.count * h.seq,
                         wants_q, to);
        } else {
            const T* p = as<const T>(stats) + (queries + block.first) * h.seq + block.first_key;
            gradients<T>(h, block, sample, head, p, workspace, wants_q, to);
        }
    }

    // From the probabilities `p`; `dp` is as large and only used here.
    template <class P, class Sum>
    void gradients(const Heads& h, Block block, std::int64_t sample, std::int64_t head, const P* p,
                   R* dp, bool wants_q, const KeyGradients<Sum>& to) const {
        const std::int64_t stride = h.qkv_stride(), rows = block.first * h.y_stride();
        const std::int64_t q = h.q(sample, head) + block.first * stride;
        const Matrix<T> keys{qkv + h.k(sample, head) + block.first_key * stride, stride};
        const Matrix<T> values{qkv + h.v(sample, head) + block.first_key * stride, stride, true};
        const Matrix<T> dout{dy + h.y(sample, head) + rows, h.y_stride()};
        if (to.v)
            multiply(block.keys, h.dim, block.count, R(1), Matrix<P>{p, h.seq, true}, dout,
                     to.accumulate, to.v, to.stride);
        multiply(block.count, block.keys, h.dim, R(1), dout, values, false, dp, h.seq);
        score_gradient(block, h, dout.data, y + h.y(sample, head) + rows, p, dp, h.seq);
        if (wants_q)
            multiply(block.count, h.dim, block.keys, h.scale<R>(), Matrix<R>{dp, h.seq}, keys,
                     false, dqkv + q, stride);
        if (to.k)
            multiply(block.keys, h.dim, block.count, h.scale<R>(), Matrix<R>{dp, h.seq, true},
                     Matrix<T>{qkv + q, stride}, to.accumulate, to.k, to.stride);
    }
};

// Threads share the heads: all query heads of a group of keys are one thread's. Each has a tile of the
// workspace.
template <class Kernel, class Pass>
void for_each_group(const Kernel& kernel, Team& team, const Pass& pass) {
    const std::int64_t workspace = attention_workspace_elements(kernel);
    if (!pass.workspace && workspace > 0)
        throw std::logic_error("attention was lowered without its workspace");
    if (team.threads() > kernel.tiles)
        throw std::logic_error("attention was lowered for fewer threads");
    const Heads h(kernel);
    team.divide(h.samples * h.kv_heads, 1, [&](const Share& share) {
        Pass mine = pass;
        if (workspace > 0) mine.workspace += workspace / kernel.tiles * share.thread;
        const std::int64_t sample = share.first / h.kv_heads;
        const std::int64_t first = share.first % h.kv_heads * h.group();
        for (std::int64_t head = first; head < first + h.group(); ++head)
            mine.head(h, sample, head);
    });
}

}  // namespace

template <class T>
void run(const Attention& k, const Addresses& at, Team& team) {
    for_each_group(k, team,
                   Forward<T>{as<const T>(at[0]), as<T>(at[1]), at[2], as<Real<T>>(at[3])});
}

template <class T>
void run(const AttentionGrad& k, const Addresses& at, Team& team) {
    for_each_group(k, team,
                   Backward<T>{as<const T>(at[0]), as<const T>(at[1]), as<const T>(at[2]), at[3],
                               as<T>(at[4]), as<Real<T>>(at[5])});
}

SHARDSCOPE_INSTANTIATE(Attention);
SHARDSCOPE_INSTANTIATE(AttentionGrad);

}  // namespace shardscope::cpu
