// Token and position embeddings.
#include <algorithm>

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

template <class T>
SHARDSCOPE_CLONES void forward(const Embedding& k, const std::int32_t* tokens, const T* table,
                               const T* positions, T* y, int index) {
    for (std::int64_t r = 0; r < k.rows; ++r) {
        const std::int64_t from = row_of(k, tokens[r], index);
        T* out = y + r * k.hidden;
        if (from < 0)
            std::fill_n(out, k.hidden, T(0));
        else
            std::copy_n(table + from * k.hidden, k.hidden, out);
        if (!positions) continue;
        const T* position = positions + (r % k.seq) * k.hidden;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < k.hidden; ++i) out[i] += position[i];
    }
}

// Rows are added in order, so that the gradient of a frequent token does not depend on anything
// but the batch.
template <class T>
SHARDSCOPE_CLONES void add_rows(const EmbeddingGrad& k, const std::int32_t* tokens, const T* dy,
                                T* dtable, T* dpositions, int index) {
    for (std::int64_t r = 0; r < k.rows; ++r) {
        const T* in = dy + r * k.hidden;
        if (const std::int64_t to = row_of(k, tokens[r], index); to >= 0) {
            T* row = dtable + to * k.hidden;
            SHARDSCOPE_INDEPENDENT
            for (std::int64_t i = 0; i < k.hidden; ++i) row[i] += in[i];
        }
        if (!dpositions) continue;
        T* position = dpositions + (r % k.seq) * k.hidden;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < k.hidden; ++i) position[i] += in[i];
    }
}

}  // namespace

template <class T>
void run(const Embedding& k, const Addresses& at, int index) {
    const bool adds_positions = !k.vocabulary_parallel || index == 0;
    forward(k, as<const std::int32_t>(at[0]), as<const T>(at[1]),
            adds_positions ? as<const T>(at[2]) : nullptr, as<T>(at[3]), index);
}

template <class T>
void run(const EmbeddingGrad& k, const Addresses& at, int index) {
    T *dtable = as<T>(at[2]), *dpositions = as<T>(at[3]);
    if (!k.accumulate_table) std::fill_n(dtable, k.vocab * k.hidden, T(0));
    if (dpositions && !k.accumulate_positions) std::fill_n(dpositions, k.seq * k.hidden, T(0));
    add_rows(k, as<const std::int32_t>(at[0]), as<const T>(at[1]), dtable, dpositions, index);
}

SHARDSCOPE_INSTANTIATE_INDEXED(Embedding);
SHARDSCOPE_INSTANTIATE_INDEXED(EmbeddingGrad);

}  // namespace shardscope::cpu
