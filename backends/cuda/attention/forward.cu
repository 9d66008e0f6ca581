// Causal attention on tensor cores, forward: a block holds a tile of queries and loops over the keys they
// see; the scores live in registers, and the running maximum and sum of each query make the softmax
// (Dao, FlashAttention-2, 2023).
#include "backends/cuda/attention/own_attention.h"
#include "backends/cuda/attention/tensor_tiles.h"

namespace shardscope::cuda {
namespace {

struct ForwardOperands {
    const Bf16* qkv;
    Bf16* y;
    float* lse;
    PackedHeads heads;
    int tiles;    // of queries, per head
    float scale;  // of scores
};

// Of a warp's queries: `sum` only of the keys that this lane holds.
template <int kFragments>
struct RunningSoftmax {
    float largest[kFragments][2], sum[kFragments][2];
};

// Scores become exponentials, and the sums so far are scaled to the new maximum. `first_query` is that of
// the warp; keys after a query, or from seq on, do not count where `masks`.
template <int kFragments, int kKeys, int kHead>
SHARDSCOPE_DEVICE void update_softmax(RunningSoftmax<kFragments>& state,
                                      float (&s)[kFragments][kKeys / 8][4],
                                      float (&out)[kFragments][kHead / 8][4], float scale_log2,
                                      int first_query, int first_key, bool masks) {
    const int g = lane_index() / 4, t = lane_index() % 4;
#pragma unroll
    for (int f = 0; f < kFragments; ++f)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int last = first_query + 16 * f + g + 8 * half - first_key;  // key it sees
            float largest = state.largest[f][half];
#pragma unroll
            for (int j = 0; j < kKeys / 8; ++j)
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    float& score = s[f][j][2 * half + i];
                    if (masks && 8 * j + 2 * t + i > last) score = -INFINITY;
                    largest = score > largest ? score : largest;
                }
            largest = lanes_reduce(largest, 4, Larger());
            // Every query sees key 0, which is in the first tile: `largest` is finite.
            const float shrink = exp2f((state.largest[f][half] - largest) * scale_log2);
            state.largest[f][half] = largest;
            const float offset = largest * scale_log2;
            float sum = 0.0f;
#pragma unroll
            for (int j = 0; j < kKeys / 8; ++j)
#pragma unroll
                for (int i = 0; i < 2; ++i) {
                    float& score = s[f][j][2 * half + i];
                    score = exp2f(score * scale_log2 - offset);
                    sum += score;
                }
            state.sum[f][half] = state.sum[f][half] * shrink + sum;
#pragma unroll
            for (int j = 0; j < kHead / 8; ++j)
#pragma unroll
                for (int i = 0; i < 2; ++i) out[f][j][2 * half + i] *= shrink;
        }
}

template <int kHead, int kFragments>
SHARDSCOPE_DEVICE void store_result(const ForwardOperands& o, int sample, int head, int first_query,
                                    const RunningSoftmax<kFragments>& state,
                                    const float (&out)[kFragments][kHead / 8][4]) {
    const PackedHeads& h = o.heads;
    const int g = lane_index() / 4, t = lane_index() % 4;
#pragma unroll
    for (int f = 0; f < kFragments; ++f) {
        float inverse[2];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float sum = lanes_reduce(state.sum[f][half], 4, Plus());
            inverse[half] = 1.0f / sum;
            const int query = first_query + 16 * f + g + 8 * half;
            if (t == 0 && query < h.seq)
                o.lse[query_offset(h, sample, head) + query] =
                    state.largest[f][half] * o.scale + logf(sum);
        }
        store_rows<kHead>(o.y + y_offset(h, sample, head), y_stride(h), first_query + 16 * f, h.seq,
                          h.dim, out[f], inverse[0], inverse[1]);
    }
}

template <int kHead, int kWarps, int kFragments, int kKeys>
__global__ void __launch_bounds__(kWarps* kWarp) attention_forward(ForwardOperands o) {
    constexpr int kThreads = kWarps * kWarp, kQueries = kWarps * kFragments * 16;
    const PackedHeads& h = o.heads;
    const int tile = o.tiles - 1 - static_cast<int>(blockIdx.x) % o.tiles;
    const int at = static_cast<int>(blockIdx.x) / o.tiles, head = at % h.heads;
    const int sample = at / h.heads, kv = head / (h.heads / h.kv_heads);
    const Bf16* q = o.qkv + qkv_offset(h, sample, head);
    const Bf16* k = o.qkv + qkv_offset(h, sample, h.heads + kv);
    const Bf16* v = o.qkv + qkv_offset(h, sample, h.heads + h.kv_heads + kv);
    const std::int64_t stride = qkv_stride(h);

    auto* queries = dynamic_shared<Bf16>();
    Bf16* keys = queries + kQueries * kHead;  // two tiles
    Bf16* values = keys + 2 * kKeys * kHead;  // two tiles

    const int first_query = tile * kQueries;
    const int row = thread_index() / kWarp * kFragments * 16;  // of the warp, in the tile
    const int end = first_query + kQueries < h.seq ? first_query + kQueries : h.seq;
    const int key_tiles = (end + kKeys - 1) / kKeys;

    copy_tile<kQueries, kHead, kThreads>(queries, q, stride, first_query, h.seq, h.dim);
    copy_tile<kKeys, kHead, kThreads>(keys, k, stride, 0, h.seq, h.dim);
    copy_tile<kKeys, kHead, kThreads>(values, v, stride, 0, h.seq, h.dim);
    commit_copies();

    RunningSoftmax<kFragments> state;
    float out[kFragments][kHead / 8][4];
#pragma unroll
    for (int f = 0; f < kFragments; ++f) {
        state.largest[f][0] = state.largest[f][1] = -INFINITY;
        state.sum[f][0] = state.sum[f][1] = 0.0f;
#pragma unroll
        for (int j = 0; j < kHead / 8; ++j)
#pragma unroll
            for (int i = 0; i < 4; ++i) out[f][j][i] = 0.0f;
    }

    for (int tile_of_keys = 0; tile_of_keys < key_tiles; ++tile_of_keys) {
        const int stage = tile_of_keys % 2, first_key = tile_of_keys * kKeys;
        if (tile_of_keys + 1 < key_tiles) {
            const int next = (1 - stage) * kKeys * kHead;
            copy_tile<kKeys, kHead, kThreads>(keys + next, k, stride, first_key + kKeys, h.seq,
                                              h.dim);
            copy_tile<kKeys, kHead, kThreads>(values + next, v, stride, first_key + kKeys, h.seq,
                                              h.dim);
        }
        commit_copies();
        wait_copies<1>();
        __syncthreads();
        const int warp_query = first_query + row;
        if (first_key < warp_query + 16 * kFragments) {  // else all of its keys come too late
            float s[kFragments][kKeys / 8][4];
            multiply_rows<kHead, kFragments, kKeys>(s, queries, row, keys + stage * kKeys * kHead);
            update_softmax<kFragments, kKeys, kHead>(state, s, out, o.scale * kLog2e, warp_query,
                                                     first_key, first_key + kKeys > warp_query);
            multiply_values<kHead, kFragments, kKeys>(out, s, values + stage * kKeys * kHead);
        }
        __syncthreads();  // before the next copies replace this stage
    }
    store_result<kHead, kFragments>(o, sample, head, first_query + row, state, out);
}

}  // namespace

void tensor_forward(const Attention& kernel, AttentionTiles tiles, const Bf16* qkv, Bf16* y,
                    float* lse, const LaunchContext& context) {
    const PackedHeads heads = packed_heads(kernel);
    const auto start = [&](auto* start_kernel, const TensorTile& tile) {
        const Geometry g = forward_geometry(heads, tiles);
        allow_shared("attention_forward", start_kernel, g);
        launch("attention_forward", start_kernel, g, context,
               ForwardOperands{qkv, y, lse, heads, tiles_of(heads.seq, tile.rows()),
                               score_scale(heads)});
    };
    constexpr TensorTile narrow = kForward64, wide = kForward128;
    if (tiles == AttentionTiles::tensor64)
        start(attention_forward<narrow.head, narrow.warps, narrow.fragments, narrow.streamed>,
              narrow);
    else
        start(attention_forward<wide.head, wide.warps, wide.fragments, wide.streamed>, wide);
}

}  // namespace shardscope::cuda
