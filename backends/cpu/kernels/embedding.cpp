// Token and position embeddings.
#include <algorithm>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "backends/cpu/kernels/column_sums.h"
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu {
namespace {

// A token's row in the rank's table, −1 where another rank holds it.
template <class Kernel>
std::int64_t row_of(const Kernel& k, std::int32_t token, int index) {
    if (!k.vocabulary_parallel) return token;
    const std::int64_t row = token - index * k.vocab;
    return row >= 0 && row < k.vocab ? row : -1;
}

// out = scale · row + position, rounded once; position may be null.
template <class T>
SHARDSCOPE_INLINE void add_scaled(std::int64_t n, Real<T> scale, const T* row, const T* position,
                                  T* out) {
    if (position) {
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < n; ++i) out[i] = row[i] * scale + position[i];
    } else {
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < n; ++i) out[i] = row[i] * scale;
    }
}

template <class T>
SHARDSCOPE_CLONES void forward(const Embedding& k, Share share, const std::int32_t* tokens,
                               const T* table, const T* positions, T* y, int index) {
    for (std::int64_t r = share.first; r < share.last; ++r) {
        const std::int64_t from = row_of(k, tokens[r], index);
        T* out = y + r * k.hidden;
        const T* position =
            positions ? positions + (k.position_offset + r % k.seq) * k.hidden : nullptr;
        if (from >= 0 && k.scale != 1.0) {
            add_scaled(k.hidden, static_cast<Real<T>>(k.scale), table + from * k.hidden, position,
                       out);
            continue;
        }
        if (from < 0)
            std::fill_n(out, k.hidden, T(0));
        else
            std::copy_n(table + from * k.hidden, k.hidden, out);
        if (!position) continue;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < k.hidden; ++i) out[i] = out[i] + position[i];
    }
}

// Rows are added in order, so that the gradient of a frequent token does not depend on anything
// but the batch. Threads share the columns.
template <class T, class G>
SHARDSCOPE_CLONES void add_rows(const EmbeddingGrad& k, Share share, const std::int32_t* tokens,
                                const T* dy, G* dtable, G* dpositions, int index) {
    const auto scale = static_cast<Real<T>>(k.scale);
    for (std::int64_t r = 0; r < k.rows; ++r) {
        const T* in = dy + r * k.hidden;
        if (const std::int64_t to = row_of(k, tokens[r], index); to >= 0) {
            G* row = dtable + to * k.hidden;
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = share.first; i < share.last; ++i) row[i] += in[i] * scale;
        }
        if (!dpositions) continue;
        G* position = dpositions + (k.position_offset + r % k.seq) * k.hidden;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = share.first; i < share.last; ++i) position[i] += in[i];
    }
}

// out += scale · Σ of the rows of dy that `rows` yields, in its order and in fp32, rounded once.
template <class T>
SHARDSCOPE_CLONES void add_sum(const T* dy, std::int64_t hidden, Share columns,
                               std::span<const std::int32_t> rows, float scale, Bf16* out) {
    constexpr std::int64_t kWidth = 256;
    for (std::int64_t first = columns.first; first < columns.last; first += kWidth) {
        const std::int64_t width = std::min(kWidth, columns.last - first);
        float sums[kWidth];
        for (std::int64_t i = 0; i < width; ++i) sums[i] = 0;
        for (const std::int32_t r : rows) {
            const T* in = dy + r * hidden + first;
            for (std::int64_t i = 0; i < width; ++i) sums[i] += in[i];
        }
        for (std::int64_t i = 0; i < width; ++i) out[first + i] = out[first + i] + scale * sums[i];
    }
}

// A bf16 gradient would lose the later ones of many rows added one by one, so the rows of a token
// (and of a position) are summed first: `key` says which rows belong together.
template <class T, class Key>
void add_grouped(const EmbeddingGrad& k, const T* dy, float scale, Bf16* to, Team& team, Key key) {
    thread_local std::vector<std::int32_t> kept;
    kept.resize(std::max(kept.size(), static_cast<std::size_t>(k.rows)));
    const std::span order(kept.data(), static_cast<std::size_t>(k.rows));
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
        return std::pair(key(a), a) < std::pair(key(b), b);
    });
    team.divide(k.hidden, kColumnShare, [&](const Share& columns) {
        for (std::size_t first = 0, end = 0; first < order.size(); first = end) {
            const std::int64_t row = key(order[first]);
            while (end < order.size() && key(order[end]) == row) ++end;
            if (row >= 0)
                add_sum(dy, k.hidden, columns, order.subspan(first, end - first), scale,
                        to + row * k.hidden);
        }
    });
}

}  // namespace

template <class T>
void run(const Embedding& k, const Addresses& at, int index, Team& team) {
    const bool adds_positions = !k.vocabulary_parallel || index == 0;
    divide_rows(team, k.rows, k.hidden, [&](const Share& share) {
        forward(k, share, as<const std::int32_t>(at[0]), as<const T>(at[1]),
                adds_positions ? as<const T>(at[2]) : nullptr, as<T>(at[3]), index);
    });
}

template <class T, class G>
void run(const EmbeddingGrad& k, const Addresses& at, int index, Team& team) {
    const auto* tokens = as<const std::int32_t>(at[0]);
    const T* dy = as<const T>(at[1]);
    G *dtable = as<G>(at[2]), *dpositions = as<G>(at[3]);
    if (!k.accumulate_table) std::fill_n(dtable, k.vocab * k.hidden, G(0));
    const std::int64_t position_rows = k.position_rows > 0 ? k.position_rows : k.seq;
    if (dpositions && !k.accumulate_positions)
        std::fill_n(dpositions, position_rows * k.hidden, G(0));
    if constexpr (kStoresExactly<G>) {
        team.divide(k.hidden, kColumnShare, [&](const Share& columns) {
            add_rows(k, columns, tokens, dy, dtable, dpositions, index);
        });
    } else {
        add_grouped(k, dy, static_cast<float>(k.scale), dtable, team,
                    [&](std::int32_t r) { return row_of(k, tokens[r], index); });
        if (dpositions)
            add_grouped(k, dy, 1.0f, dpositions, team,
                        [&](std::int32_t r) { return k.position_offset + r % k.seq; });
    }
}

SHARDSCOPE_INSTANTIATE_INDEXED(Embedding);
template void run<float, float>(const EmbeddingGrad&, const Addresses&, int, Team&);
template void run<double, double>(const EmbeddingGrad&, const Addresses&, int, Team&);
template void run<Bf16, float>(const EmbeddingGrad&, const Addresses&, int, Team&);
template void run<Bf16, Bf16>(const EmbeddingGrad&, const Addresses&, int, Team&);

}  // namespace shardscope::cpu
