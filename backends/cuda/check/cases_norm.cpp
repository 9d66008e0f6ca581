// LayerNorm, RMSNorm, and RMSNorm of heads.
#include "backends/cuda/check/kernel_case.h"

namespace shardscope::cuda {
namespace {

void add_norms(Cases& cases, NormKind kind, std::int64_t rows, std::int64_t hidden, bool bias,
               int displaced) {
    const bool layer = kind == NormKind::layer_norm;
    const std::int64_t n = rows * hidden, stats = layer ? 2 * rows : rows;
    const std::string shape = std::string(layer ? "layer" : "rms") + ", rows " +
                              std::to_string(rows) + ", hidden " + std::to_string(hidden) +
                              (bias ? ", bias" : "") + (displaced ? ", unaligned" : "");
    KernelCase like;
    like.displaced = displaced;
    const auto w = uniform(hidden, 0.5, 1.5);
    const auto x = uniform(n, -1.0, 3.0);
    add_case(cases, Norm{rows, hidden, kind, 1e-5}, shape,
             {x, w, bias ? normal(hidden) : absent(), written(n), written(stats)}, like);
    for (const bool residual : {false, true})
        add_case(cases, NormInputGrad{rows, hidden, kind, residual},
                 shape + (residual ? ", residual" : ""),
                 {normal(n), x, uniform(stats, 0.5, 1.0), w, residual ? normal(n) : absent(),
                  written(n)},
                 like);
    for (const bool accumulate : {false, true}) {
        const auto sums = accumulate ? normal(hidden) : written(hidden);
        add_case(cases, NormWeightGrad{rows, hidden, kind, accumulate},
                 shape + (accumulate ? ", accumulate" : ""),
                 {normal(n), x, uniform(stats, 0.5, 1.0), sums, bias ? sums : absent()}, like);
    }
}

void add_head_norms(Cases& cases, std::int64_t rows, std::int64_t heads, std::int64_t kv_heads,
                    std::int64_t dim) {
    const std::int64_t qkv = rows * (heads + 2 * kv_heads) * dim, normed = heads + kv_heads;
    const std::string shape = "rows " + std::to_string(rows) + ", heads " + std::to_string(heads) +
                              "+" + std::to_string(kv_heads) + " of " + std::to_string(dim);
    const auto w = uniform(dim, 0.5, 1.5);
    const auto before = normal(rows * normed * dim);
    add_case(cases, HeadNorm{rows, heads, kv_heads, dim, 1e-6}, shape,
             {normal(qkv), w, w, written(rows * normed * dim), written(rows * normed)});
    add_case(cases, HeadNormInputGrad{rows, heads, kv_heads, dim}, shape,
             {normal(qkv), before, uniform(rows * normed, 0.5, 1.5), w, w, written(qkv)});
    for (const bool accumulate : {false, true}) {
        const auto sums = accumulate ? normal(dim) : written(dim);
        add_case(cases, HeadNormWeightGrad{rows, heads, kv_heads, dim, accumulate},
                 shape + (accumulate ? ", accumulate" : ""),
                 {normal(qkv), before, uniform(rows * normed, 0.5, 1.5), sums, sums});
    }
}

}  // namespace

void add_norm_cases(Cases& cases) {
    add_norms(cases, NormKind::layer_norm, 5, 768, true, 0);
    add_norms(cases, NormKind::rms_norm, 6, 96, false, 0);
    add_norms(cases, NormKind::layer_norm, 1, 33, true, 0);
    add_norms(cases, NormKind::rms_norm, 9, 40, false, 1);
    add_norms(cases, NormKind::layer_norm, 2, 2056, false, 0);  // a row by a block
    // More than a block keeps in registers: one element at a time, and beyond 1024 threads.
    add_norms(cases, NormKind::layer_norm, 1, 4099, true, 0);
    add_norms(cases, NormKind::rms_norm, 300, 16, false, 0);  // several parts of columns
    add_head_norms(cases, 3, 4, 2, 64);
    add_head_norms(cases, 2, 3, 1, 20);
    add_head_norms(cases, 1, 1, 1, 7);
    add_head_norms(cases, 2, 2, 1, 264);
    add_head_norms(cases, 140, 1, 1, 16);
}

}  // namespace shardscope::cuda
