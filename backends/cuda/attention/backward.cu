// Causal attention on tensor cores, backward, from the log-sum-exp that forward saved. With p the
// probabilities, dp = dy·vᵀ and ds = p ⊙ (dp − Σ dy·y): dv = pᵀ·dy, dk = scale · dsᵀ·q, dq = scale · ds·k
// (Dao, FlashAttention-2, 2023). Two kernels, each of which makes p and ds again: one block's keys see all
// queries of their group of heads, one block's queries see all keys, so that every gradient is
// summed by one block in one order, and nothing is added atomically.
#include "backends/cuda/attention/own_attention.h"
#include "backends/cuda/attention/tensor_tiles.h"

namespace shardscope::cuda {
namespace {

struct BackwardOperands {
    const Bf16 *dy, *qkv, *y;
    const float* lse;
    // Until dq is written, the first four bytes of each of its heads hold Σ dy·y as fp32.
    Bf16* dqkv;
    PackedHeads heads;
    int tiles;    // of the resident side, per head
    float scale;  // of scores
};

SHARDSCOPE_DEVICE float* dot_place(const BackwardOperands& o, int sample, int head, int query) {
    return reinterpret_cast<float*>(o.dqkv + qkv_offset(o.heads, sample, head) +
                                    query * qkv_stride(o.heads));
}

// Log-sum-exp to base 2 and Σ dy·y of a query. One that does not exist has no probabilities: e^(s − ∞).
SHARDSCOPE_DEVICE float log_sum(const BackwardOperands& o, int sample, int head, int query) {
    if (query >= o.heads.seq) return INFINITY;
    return o.lse[query_offset(o.heads, sample, head) + query] * kLog2e;
}
SHARDSCOPE_DEVICE float dot(const BackwardOperands& o, int sample, int head, int query) {
    return query < o.heads.seq ? *dot_place(o, sample, head, query) : 0.0f;
}

template <int kFragments, int kColumns>
SHARDSCOPE_DEVICE void clear(float (&sums)[kFragments][kColumns][4]) {
#pragma unroll
    for (int f = 0; f < kFragments; ++f)
#pragma unroll
        for (int j = 0; j < kColumns; ++j)
#pragma unroll
            for (int i = 0; i < 4; ++i) sums[f][j][i] = 0.0f;
}

// kDotLanes lanes for each query of each head, in the order of y's rows.
__global__ void __launch_bounds__(kDotThreads) attention_dots(BackwardOperands o) {
    const PackedHeads& h = o.heads;
    const std::int64_t items = std::int64_t{h.samples} * h.seq * h.heads;
    const int lane = thread_index() % kDotLanes;
    const std::int64_t mine =
        std::int64_t{blockIdx.x} * (kDotThreads / kDotLanes) + thread_index() / kDotLanes;
    const std::int64_t item = mine < items ? mine : items - 1;
    float sum = 0.0f;
    for (int chunk = lane; chunk < h.dim / kChunk; chunk += kDotLanes) {
        float dy[kChunk], y[kChunk];
        load(o.dy + item * h.dim + chunk * kChunk, dy);
        load(o.y + item * h.dim + chunk * kChunk, y);
#pragma unroll
        for (int i = 0; i < kChunk; ++i) sum += dy[i] * y[i];
    }
    sum = lanes_reduce(sum, kDotLanes, Plus());
    if (lane == 0 && mine < items)
        *reinterpret_cast<float*>(o.dqkv + item / h.heads * qkv_stride(h) +
                                  item % h.heads * h.dim) = sum;
}

// Scores, keys by queries, become probabilities; dp becomes ds. `numbers`: log-sums, then dots, of the tile.
template <int kFragments, int kQueries>
SHARDSCOPE_DEVICE void key_probabilities(float (&s)[kFragments][kQueries / 8][4],
                                         const float* numbers, float scale_log2, int first_key,
                                         int first_query) {
    const int g = lane_index() / 4, t = lane_index() % 4;
    const bool masks = first_query < first_key + 16 * kFragments;
#pragma unroll
    for (int f = 0; f < kFragments; ++f)
#pragma unroll
        for (int j = 0; j < kQueries / 8; ++j)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int query = 8 * j + 2 * t + i % 2;
                const int key = first_key + 16 * f + g + 8 * (i / 2);
                const float p = exp2f(s[f][j][i] * scale_log2 - numbers[query]);
                s[f][j][i] = masks && key > first_query + query ? 0.0f : p;
            }
}

template <int kFragments, int kQueries>
SHARDSCOPE_DEVICE void key_score_gradients(float (&dp)[kFragments][kQueries / 8][4],
                                           const float (&p)[kFragments][kQueries / 8][4],
                                           const float* dots) {
    const int t = lane_index() % 4;
#pragma unroll
    for (int f = 0; f < kFragments; ++f)
#pragma unroll
        for (int j = 0; j < kQueries / 8; ++j)
#pragma unroll
            for (int i = 0; i < 4; ++i)
                dp[f][j][i] = p[f][j][i] * (dp[f][j][i] - dots[8 * j + 2 * t + i % 2]);
}

// dk and dv of a tile of keys.
template <int kHead, int kWarps, int kFragments, int kQueries>
__global__ void __launch_bounds__(kWarps* kWarp) attention_key_grad(BackwardOperands o) {
    constexpr int kThreads = kWarps * kWarp, kKeys = kWarps * kFragments * 16;
    static_assert(2 * kQueries <= kThreads);
    const PackedHeads& h = o.heads;
    const int first_key = static_cast<int>(blockIdx.x) % o.tiles * kKeys;
    const int at = static_cast<int>(blockIdx.x) / o.tiles, kv = at % h.kv_heads;
    const int sample = at / h.kv_heads, group = h.heads / h.kv_heads;
    const std::int64_t stride = qkv_stride(h);

    auto* keys = dynamic_shared<Bf16>();
    Bf16* values = keys + kKeys * kHead;
    Bf16* queries = values + kKeys * kHead;                                      // two tiles
    Bf16* dys = queries + kStages * kQueries * kHead;                            // two tiles
    auto* numbers = reinterpret_cast<float*>(dys + kStages * kQueries * kHead);  // two pairs

    const int first_tile = first_key / kQueries;
    const int query_tiles = tiles_of(h.seq, kQueries) - first_tile;
    const int steps = group * query_tiles;
    const auto head_at = [&](int step) { return kv * group + step / query_tiles; };
    const auto query_at = [&](int step) { return (first_tile + step % query_tiles) * kQueries; };
    const auto copy = [&](int step) {
        const int head = head_at(step), stage = step % kStages * kQueries * kHead;
        copy_tile<kQueries, kHead, kThreads>(queries + stage, o.qkv + qkv_offset(h, sample, head),
                                             stride, query_at(step), h.seq, h.dim);
        copy_tile<kQueries, kHead, kThreads>(dys + stage, o.dy + y_offset(h, sample, head),
                                             y_stride(h), query_at(step), h.seq, h.dim);
    };
    const int thread = thread_index();
    const auto number = [&](int step) {  // this thread's of a step
        const int query = query_at(step) + thread % kQueries;
        if (thread < kQueries) return log_sum(o, sample, head_at(step), query);
        return thread < 2 * kQueries ? dot(o, sample, head_at(step), query) : 0.0f;
    };
    const auto keep = [&](int step, float value) {
        if (thread < 2 * kQueries) numbers[step % kStages * 2 * kQueries + thread] = value;
    };

    copy_tile<kKeys, kHead, kThreads>(keys, o.qkv + qkv_offset(h, sample, h.heads + kv), stride,
                                      first_key, h.seq, h.dim);
    copy_tile<kKeys, kHead, kThreads>(values,
                                      o.qkv + qkv_offset(h, sample, h.heads + h.kv_heads + kv),
                                      stride, first_key, h.seq, h.dim);
    copy(0);
    commit_copies();
    keep(0, number(0));

    const int row = thread / kWarp * kFragments * 16;  // of the warp, in the tile
    float dk[kFragments][kHead / 8][4], dv[kFragments][kHead / 8][4];
    clear(dk);
    clear(dv);
    for (int step = 0; step < steps; ++step) {
        float next = 0.0f;
        if (step + 1 < steps) {
            copy(step + 1);
            next = number(step + 1);
        }
        commit_copies();
        wait_copies<1>();
        __syncthreads();
        const int stage = step % kStages, first_query = query_at(step);
        if (first_query + kQueries > first_key + row) {  // else none of them sees the warp's keys
            const float* of_queries = numbers + stage * 2 * kQueries;
            const Bf16* q = queries + stage * kQueries * kHead;
            const Bf16* dy = dys + stage * kQueries * kHead;
            float p[kFragments][kQueries / 8][4], ds[kFragments][kQueries / 8][4];
            multiply_rows<kHead, kFragments, kQueries>(p, keys, row, q);
            key_probabilities<kFragments, kQueries>(p, of_queries, o.scale * kLog2e,
                                                    first_key + row, first_query);
            multiply_values<kHead, kFragments, kQueries>(dv, p, dy);
            multiply_rows<kHead, kFragments, kQueries>(ds, values, row, dy);
            key_score_gradients<kFragments, kQueries>(ds, p, of_queries + kQueries);
            multiply_values<kHead, kFragments, kQueries>(dk, ds, q);
        }
        keep(step + 1, next);
        __syncthreads();  // before the next copies replace this stage
    }
#pragma unroll
    for (int f = 0; f < kFragments; ++f) {
        const int key = first_key + row + 16 * f;
        store_rows<kHead>(o.dqkv + qkv_offset(h, sample, h.heads + kv), stride, key, h.seq, h.dim,
                          dk[f], o.scale, o.scale);
        store_rows<kHead>(o.dqkv + qkv_offset(h, sample, h.heads + h.kv_heads + kv), stride, key,
                          h.seq, h.dim, dv[f], 1.0f, 1.0f);
    }
}

// Scores, queries by keys, and dp become ds, in place of dp.
template <int kFragments, int kKeys>
SHARDSCOPE_DEVICE void query_score_gradients(float (&dp)[kFragments][kKeys / 8][4],
                                             const float (&s)[kFragments][kKeys / 8][4],
                                             const float (&logs)[kFragments][2],
                                             const float (&dots)[kFragments][2], float scale_log2,
                                             int first_query, int first_key) {
    const int g = lane_index() / 4, t = lane_index() % 4;
    const bool masks = first_key + kKeys > first_query;
#pragma unroll
    for (int f = 0; f < kFragments; ++f)
#pragma unroll
        for (int j = 0; j < kKeys / 8; ++j)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int query = first_query + 16 * f + g + 8 * (i / 2);
                const bool hidden = masks && first_key + 8 * j + 2 * t + i % 2 > query;
                const float p = exp2f(s[f][j][i] * scale_log2 - logs[f][i / 2]);
                dp[f][j][i] = hidden ? 0.0f : p * (dp[f][j][i] - dots[f][i / 2]);
            }
}

// dq of a tile of queries.
template <int kHead, int kWarps, int kFragments, int kKeys>
__global__ void __launch_bounds__(kWarps* kWarp) attention_query_grad(BackwardOperands o) {
    constexpr int kThreads = kWarps * kWarp, kQueries = kWarps * kFragments * 16;
    const PackedHeads& h = o.heads;
    const int first_query = (o.tiles - 1 - static_cast<int>(blockIdx.x) % o.tiles) * kQueries;
    const int at = static_cast<int>(blockIdx.x) / o.tiles, head = at % h.heads;
    const int sample = at / h.heads, kv = head / (h.heads / h.kv_heads);
    const std::int64_t stride = qkv_stride(h);
    const Bf16* k = o.qkv + qkv_offset(h, sample, h.heads + kv);
    const Bf16* v = o.qkv + qkv_offset(h, sample, h.heads + h.kv_heads + kv);

    auto* queries = dynamic_shared<Bf16>();
    Bf16* dys = queries + kQueries * kHead;
    Bf16* keys = dys + kQueries * kHead;            // two tiles
    Bf16* values = keys + kStages * kKeys * kHead;  // two tiles
    const auto copy = [&](int tile) {
        const int stage = tile % kStages * kKeys * kHead;
        copy_tile<kKeys, kHead, kThreads>(keys + stage, k, stride, tile * kKeys, h.seq, h.dim);
        copy_tile<kKeys, kHead, kThreads>(values + stage, v, stride, tile * kKeys, h.seq, h.dim);
    };

    copy_tile<kQueries, kHead, kThreads>(queries, o.qkv + qkv_offset(h, sample, head), stride,
                                         first_query, h.seq, h.dim);
    copy_tile<kQueries, kHead, kThreads>(dys, o.dy + y_offset(h, sample, head), y_stride(h),
                                         first_query, h.seq, h.dim);
    copy(0);
    commit_copies();

    const int row = thread_index() / kWarp * kFragments * 16;  // of the warp, in the tile
    float logs[kFragments][2], dots[kFragments][2], dq[kFragments][kHead / 8][4];
    clear(dq);
#pragma unroll
    for (int f = 0; f < kFragments; ++f)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int query = first_query + row + 16 * f + lane_index() / 4 + 8 * half;
            logs[f][half] = log_sum(o, sample, head, query);
            dots[f][half] = dot(o, sample, head, query);
        }

    const int end = first_query + kQueries < h.seq ? first_query + kQueries : h.seq;
    const int key_tiles = tiles_of(end, kKeys);
    for (int tile = 0; tile < key_tiles; ++tile) {
        if (tile + 1 < key_tiles) copy(tile + 1);
        commit_copies();
        wait_copies<1>();
        __syncthreads();
        const int stage = tile % kStages * kKeys * kHead, first_key = tile * kKeys;
        if (first_key <
            first_query + row + 16 * kFragments) {  // else all of its keys come too late
            float s[kFragments][kKeys / 8][4], ds[kFragments][kKeys / 8][4];
            multiply_rows<kHead, kFragments, kKeys>(s, queries, row, keys + stage);
            multiply_rows<kHead, kFragments, kKeys>(ds, dys, row, values + stage);
            query_score_gradients<kFragments, kKeys>(ds, s, logs, dots, o.scale * kLog2e,
                                                     first_query + row, first_key);
            multiply_values<kHead, kFragments, kKeys>(dq, ds, keys + stage);
        }
        __syncthreads();  // before the next copies replace this stage
    }
#pragma unroll
    for (int f = 0; f < kFragments; ++f)
        store_rows<kHead>(o.dqkv + qkv_offset(h, sample, head), stride, first_query + row + 16 * f,
                          h.seq, h.dim, dq[f], o.scale, o.scale);
}

}  // namespace

void tensor_backward(const AttentionGrad& kernel, AttentionTiles tiles, const Bf16* dy,
                     const Bf16* qkv, const Bf16* y, const float* lse, Bf16* dqkv,
                     const LaunchContext& context) {
    BackwardOperands operands{dy, qkv, y, lse, dqkv, packed_heads(kernel), 0, 0.0f};
    const PackedHeads& heads = operands.heads;
    operands.scale = score_scale(heads);
    const auto start = [&](const char* name, auto* start_kernel, const Geometry& g,
                           const TensorTile& tile) {
        operands.tiles = tiles_of(heads.seq, tile.rows());
        allow_shared(name, start_kernel, g);
        launch(name, start_kernel, g, context, operands);
    };
    launch("attention_dots", attention_dots, dot_geometry(heads), context, operands);
    const Geometry keys = key_grad_geometry(heads, tiles);
    const Geometry queries = query_grad_geometry(heads, tiles);
    if (tiles == AttentionTiles::tensor64) {
        constexpr TensorTile k = kKeyGrad64, q = kQueryGrad64;
        start("attention_key_grad", attention_key_grad<k.head, k.warps, k.fragments, k.streamed>,
              keys, k);
        start("attention_query_grad",
              attention_query_grad<q.head, q.warps, q.fragments, q.streamed>, queries, q);
    } else {
        constexpr TensorTile k = kKeyGrad128, q = kQueryGrad128;
        start("attention_key_grad", attention_key_grad<k.head, k.warps, k.fragments, k.streamed>,
              keys, k);
        start("attention_query_grad",
              attention_query_grad<q.head, q.warps, q.fragments, q.streamed>, queries, q);
    }
}

}  // namespace shardscope::cuda
