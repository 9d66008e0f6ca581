// Latent attention: what makes queries, keys and values from the block's normalised input.
//
// With sequence parallelism what compresses works on a rank's own rows, and the short vectors are gathered;
// the layers that make heads of them are column parallel.
#include <array>

#include "core/lowering/layers.h"

namespace shardscope {
namespace {

LatentQkv latent_of(const BlockLayer& b, std::int64_t rows) {
    return {rows, b.heads, b.latent.nope_dim, b.latent.rope_dim, b.value_dim};
}

}  // namespace

void LayerLowering::latent_qkv(std::size_t l, const BlockLayer& b, BufferId y1) {
    const LatentParameters& p = b.latent;
    const std::int64_t rows = context_.rows(), local = context_.local_rows();
    BufferId x = y1;
    std::int64_t width = b.hidden;
    if (p.query_rank > 0) {
        const BufferId down = saved(l, "attention.query_down", local * p.query_rank);
        linear(p.query_down, y1, down, local_tokens());
        x = saved(l, "attention.query_norm", local * p.query_rank);
        norm(p.query_norm, p.query_rank, down, x,
             norm_stats(l, "attention.query_norm.stats", p.query_norm));
        width = p.query_rank;
    }
    const char* what = p.query_rank > 0 ? "attention.query_norm" : "attention_norm";
    const BufferId q = temporary(l, "attention.query", rows * p.query_up.out);
    linear(p.query_up, all_rows(l, what, x, width), q);

    const BufferId down = saved(l, "attention.kv_down", local * p.kv_rank);
    linear(p.kv_down, y1, down, local_tokens());
    const BufferId key = temporary(l, "attention.key_rope", local * p.rope_dim);
    linear(p.key_rope, y1, key, local_tokens());
    const BufferId normed = saved(l, "attention.kv_norm", local * p.kv_rank);
    norm(p.kv_norm, p.kv_rank, down, normed, norm_stats(l, "attention.kv_norm.stats", p.kv_norm));
    const BufferId kv = temporary(l, "attention.key_value", rows * p.kv_up.out);
    linear(p.kv_up, all_rows(l, "attention.kv_norm", normed, p.kv_rank), kv);

    const LatentQkv kernel = latent_of(b, rows);
    const BufferId qkv = saved(l, "qkv", rows * b.heads * (2 * kernel.query() + kernel.value));
    emit(kernel, {start_of(q), start_of(kv),
                  start_of(all_rows(l, "attention.key_rope", key, p.rope_dim, For::attention)),
                  start_of(qkv)});
}

BufferId LayerLowering::latent_qkv_backward(std::size_t l, const BlockLayer& b, BufferId dqkv) {
    const LatentParameters& p = b.latent;
    const std::int64_t rows = context_.rows(), local = context_.local_rows();
    const BufferId y1 = saved(l, "attention_norm", local * b.hidden);
    const LatentQkv forward = latent_of(b, rows);
    const BufferId dq = temporary(l, "d attention.query", rows * p.query_up.out);
    const BufferId dkv = temporary(l, "d attention.key_value", rows * p.kv_up.out);
    // Of all rows it is a sum over this rank's heads.
    BufferId dkey = temporary(l, "d attention.key_rope", rows * p.rope_dim);
    emit(LatentQkvGrad{rows, forward.heads, forward.nope, forward.rope, forward.value},
         {start_of(dqkv), start_of(dq), start_of(dkv), start_of(dkey)});
    if (context_.sequence_parallel()) {
        const BufferId sum = temporary(l, "d attention.key_rope sum", local * p.rope_dim);
        reduce_scatter(l, "d attention.key_rope", dkey, sum, rows * p.rope_dim);
        dkey = sum;
    } else if (context_.tp.valid()) {
        all_reduce(dkey, rows * p.rope_dim, context_.storage);
    }

    const BufferId dy1 = temporary(l, "d attention_norm", local * b.hidden);
    const BufferId part = temporary(l, "d attention_norm part", local * b.hidden);
    // The gradient through a compressed vector, into `to`.
    const auto through = [&](const LinearParameters& up, const LinearParameters& down,
                             const NormParameters& p_norm, std::array<const char*, 6> what,
                             std::int64_t rank, BufferId dup, BufferId to) {
        const BufferId dnormed = temporary(l, what[1], local * rank);
        column_gradients(l, what[0], what[2], up, saved(l, what[0], local * rank), dup, dnormed);
        const BufferId ddown = temporary(l, what[3], local * rank);
        norm_grad(p_norm, rank, dnormed, saved(l, what[4], local * rank),
                  norm_stats(l, what[5], p_norm), {}, ddown);
        linear_weight_grad(down, y1, ddown, local_tokens());
        linear_input_grad(down, ddown, to, local_tokens());
    };
    through(p.kv_up, p.kv_down, p.kv_norm,
            {"attention.kv_norm", "d attention.kv_norm", "d attention.kv_norm partial",
             "d attention.kv_down", "attention.kv_down", "attention.kv_norm.stats"},
            p.kv_rank, dkv, dy1);
    linear_weight_grad(p.key_rope, y1, dkey, local_tokens());
    linear_input_grad(p.key_rope, dkey, part, local_tokens());
    add(dy1, part, local * b.hidden);
    if (p.query_rank > 0) {
        through(p.query_up, p.query_down, p.query_norm,
                {"attention.query_norm", "d attention.query_norm", "d attention.query_norm partial",
                 "d attention.query_down", "attention.query_down", "attention.query_norm.stats"},
                p.query_rank, dq, part);
    } else {
        column_gradients(l, "attention_norm", "d attention_norm partial", p.query_up, y1, dq, part);
    }
    add(dy1, part, local * b.hidden);
    return dy1;
}

}  // namespace shardscope
