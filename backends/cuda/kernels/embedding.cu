// Token and position embeddings.
//
// The gradient of the table sums, for every token, the rows of dy where it stands. Which rows those are is
// found with integer atomics, which leave them in any order; then each token's list is put in order, so that
// sums repeat: short lists by a warp, long ones by a block, and the longest by going through all tokens.
#include <climits>
#include <string>

#include "backends/cuda/kernels/flat.h"
#include "backends/cuda/kernels/kernels.h"
#include "core/error.h"

namespace shardscope::cuda {
namespace {

// The rank's rows of the table.
struct Table {
    std::int64_t vocab, first;  // first: the token of row 0
    bool parallel;

    // A token's row, −1 where another rank holds it.
    SHARDSCOPE_DEVICE int row_of(std::int32_t token) const {
        if (!parallel) return token;
        const std::int64_t row = token - first;
        return row >= 0 && row < vocab ? static_cast<int>(row) : -1;
    }
};

template <class Kernel>
Table table_of(const Kernel& k, const LaunchContext& context) {
    return {k.vocab, context.tensor_index * k.vocab, k.vocabulary_parallel};
}

template <class T, int N>
struct Lookup {
    Table table;
    std::int64_t seq, hidden, position_offset;
    float scale;
    const std::int32_t* tokens;
    const T *rows, *positions;  // positions may be null
    T* y;
    SHARDSCOPE_DEVICE void operator()(std::int64_t row, std::int64_t column) const {
        const int from = table.row_of(tokens[row]);
        float v[N] = {}, p[N] = {};
        if (from >= 0) load(rows + from * hidden + column, v);
        if (positions) load(positions + (position_offset + row % seq) * hidden + column, p);
#pragma unroll
        for (int i = 0; i < N; ++i) v[i] = v[i] * scale + p[i];
        store(y + row * hidden + column, v);
    }
};

// ---- lists of rows by token ----

// In scratch memory; numbers of rows, of entries, and where lists begin are int.
struct Lists {
    int* counts;  // of each of the table's rows
    int *entries_used, *long_count;
    int* ends;  // of lists, once they are filled
    int* long_rows;
    int* entries;
};

struct Clear {
    int* counts;
    SHARDSCOPE_DEVICE void operator()(std::int64_t at, int) const { counts[at] = 0; }
};
struct Count {
    Table table;
    Lists lists;
    const std::int32_t* tokens;
    SHARDSCOPE_DEVICE void operator()(std::int64_t at, int) const {
        const int row = table.row_of(tokens[at]);
        if (row >= 0) atomicAdd(lists.counts + row, 1);
    }
};
struct Fill {
    Table table;
    Lists lists;
    const std::int32_t* tokens;
    SHARDSCOPE_DEVICE void operator()(std::int64_t at, int) const {
        const int row = table.row_of(tokens[at]);
        if (row >= 0) lists.entries[atomicAdd(lists.ends + row, 1)] = static_cast<int>(at);
    }
};

// Where lists begin: a warp takes the places of its 32 lists at once.
__global__ void place_lists(int vocab, Lists lists) {
    const int lane = lane_index(), step = static_cast<int>(gridDim.x * blockDim.x);
    int first = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) - lane;
    for (; first < vocab; first += step) {
        const int row = first + lane;
        const int count = row < vocab ? lists.counts[row] : 0;
        int before = count;  // … and its own, at first
        for (int offset = 1; offset < kWarp; offset *= 2) {
            const int other = __shfl_up_sync(kAllLanes, before, offset);
            if (lane >= offset) before += other;
        }
        int start = 0;
        if (lane == kWarp - 1) start = atomicAdd(lists.entries_used, before);
        start = __shfl_sync(kAllLanes, start, kWarp - 1) + before - count;
        if (row >= vocab) continue;
        lists.ends[row] = start;
        if (count > kShortList) lists.long_rows[atomicAdd(lists.long_count, 1)] = row;
    }
}

// ---- sums ----

template <class T, class G>
struct Gather {
    Lists lists;
    std::int64_t hidden;
    float scale;
    bool accumulate;
    const T* dy;
    G* dtable;
};

// sums += dy[list[first]], dy[list[first + step]], …
template <class T, int N>
SHARDSCOPE_DEVICE void add_rows(const T* dy, std::int64_t hidden, const int* list, int first,
                                int step, int count, float (&sums)[N]) {
#pragma unroll 4
    for (int i = first; i < count; i += step) {
        float v[N];
        load(dy + list[i] * hidden, v);
#pragma unroll
        for (int j = 0; j < N; ++j) sums[j] += v[j];
    }
}

template <int N, class G>
SHARDSCOPE_DEVICE void write_sums(G* to, bool accumulate, float scale, float (&sums)[N]) {
    float before[N] = {};
    if (accumulate) load(to, before);
#pragma unroll
    for (int j = 0; j < N; ++j) sums[j] = before[j] + scale * sums[j];
    store(to, sums);
}

// A warp per token and kWarp · N columns: tokens that stand nowhere, and those of short lists.
template <int N, class T, class G>
__global__ void gather_short_lists(int vocab, Gather<T, G> k) {
    __shared__ int ordered[kMostThreads / kWarp][kShortList];
    const int lane = static_cast<int>(threadIdx.x);
    int* list = ordered[threadIdx.y];
    const int step = static_cast<int>(gridDim.x * blockDim.y);
    for (int row = static_cast<int>(blockIdx.x * blockDim.y + threadIdx.y); row < vocab;
         row += step) {
        const int count = k.lists.counts[row];
        if (count > kShortList || (count == 0 && k.accumulate)) continue;
        const int start = k.lists.ends[row] - count;
        const int entry = lane < count ? k.lists.entries[start + lane] : INT_MAX;
        int rank = 0;
        for (int other = 0; other < count; ++other)
            rank += __shfl_sync(kAllLanes, entry, other) < entry ? 1 : 0;
        if (lane < count) list[rank] = entry;
        __syncwarp();
        std::int64_t column = (std::int64_t{blockIdx.y} * kWarp + lane) * N;
        for (; column < k.hidden; column += std::int64_t{gridDim.y} * kWarp * N) {
            float sums[N] = {};
            add_rows(k.dy + column, k.hidden, list, 0, 1, count, sums);
            write_sums(k.dtable + row * k.hidden + column, k.accumulate, k.scale, sums);
        }
        __syncwarp();  // before the next list
    }
}

// Sorts `count` ≤ kLongList different numbers by the threads of a block (Batcher's bitonic network).
SHARDSCOPE_DEVICE void sort_by_block(int* list, int count) {
    const int threads = static_cast<int>(blockDim.x * blockDim.y);
    int size = 2;
    while (size < count) size *= 2;
    for (int i = count + thread_index(); i < size; i += threads) list[i] = INT_MAX;
    for (int width = 2; width <= size; width *= 2)
        for (int distance = width / 2; distance > 0; distance /= 2) {
            __syncthreads();
            for (int i = thread_index(); i < size; i += threads) {
                const int j = i ^ distance;
                const bool rising = (i & width) == 0;
                if (j > i && (list[i] > list[j]) == rising) {
                    const int other = list[i];
                    list[i] = list[j];
                    list[j] = other;
                }
            }
        }
    __syncthreads();
}

// Appends to `list` the places in [first, first + threads) whose token is `row`, in order; returns how
// many the list holds then.
SHARDSCOPE_DEVICE int append_matches(const Table& table, const std::int32_t* tokens,
                                     std::int64_t rows, std::int64_t first, int row, int* list,
                                     int count) {
    __shared__ int found[kWarp];
    const int thread = thread_index(), warp = thread / kWarp;
    const int warps = static_cast<int>(blockDim.x * blockDim.y) / kWarp;
    const std::int64_t at = first + thread;
    const bool matches = at < rows && table.row_of(tokens[at]) == row;
    const unsigned votes = __ballot_sync(kAllLanes, matches ? 1 : 0);
    if (thread % kWarp == 0) found[warp] = __popc(votes);
    __syncthreads();
    int before = count;
    for (int w = 0; w < warps; ++w) {
        before += w < warp ? found[w] : 0;
        count += found[w];
    }
    if (matches)
        list[before + __popc(votes & ((1u << (thread % kWarp)) - 1))] = static_cast<int>(at);
    __syncthreads();
    return count;
}

// A block per token of a long list and kWarp · N columns; its warps share the list.
template <int N, class T, class G>
__global__ void gather_long_lists(Table table, std::int64_t rows, const std::int32_t* tokens,
                                  Gather<T, G> k) {
    __shared__ int list[kLongList];
    constexpr int kWarps = 8;
    __shared__ float of_warps[kWarps][N][kWarp];
    const int lane = static_cast<int>(threadIdx.x), warp = static_cast<int>(threadIdx.y);
    const int threads = kWarp * kWarps, chunks = static_cast<int>(gridDim.y);
    for (int i = static_cast<int>(blockIdx.x); i < *k.lists.long_count;
         i += static_cast<int>(gridDim.x)) {
        const int row = k.lists.long_rows[i], count = k.lists.counts[row];
        const int start = k.lists.ends[row] - count;
        for (std::int64_t first = std::int64_t{blockIdx.y} * kWarp * N; first < k.hidden;
             first += std::int64_t{chunks} * kWarp * N) {
            const std::int64_t column = first + lane * N;
            const bool active = column < k.hidden;
            float sums[N] = {};
            if (count <= kLongList) {
                for (int j = thread_index(); j < count; j += threads)
                    list[j] = k.lists.entries[start + j];
                sort_by_block(list, count);
                if (active) add_rows(k.dy + column, k.hidden, list, warp, kWarps, count, sums);
            } else {
                int held = 0;
                for (std::int64_t at = 0; at < rows; at += threads) {
                    held = append_matches(table, tokens, rows, at, row, list, held);
                    if (held <= kLongList - threads && at + threads < rows) continue;
                    if (active) add_rows(k.dy + column, k.hidden, list, warp, kWarps, held, sums);
                    held = 0;
                    __syncthreads();  // before the list is written again
                }
            }
#pragma unroll
            for (int j = 0; j < N; ++j) of_warps[warp][j][lane] = sums[j];
            __syncthreads();
            if (warp == 0 && active) {
                for (int w = 1; w < kWarps; ++w)
#pragma unroll
                    for (int j = 0; j < N; ++j) sums[j] += of_warps[w][j][lane];
                write_sums(k.dtable + row * k.hidden + column, k.accumulate, k.scale, sums);
            }
            __syncthreads();
        }
    }
}

// The positions' gradient: every seq-th row of dy.
template <class T, class G, int N>
struct PositionSums {
    std::int64_t rows, seq, hidden, position_offset;
    bool accumulate;
    const T* dy;
    G* dpositions;
    SHARDSCOPE_DEVICE void operator()(std::int64_t position, std::int64_t column) const {
        const std::int64_t first = position - position_offset;
        float sums[N] = {};
        if (first >= 0 && first < seq) {
#pragma unroll 4
            for (std::int64_t row = first; row < rows; row += seq) {
                float v[N];
                load(dy + row * hidden + column, v);
#pragma unroll
                for (int j = 0; j < N; ++j) sums[j] += v[j];
            }
        }
        write_sums(dpositions + position * hidden + column, accumulate, 1.0f, sums);
    }
};

Lists lists_in(std::byte* scratch, std::int64_t rows, std::int64_t vocab) {
    Lists lists{};
    lists.counts = as<int>(scratch);
    lists.entries_used = lists.counts + vocab;
    lists.long_count = lists.entries_used + 1;
    lists.ends = lists.long_count + 1;
    lists.long_rows = lists.ends + vocab;
    lists.entries = lists.long_rows + rows / (kShortList + 1) + 1;
    return lists;
}

template <int N, class T, class G>
void add_to_table(const EmbeddingGrad& k, const std::int32_t* tokens, const T* dy, G* dtable,
                  const LaunchContext& context) {
    const EmbeddingGeometry g = embedding_geometry(k.rows, k.vocab, k.hidden, N);
    if (g.scratch_bytes > context.scratch_bytes)
        throw Error("cuda",
                    "embedding_grad of " + std::to_string(k.rows) + " rows and " +
                        std::to_string(k.vocab) + " tokens sorts in " +
                        std::to_string(g.scratch_bytes) + " bytes, more than the " +
                        std::to_string(context.scratch_bytes) + " bytes of scratch memory",
                    "use a smaller micro-batch", ErrorKind::run_failed);
    const Table table = table_of(k, context);
    const Lists lists = lists_in(context.scratch, k.rows, k.vocab);
    const auto vocab = static_cast<int>(k.vocab);
    const char* name = "embedding_grad";
    launch(name, for_elements<1, Clear>, g.clear, context, k.vocab + 2, Clear{lists.counts});
    launch(name, for_elements<1, Count>, g.rows, context, k.rows, Count{table, lists, tokens});
    launch(name, place_lists, g.tokens, context, vocab, lists);
    launch(name, for_elements<1, Fill>, g.rows, context, k.rows, Fill{table, lists, tokens});
    const Gather<T, G> gather{lists, k.hidden, static_cast<float>(k.scale), k.accumulate_table,
                              dy,    dtable};
    launch(name, gather_short_lists<N, T, G>, g.short_lists, context, vocab, gather);
    if (k.rows > kShortList)
        launch(name, gather_long_lists<N, T, G>, g.long_lists, context, table, k.rows, tokens,
               gather);
}

}  // namespace

template <class T>
void run(const Embedding& k, const Addresses& at, const LaunchContext& context) {
    const bool adds_positions = !k.vocabulary_parallel || context.tensor_index == 0;
    const T* rows = as<const T>(at[1]);
    const T* positions = adds_positions ? as<const T>(at[2]) : nullptr;
    T* y = as<T>(at[3]);
    with_vectors<T>(
        k.hidden,
        [&]<int N>() {
            run_matrix<N>("embedding", k.rows, k.hidden, context,
                          Lookup<T, N>{table_of(k, context), k.seq, k.hidden, k.position_offset,
                                       static_cast<float>(k.scale), as<const std::int32_t>(at[0]),
                                       rows, positions, y});
        },
        rows, positions, y);
}

template <class T, class G>
void run(const EmbeddingGrad& k, const Addresses& at, const LaunchContext& context) {
    const auto* tokens = as<const std::int32_t>(at[0]);
    const T* dy = as<const T>(at[1]);
    G *dtable = as<G>(at[2]), *dpositions = as<G>(at[3]);
    const auto start = [&]<int N>() {
        add_to_table<N>(k, tokens, dy, dtable, context);
        if (!dpositions) return;
        const std::int64_t rows = k.position_rows > 0 ? k.position_rows : k.seq;
        run_matrix<N>("embedding_grad", rows, k.hidden, context,
                      PositionSums<T, G, N>{k.rows, k.seq, k.hidden, k.position_offset,
                                            k.accumulate_positions, dy, dpositions});
    };
    // Eight elements of either type are whole vectors.
    with_vectors<Bf16>(
        k.hidden, [&]<int N>() { start.template operator()<N>(); }, dy, dtable, dpositions);
}

SHARDSCOPE_INSTANTIATE(Embedding);
SHARDSCOPE_INSTANTIATE_GRADIENT(EmbeddingGrad);

}  // namespace shardscope::cuda
