// Linear layers and attention.
#include "backends/cuda/check/kernel_case.h"

namespace shardscope::cuda {
namespace {

struct LinearShape {
    std::int64_t rows, in, out;
    std::string text() const {
        return std::to_string(rows) + " × " + std::to_string(in) + " × " + std::to_string(out);
    }
};

void add_linear(Cases& cases, const LinearShape& s, Activation activation, bool bias,
                bool residual) {
    const Linear k{s.rows, s.in, s.out, bias, residual, activation};
    const bool keeps_argument =
        activation == Activation::gelu || activation == Activation::gelu_erf;
    const std::int64_t n = s.rows * s.out;
    add_case(cases, k,
             s.text() + (bias ? ", bias" : "") + (residual ? ", residual" : "") + ", activation " +
                 std::to_string(static_cast<int>(activation)),
             {normal(s.rows * s.in), normal(s.out * s.in, 0.2), bias ? normal(s.out) : absent(),
              residual ? normal(n) : absent(), written(n), keeps_argument ? written(n) : absent()});
}

void add_linears(Cases& cases) {
    constexpr Activation kAll[] = {Activation::none, Activation::relu, Activation::gelu,
                                   Activation::gelu_erf};
    for (const LinearShape& s : {LinearShape{16, 24, 32}, {7, 5, 3}, {1, 8, 16}, {9, 40, 8}}) {
        for (const Activation activation : kAll)
            add_linear(cases, s, activation, s.rows != 9, false);
        add_linear(cases, s, Activation::none, true, true);
        add_linear(cases, s, Activation::none, false, true);
        for (const Activation activation : kAll)
            add_case(cases, LinearInputGrad{s.rows, s.in, s.out, activation},
                     s.text() + ", activation " + std::to_string(static_cast<int>(activation)),
                     {normal(s.rows * s.out), normal(s.out * s.in, 0.2),
                      activation == Activation::none ? absent() : normal(s.rows * s.in),
                      written(s.rows * s.in)});
        for (const bool bias : {false, true})
            for (const bool accumulate : {false, true}) {
                const std::int64_t n = s.out * s.in;
                const auto db = accumulate ? normal(s.out) : written(s.out);
                add_case(cases, LinearWeightGrad{s.rows, s.in, s.out, bias, accumulate},
                         s.text() + (bias ? ", bias" : "") + (accumulate ? ", accumulate" : ""),
                         {normal(s.rows * s.in), normal(s.rows * s.out),
                          accumulate ? normal(n) : written(n), bias ? db : absent()});
            }
    }
}

struct AttentionShape {
    std::int64_t samples, seq, heads, kv_heads, dim;
};

void add_attention(Cases& cases, const AttentionShape& s, AttentionKind kind) {
    const Attention forward{s.samples, s.seq, s.heads, s.kv_heads, s.dim, kind};
    const AttentionGrad backward{s.samples, s.seq, s.heads, s.kv_heads, s.dim, kind};
    const std::int64_t rows = s.samples * s.seq, qkv = rows * (s.heads + 2 * s.kv_heads) * s.dim;
    const std::int64_t y = rows * s.heads * s.dim, stats = attention_stats_elements(forward);
    const std::string shape = std::to_string(s.samples) + " × " + std::to_string(s.seq) +
                              ", heads " + std::to_string(s.heads) + "/" +
                              std::to_string(s.kv_heads) + " of " + std::to_string(s.dim) +
                              (kind == AttentionKind::flash ? ", flash" : ", unfused");
    add_case(cases, forward, shape, {normal(qkv), written(y), written(stats), absent()});
    KernelCase like;
    like.first = forward;
    like.first_operands = {1, 2, 3, 5};
    add_case(cases, backward, shape,
             {normal(y), normal(qkv), written(y), written(stats), written(qkv), absent()}, like);
}

}  // namespace

void add_matrix_cases(Cases& cases) {
    add_linears(cases);
    for (const AttentionKind kind : {AttentionKind::flash, AttentionKind::unfused})
        for (const AttentionShape& s : {AttentionShape{1, 70, 1, 1, 64},
                                        {2, 9, 4, 2, 16},
                                        {1, 1, 1, 1, 8},
                                        {1, 33, 2, 1, 128},
                                        {1, 13, 3, 1, 20}})
            add_attention(cases, s, kind);
}

}  // namespace shardscope::cuda
