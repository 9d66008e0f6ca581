// Causal attention with products in fp32, for fp32 storage, for the unfused kind, which keeps all
// probabilities, and for heads that the tensor kernels do not take: any size up to kWidestHead, any
// alignment. The same algorithm by tiles: 16 × 16 threads, a tile of queries, a tile of keys.
#include "backends/cuda/attention/own_attention.h"
#include "backends/cuda/attention/tensor_tiles.h"

namespace shardscope::cuda {
namespace {

template <class T>
struct PlainOperands {
    const T *dy, *qkv, *y;
    T* y_out;
    T* dqkv;
    float* lse;        // flash
    T* probabilities;  // unfused: [samples, heads, seq, seq]
    PackedHeads heads;
    int tiles;    // per head
    float scale;  // of scores
};

// A block's place in the grid, and what its threads (x, y) share. Tiles in shared memory are fp32, rows
// padded (plain_pitch).
template <int kTile>
struct PlainBlock {
    static constexpr int kEach = kTile / kPlainSide;  // rows and columns of a thread
    PackedHeads h;
    int tile, head, sample;  // `head`: of queries, or of keys
    int x, y, pitch;
    float *left, *left2, *right, *right2;  // tiles of rows
    float *p, *ds;                         // kTile × kTile

    SHARDSCOPE_DEVICE PlainBlock(const PackedHeads& heads, int tiles, int heads_of_grid)
        : h(heads),
          x(static_cast<int>(threadIdx.x)),
          y(static_cast<int>(threadIdx.y)),
          pitch(plain_pitch(heads.dim)) {
        const int at = static_cast<int>(blockIdx.x) / tiles;
        tile = static_cast<int>(blockIdx.x) % tiles;
        head = at % heads_of_grid;
        sample = at / heads_of_grid;
        left = dynamic_shared<float>();
        left2 = left + kTile * pitch;
        right = left2 + kTile * pitch;
        right2 = right + kTile * pitch;
        p = right2 + kTile * pitch;
        ds = p + kTile * plain_pitch(kTile);
    }

    // Rows first … of a head to a tile, zeros from seq on.
    template <class T>
    SHARDSCOPE_DEVICE void load_rows(float* to, const T* from, std::int64_t stride,
                                     int first) const {
        for (int r = y; r < kTile; r += kPlainSide)
            for (int i = x; i < h.dim; i += kPlainSide)
                to[r * pitch + i] =
                    first + r < h.seq ? static_cast<float>(from[(first + r) * stride + i]) : 0.0f;
    }

    // to[i][j] := row y + 16·i of `a` times row x + 16·j of `b`.
    SHARDSCOPE_DEVICE void multiply(float (&to)[kEach][kEach], const float* a,
                                    const float* b) const {
#pragma unroll
        for (int i = 0; i < kEach; ++i)
#pragma unroll
            for (int j = 0; j < kEach; ++j) to[i][j] = 0.0f;
        for (int d = 0; d < h.dim; ++d)
#pragma unroll
            for (int i = 0; i < kEach; ++i)
#pragma unroll
                for (int j = 0; j < kEach; ++j)
                    to[i][j] +=
                        a[(y + kPlainSide * i) * pitch + d] * b[(x + kPlainSide * j) * pitch + d];
    }

    // Keeps scores where accumulate() reads them.
    SHARDSCOPE_DEVICE void keep(float* to, const float (&values)[kEach][kEach]) const {
#pragma unroll
        for (int i = 0; i < kEach; ++i)
#pragma unroll
            for (int j = 0; j < kEach; ++j)
                to[(y + kPlainSide * i) * plain_pitch(kTile) + x + kPlainSide * j] = values[i][j];
    }

    // sums[i][c] += row y + 16·i of `values` (transposed: column) times element x + 16·c of the rows of `b`.
    template <bool kTransposed, int kColumns>
    SHARDSCOPE_DEVICE void accumulate(float (&sums)[kEach][kColumns], const float* values,
                                      const float* b) const {
        constexpr int kPitch = plain_pitch(kTile);
        for (int r = 0; r < kTile; ++r) {
            float factor[kEach];
#pragma unroll
            for (int i = 0; i < kEach; ++i) {
                const int row = y + kPlainSide * i;
                factor[i] = kTransposed ? values[r * kPitch + row] : values[row * kPitch + r];
            }
#pragma unroll
            for (int c = 0; c < kColumns; ++c)
                if (kPlainSide * c < h.dim) {
                    // Elements past the head are read from the next row, and never stored.
                    const float element = b[r * pitch + x + kPlainSide * c];
#pragma unroll
                    for (int i = 0; i < kEach; ++i) sums[i][c] += factor[i] * element;
                }
        }
    }

    template <class T, int kColumns>
    SHARDSCOPE_DEVICE void store_rows(T* to, std::int64_t stride, int first,
                                      const float (&sums)[kEach][kColumns], float factor) const {
#pragma unroll
        for (int i = 0; i < kEach; ++i) {
            const int row = first + y + kPlainSide * i;
#pragma unroll
            for (int c = 0; c < kColumns; ++c)
                if (row < h.seq && x + kPlainSide * c < h.dim)
                    to[row * stride + x + kPlainSide * c] = static_cast<T>(sums[i][c] * factor);
        }
    }
};

template <int kEach, int kColumns>
SHARDSCOPE_DEVICE void clear(float (&sums)[kEach][kColumns]) {
#pragma unroll
    for (int i = 0; i < kEach; ++i)
#pragma unroll
        for (int c = 0; c < kColumns; ++c) sums[i][c] = 0.0f;
}

// The softmax of a thread's kEach queries so far, the same in the 16 threads of a row.
template <int kTile>
struct PlainSoftmax {
    static constexpr int kEach = kTile / kPlainSide;
    float largest[kEach], sum[kEach], shrink[kEach];

    // Scores become exponentials below the new maximum.
    SHARDSCOPE_DEVICE void update(float (&s)[kEach][kEach]) {
#pragma unroll
        for (int i = 0; i < kEach; ++i) {
            float m = largest[i];
#pragma unroll
            for (int j = 0; j < kEach; ++j) m = s[i][j] > m ? s[i][j] : m;
            m = lanes_reduce(m, kPlainSide, Larger());
            shrink[i] = expf(largest[i] - m);
            largest[i] = m;
            float added = 0.0f;
#pragma unroll
            for (int j = 0; j < kEach; ++j) {
                s[i][j] = expf(s[i][j] - m);
                added += s[i][j];
            }
            sum[i] = sum[i] * shrink[i] + lanes_reduce(added, kPlainSide, Plus());
        }
    }
};

// Scales scores and takes out keys after a query.
template <int kTile, class T>
SHARDSCOPE_DEVICE void mask(const PlainBlock<kTile>& block, const PlainOperands<T>& o,
                            float (&s)[kTile / kPlainSide][kTile / kPlainSide], int first_query,
                            int first_key) {
#pragma unroll
    for (int i = 0; i < block.kEach; ++i)
#pragma unroll
        for (int j = 0; j < block.kEach; ++j) {
            const int query = first_query + block.y + kPlainSide * i;
            const int key = first_key + block.x + kPlainSide * j;
            s[i][j] = key > query ? -INFINITY : s[i][j] * o.scale;
        }
}

// Unfused: the probabilities of one tile, of all keys below seq, rounded as they are stored.
template <int kTile, class T>
SHARDSCOPE_DEVICE void store_probabilities(const PlainBlock<kTile>& block,
                                           const PlainOperands<T>& o,
                                           float (&p)[kTile / kPlainSide][kTile / kPlainSide],
                                           int head, int first_query, int first_key) {
    const int seq = block.h.seq;
    T* to = o.probabilities + query_offset(block.h, block.sample, head) * seq;
#pragma unroll
    for (int i = 0; i < block.kEach; ++i)
#pragma unroll
        for (int j = 0; j < block.kEach; ++j) {
            const int query = first_query + block.y + kPlainSide * i;
            const int key = first_key + block.x + kPlainSide * j;
            const T stored = static_cast<T>(p[i][j]);
            p[i][j] = static_cast<float>(stored);
            if (query < seq && key < seq) to[std::int64_t{query} * seq + key] = stored;
        }
}

template <int kTile, int kHead, class T>
__global__ void __launch_bounds__(kPlainSide* kPlainSide) plain_attention(PlainOperands<T> o) {
    PlainBlock<kTile> block(o.heads, o.tiles, o.heads.heads);
    constexpr int kEach = block.kEach;
    const PackedHeads& h = block.h;
    const int head = block.head, kv = head / (h.heads / h.kv_heads);
    const std::int64_t stride = qkv_stride(h);
    const T* k = o.qkv + qkv_offset(h, block.sample, h.heads + kv);
    const T* v = o.qkv + qkv_offset(h, block.sample, h.heads + h.kv_heads + kv);
    const int first_query = (o.tiles - 1 - block.tile) * kTile;  // the longest first
    const int last = first_query + kTile < h.seq ? first_query + kTile : h.seq;
    block.load_rows(block.left, o.qkv + qkv_offset(h, block.sample, head), stride, first_query);

    PlainSoftmax<kTile> softmax;
    float s[kEach][kEach], out[kEach][kHead / kPlainSide];
    clear(out);
#pragma unroll
    for (int i = 0; i < kEach; ++i) softmax.largest[i] = -INFINITY, softmax.sum[i] = 0.0f;

    // Unfused, what is stored are final probabilities: a first pass makes maximum and sum alone.
    for (int first_key = 0; o.probabilities && first_key < last; first_key += kTile) {
        __syncthreads();
        block.load_rows(block.right, k, stride, first_key);
        __syncthreads();
        block.multiply(s, block.left, block.right);
        mask(block, o, s, first_query, first_key);
        softmax.update(s);
    }
    const int end = o.probabilities ? h.seq : last;
    for (int first_key = 0; first_key < end; first_key += kTile) {
        __syncthreads();
        block.load_rows(block.right, k, stride, first_key);
        block.load_rows(block.right2, v, stride, first_key);
        __syncthreads();
        block.multiply(s, block.left, block.right);
        mask(block, o, s, first_query, first_key);
        if (o.probabilities) {
#pragma unroll
            for (int i = 0; i < kEach; ++i)
#pragma unroll
                for (int j = 0; j < kEach; ++j)
                    s[i][j] = expf(s[i][j] - softmax.largest[i]) / softmax.sum[i];
            store_probabilities(block, o, s, head, first_query, first_key);
        } else {
            softmax.update(s);
#pragma unroll
            for (int i = 0; i < kEach; ++i)
#pragma unroll
                for (int c = 0; c < kHead / kPlainSide; ++c) out[i][c] *= softmax.shrink[i];
        }
        block.keep(block.p, s);
        __syncthreads();
        block.template accumulate<false>(out, block.p, block.right2);
    }
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
        const int query = first_query + block.y + kPlainSide * i;
        if (o.probabilities) continue;
        const float inverse = 1.0f / softmax.sum[i];
#pragma unroll
        for (int c = 0; c < kHead / kPlainSide; ++c) out[i][c] *= inverse;
        if (block.x == 0 && query < h.seq)
            o.lse[query_offset(h, block.sample, head) + query] =
                softmax.largest[i] + logf(softmax.sum[i]);
    }
    block.store_rows(o.y_out + y_offset(h, block.sample, head), y_stride(h), first_query, out,
                     1.0f);
}

// Σ dy·y of a thread's queries.
template <int kTile, class T>
SHARDSCOPE_DEVICE void plain_dots(const PlainBlock<kTile>& block, const PlainOperands<T>& o,
                                  int head, int first_query, float (&dots)[kTile / kPlainSide]) {
    const PackedHeads& h = block.h;
#pragma unroll
    for (int i = 0; i < block.kEach; ++i) {
        const int query = first_query + block.y + kPlainSide * i;
        const std::int64_t at =
            y_offset(h, block.sample, head) + (query < h.seq ? query : 0) * y_stride(h);
        float sum = 0.0f;
        for (int d = block.x; d < h.dim; d += kPlainSide)
            sum += static_cast<float>(o.dy[at + d]) * static_cast<float>(o.y[at + d]);
        dots[i] = lanes_reduce(sum, kPlainSide, Plus());
    }
}

// Probabilities of a tile, queries by keys: made again from the log-sum-exp, or as they were stored; `s` is
// q·kᵀ. Then ds = p ⊙ (dp − dots) in place of dp.
template <int kTile, class T>
SHARDSCOPE_DEVICE void plain_gradients(const PlainBlock<kTile>& block, const PlainOperands<T>& o,
                                       float (&s)[kTile / kPlainSide][kTile / kPlainSide],
                                       float (&dp)[kTile / kPlainSide][kTile / kPlainSide],
                                       const float (&dots)[kTile / kPlainSide], int head,
                                       int first_query, int first_key) {
    const PackedHeads& h = block.h;
    const std::int64_t queries = query_offset(h, block.sample, head);
#pragma unroll
    for (int i = 0; i < block.kEach; ++i)
#pragma unroll
        for (int j = 0; j < block.kEach; ++j) {
            const int query = first_query + block.y + kPlainSide * i;
            const int key = first_key + block.x + kPlainSide * j;
            float p = 0.0f;
            if (query < h.seq && key <= query)
                p = o.probabilities
                        ? static_cast<float>(o.probabilities[(queries + query) * h.seq + key])
                        : expf(s[i][j] * o.scale - o.lse[queries + query]);
            s[i][j] = p;
            dp[i][j] = p * (dp[i][j] - dots[i]);
        }
}

// dk and dv of a tile of keys: `left` holds queries, `left2` dy, `right` keys, `right2` values.
template <int kTile, int kHead, class T>
__global__ void __launch_bounds__(kPlainSide* kPlainSide) plain_key_grad(PlainOperands<T> o) {
    PlainBlock<kTile> block(o.heads, o.tiles, o.heads.kv_heads);
    constexpr int kEach = block.kEach;
    const PackedHeads& h = block.h;
    const int kv = block.head, group = h.heads / h.kv_heads, first_key = block.tile * kTile;
    const std::int64_t stride = qkv_stride(h);
    const std::int64_t k = qkv_offset(h, block.sample, h.heads + kv);
    const std::int64_t v = qkv_offset(h, block.sample, h.heads + h.kv_heads + kv);
    block.load_rows(block.right, o.qkv + k, stride, first_key);
    block.load_rows(block.right2, o.qkv + v, stride, first_key);
    float dk[kEach][kHead / kPlainSide], dv[kEach][kHead / kPlainSide];
    clear(dk);
    clear(dv);
    for (int head = kv * group; head < (kv + 1) * group; ++head)
        for (int first_query = first_key; first_query < h.seq; first_query += kTile) {
            __syncthreads();
            block.load_rows(block.left, o.qkv + qkv_offset(h, block.sample, head), stride,
                            first_query);
            block.load_rows(block.left2, o.dy + y_offset(h, block.sample, head), y_stride(h),
                            first_query);
            __syncthreads();
            float s[kEach][kEach], dp[kEach][kEach], dots[kEach];
            plain_dots(block, o, head, first_query, dots);
            block.multiply(s, block.left, block.right);
            block.multiply(dp, block.left2, block.right2);
            plain_gradients(block, o, s, dp, dots, head, first_query, first_key);
            block.keep(block.p, s);
            block.keep(block.ds, dp);
            __syncthreads();
            block.template accumulate<true>(dv, block.p, block.left2);
            block.template accumulate<true>(dk, block.ds, block.left);
        }
    block.store_rows(o.dqkv + k, stride, first_key, dk, o.scale);
    block.store_rows(o.dqkv + v, stride, first_key, dv, 1.0f);
}

// dq of a tile of queries.
template <int kTile, int kHead, class T>
__global__ void __launch_bounds__(kPlainSide* kPlainSide) plain_query_grad(PlainOperands<T> o) {
    PlainBlock<kTile> block(o.heads, o.tiles, o.heads.heads);
    constexpr int kEach = block.kEach;
    const PackedHeads& h = block.h;
    const int head = block.head, kv = head / (h.heads / h.kv_heads);
    const int first_query = (o.tiles - 1 - block.tile) * kTile;  // the longest first
    const int last = first_query + kTile < h.seq ? first_query + kTile : h.seq;
    const std::int64_t stride = qkv_stride(h), q = qkv_offset(h, block.sample, head);
    block.load_rows(block.left, o.qkv + q, stride, first_query);
    block.load_rows(block.left2, o.dy + y_offset(h, block.sample, head), y_stride(h), first_query);
    float dots[kEach], dq[kEach][kHead / kPlainSide];
    plain_dots(block, o, head, first_query, dots);
    clear(dq);
    for (int first_key = 0; first_key < last; first_key += kTile) {
        __syncthreads();
        block.load_rows(block.right, o.qkv + qkv_offset(h, block.sample, h.heads + kv), stride,
                        first_key);
        block.load_rows(block.right2,
                        o.qkv + qkv_offset(h, block.sample, h.heads + h.kv_heads + kv), stride,
                        first_key);
        __syncthreads();
        float s[kEach][kEach], dp[kEach][kEach];
        block.multiply(s, block.left, block.right);
        block.multiply(dp, block.left2, block.right2);
        plain_gradients(block, o, s, dp, dots, head, first_query, first_key);
        block.keep(block.ds, dp);
        __syncthreads();
        block.template accumulate<false>(dq, block.ds, block.right);
    }
    block.store_rows(o.dqkv + q, stride, first_query, dq, o.scale);
}

template <class T, class Kernel>
void start(const char* name, Kernel* kernel, const Geometry& g, const PlainOperands<T>& operands,
           const LaunchContext& context) {
    allow_shared(name, kernel, g);
    launch(name, kernel, g, context, operands);
}

// Where the statistics of this kind are.
template <class T>
void set_stats(PlainOperands<T>& operands, AttentionKind kind, std::byte* stats) {
    if (kind == AttentionKind::flash)
        operands.lse = reinterpret_cast<float*>(stats);
    else
        operands.probabilities = reinterpret_cast<T*>(stats);
}

}  // namespace

template <class T>
void plain_forward(const Attention& kernel, AttentionTiles tiles, const T* qkv, T* y,
                   std::byte* stats, const LaunchContext& context) {
    PlainOperands<T> o{};
    o.qkv = qkv;
    o.y_out = y;
    o.heads = packed_heads(kernel);
    o.scale = score_scale(o.heads);
    set_stats(o, kernel.kind, stats);
    const Geometry g = forward_geometry(o.heads, tiles);
    const bool narrow = tiles == AttentionTiles::plain128;
    o.tiles = tiles_of(o.heads.seq, plain_tile(narrow ? 128 : 256));
    if (narrow)
        start("plain_attention", plain_attention<plain_tile(128), 128, T>, g, o, context);
    else
        start("plain_attention", plain_attention<plain_tile(256), 256, T>, g, o, context);
}

template <class T>
void plain_backward(const AttentionGrad& kernel, AttentionTiles tiles, const T* dy, const T* qkv,
                    const T* y, const std::byte* stats, T* dqkv, const LaunchContext& context) {
    PlainOperands<T> o{};
    o.dy = dy;
    o.qkv = qkv;
    o.y = y;
    o.dqkv = dqkv;
    o.heads = packed_heads(kernel);
    o.scale = score_scale(o.heads);
    set_stats(o, kernel.kind, const_cast<std::byte*>(stats));  // only read from here on
    const Geometry keys = key_grad_geometry(o.heads, tiles);
    const Geometry queries = query_grad_geometry(o.heads, tiles);
    const bool narrow = tiles == AttentionTiles::plain128;
    o.tiles = tiles_of(o.heads.seq, plain_tile(narrow ? 128 : 256));
    if (narrow) {
        start("plain_key_grad", plain_key_grad<plain_tile(128), 128, T>, keys, o, context);
        start("plain_query_grad", plain_query_grad<plain_tile(128), 128, T>, queries, o, context);
    } else {
        start("plain_key_grad", plain_key_grad<plain_tile(256), 256, T>, keys, o, context);
        start("plain_query_grad", plain_query_grad<plain_tile(256), 256, T>, queries, o, context);
    }
}

#define SHARDSCOPE_INSTANTIATE_PLAIN(T)                                                        \
    template void plain_forward<T>(const Attention&, AttentionTiles, const T*, T*, std::byte*, \
                                   const LaunchContext&);                                      \
    template void plain_backward<T>(const AttentionGrad&, AttentionTiles, const T*, const T*,  \
                                    const T*, const std::byte*, T*, const LaunchContext&)
SHARDSCOPE_INSTANTIATE_PLAIN(float);
SHARDSCOPE_INSTANTIATE_PLAIN(Bf16);

}  // namespace shardscope::cuda
