// Activations, gated units, rotary positions, sums and copies.
#include "backends/cuda/check/kernel_case.h"

namespace shardscope::cuda {
namespace {

std::string elements_text(std::int64_t n) { return std::to_string(n) + " elements"; }

void add_activations(Cases& cases) {
    for (const Activation activation :
         {Activation::relu, Activation::gelu, Activation::gelu_erf, Activation::none})
        for (const std::int64_t n : {1, 777, 4096}) {
            const std::string shape = "activation " + std::to_string(static_cast<int>(activation)) +
                                      ", " + elements_text(n);
            add_case(cases, Activate{n, activation}, shape, {normal(n, 3), written(n)});
            add_case(cases, ActivateGrad{n, activation}, shape,
                     {normal(n), normal(n, 3), written(n)});
        }
    KernelCase displaced;
    displaced.displaced = 3;
    add_case(cases, Activate{99, Activation::gelu}, "99 elements, unaligned",
             {normal(99, 3), written(99)}, displaced);
    add_case(cases, ActivateGrad{99, Activation::gelu}, "99 elements, unaligned",
             {normal(99), normal(99, 3), written(99)}, displaced);
}

void add_gated_units(Cases& cases) {
    struct Shape {
        std::int64_t rows, ffn;
        int displaced;
    };
    for (const auto& [rows, ffn, displaced] :
         {Shape{5, 72, 0}, {1, 1, 0}, {3, 45, 0}, {2, 64, 1}}) {
        KernelCase like;
        like.displaced = displaced;
        const std::string shape = "rows " + std::to_string(rows) + ", ffn " + std::to_string(ffn);
        const auto in = normal(rows * 2 * ffn, 2);
        const auto dy = normal(rows * ffn);
        add_case(cases, SwiGlu{rows, ffn}, shape, {in, written(rows * ffn)}, like);
        add_case(cases, SwiGluGrad{rows, ffn}, shape, {dy, in, written(rows * 2 * ffn)}, like);
        for (const Activation activation : {Activation::gelu, Activation::gelu_erf}) {
            add_case(cases, GeGlu{rows, ffn, activation}, shape, {in, written(rows * ffn)}, like);
            add_case(cases, GeGluGrad{rows, ffn, activation}, shape,
                     {dy, in, written(rows * 2 * ffn)}, like);
        }
    }
}

void add_rope(Cases& cases) {
    struct Shape {
        std::int64_t rows, seq, heads, kv_heads, dim, turned;
    };
    for (const auto& s : {Shape{10, 5, 2, 2, 32, 0},
                          {7, 7, 4, 1, 16, 8},
                          {6, 3, 1, 1, 6, 0},
                          {3, 3, 2, 1, 1040, 0},
                          {4, 2, 3, 1, 20, 12}})
        for (const bool inverse : {false, true}) {
            Rope k{.rows = s.rows,
                   .seq = s.seq,
                   .heads = s.heads,
                   .kv_heads = s.kv_heads,
                   .head_dim = s.dim,
                   .theta = 500.0,
                   .inverse = inverse,
                   .rotary_dim = s.turned};
            if (inverse) k.scaling = {.kind = RopeScaling::Kind::linear, .factor = 2.0};
            add_case(cases, k,
                     "rows " + std::to_string(s.rows) + ", heads " + std::to_string(s.heads) + "+" +
                         std::to_string(s.kv_heads) + " of " + std::to_string(s.dim) + ", turned " +
                         std::to_string(k.turned()) + (inverse ? ", inverse" : ""),
                     {normal(s.rows * (s.heads + 2 * s.kv_heads) * s.dim)});
        }
}

void add_moves(Cases& cases) {
    for (const int displaced : {0, 1})
        for (const std::int64_t n : {1, 63, 2048}) {
            KernelCase like;
            like.displaced = displaced;
            const std::string shape = elements_text(n) + (displaced ? ", unaligned" : "");
            add_case(cases, Zero{n}, shape, {written(n)}, like);
            add_case(cases, Copy{n}, shape, {normal(n), written(n)}, like);
            add_case(cases, Add{n}, shape, {normal(n), normal(n)}, like);
        }
    struct Shape {
        std::int64_t rows, hidden;
    };
    for (const auto& [rows, hidden] : {Shape{3, 40}, {1, 7}, {2, 512}})
        for (const int parts : {1, 2, 3})
            add_case(cases,
                     BiasResidual{.rows = rows,
                                  .hidden = hidden,
                                  .bias = (parts & 1) != 0,
                                  .residual = (parts & 2) != 0},
                     "rows " + std::to_string(rows) + ", hidden " + std::to_string(hidden) +
                         ((parts & 1) != 0 ? ", bias" : "") +
                         ((parts & 2) != 0 ? ", residual" : ""),
                     {normal(rows * hidden), (parts & 1) != 0 ? normal(hidden) : absent(),
                      (parts & 2) != 0 ? normal(rows * hidden) : absent()});
}

}  // namespace

void add_elementwise_cases(Cases& cases) {
    add_activations(cases);
    add_gated_units(cases);
    add_rope(cases);
    add_moves(cases);
}

}  // namespace shardscope::cuda
