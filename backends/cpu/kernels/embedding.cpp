// Token and position embeddings.
#include <algorithm>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/simd.h"

namespace shardscope::cpu {
namespace {

template <class T>
SHARDSCOPE_CLONES void forward(const Embedding& k, const std::int32_t* tokens, const T* table,
                               const T* positions, T* y) {
    for (std::int64_t r = 0; r < k.rows; ++r) {
        const T* row = table + tokens[r] * k.hidden;
        T* out = y + r * k.hidden;
        if (!positions) {
            std::copy_n(row, k.hidden, out);
            continue;
        }
        const T* position = positions + (r % k.seq) * k.hidden;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < k.hidden; ++i) out[i] = row[i] + position[i];
    }
}

// Rows are added in order, so that the gradient of a frequent token does not depend on anything
// but the batch.
template <class T>
SHARDSCOPE_CLONES void add_rows(const EmbeddingGrad& k, const std::int32_t* tokens, const T* dy,
                                T* dtable, T* dpositions) {
    for (std::int64_t r = 0; r < k.rows; ++r) {
        const T* in = dy + r * k.hidden;
        T* row = dtable + tokens[r] * k.hidden;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < k.hidden; ++i) row[i] += in[i];
        if (!dpositions) continue;
        T* position = dpositions + (r % k.seq) * k.hidden;
        SHARDSCOPE_INDEPENDENT
        for (std::int64_t i = 0; i < k.hidden; ++i) position[i] += in[i];
    }
}

}  // namespace

template <class T>
void run(const Embedding& k, const Addresses& at) {
    forward(k, as<const std::int32_t>(at[0]), as<const T>(at[1]), as<const T>(at[2]), as<T>(at[3]));
}

template <class T>
void run(const EmbeddingGrad& k, const Addresses& at) {
    T *dtable = as<T>(at[2]), *dpositions = as<T>(at[3]);
    if (!k.accumulate_table) std::fill_n(dtable, k.vocab * k.hidden, T(0));
    if (dpositions && !k.accumulate_positions) std::fill_n(dpositions, k.seq * k.hidden, T(0));
    add_rows(k, as<const std::int32_t>(at[0]), as<const T>(at[1]), dtable, dpositions);
}

SHARDSCOPE_INSTANTIATE(Embedding);
SHARDSCOPE_INSTANTIATE(EmbeddingGrad);

}  // namespace shardscope::cpu
