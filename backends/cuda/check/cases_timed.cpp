// The large cases, for their speed.
#include "backends/cuda/check/kernel_case.h"

namespace shardscope::cuda {
namespace {

struct Sizes {
    std::string model;
    std::int64_t rows, seq, hidden, ffn, vocab, heads, kv_heads, head_dim;
};

void add(Cases& cases, const Kernel& kernel, const std::string& shape,
         const std::vector<OperandContent>& operands) {
    KernelCase c;
    c.kernel = kernel;
    c.dtype = c.gradient = DType::bf16;
    c.shape = shape;
    c.operands = operands;
    cases.push_back(c);
}

void add_model(Cases& cases, const Sizes& s, NormKind kind) {
    const std::int64_t n = s.rows * s.hidden, r = s.rows;
    const std::int64_t stats = kind == NormKind::layer_norm ? 2 * r : r;
    const std::int64_t qkv = r * (s.heads + 2 * s.kv_heads) * s.head_dim;
    const auto w = normal(s.hidden);
    const std::string& m = s.model;
    add(cases, Norm{r, s.hidden, kind, 1e-5}, m, {normal(n), w, w, written(n), written(stats)});
    add(cases, NormInputGrad{r, s.hidden, kind, true}, m,
        {normal(n), normal(n), uniform(stats, 0.5, 1), w, normal(n), written(n)});
    add(cases, NormWeightGrad{r, s.hidden, kind, true}, m,
        {normal(n), normal(n), uniform(stats, 0.5, 1), w, w});
    add(cases, Embedding{r, s.seq, s.vocab, s.hidden}, m,
        {integers(r, s.vocab), normal(s.vocab * s.hidden), normal(s.seq * s.hidden), written(n)});
    add(cases, EmbeddingGrad{r, s.seq, s.vocab, s.hidden}, m,
        {integers(r, s.vocab), normal(n), written(s.vocab * s.hidden), written(s.seq * s.hidden)});
    add(cases, BiasResidual{r, s.hidden, true, true}, m, {normal(n), w, normal(n)});
    add(cases, Activate{r * s.ffn, Activation::gelu}, m, {normal(r * s.ffn), written(r * s.ffn)});
    add(cases, ActivateGrad{r * s.ffn, Activation::gelu}, m,
        {normal(r * s.ffn), normal(r * s.ffn), written(r * s.ffn)});
    add(cases, SwiGlu{r, s.ffn}, m, {normal(2 * r * s.ffn), written(r * s.ffn)});
    add(cases, SwiGluGrad{r, s.ffn}, m,
        {normal(r * s.ffn), normal(2 * r * s.ffn), written(2 * r * s.ffn)});
    add(cases,
        Rope{.rows = r,
             .seq = s.seq,
             .heads = s.heads,
             .kv_heads = s.kv_heads,
             .head_dim = s.head_dim},
        m, {normal(qkv)});
    // An eighth of the rows, which are long.
    const std::int64_t rows = r / 8;
    add(cases, SoftmaxCrossEntropy{rows, s.vocab, 1e-3, false},
        m + ", " + std::to_string(rows) + " rows",
        {normal(rows * s.vocab), integers(rows, s.vocab), written(1)});
    const std::int64_t width = (s.heads + 2 * s.kv_heads) * s.head_dim;
    add(cases, Linear{r, s.hidden, width}, m,
        {normal(n), normal(width * s.hidden), absent(), absent(), written(r * width), absent()});
    const Attention attention{r / s.seq, s.seq, s.heads, s.kv_heads, s.head_dim};
    const std::int64_t y = r * s.heads * s.head_dim;
    const std::int64_t lse = attention_stats_elements(attention);
    add(cases, attention, m, {normal(qkv), written(y), written(lse), absent()});
    add(cases, AttentionGrad{r / s.seq, s.seq, s.heads, s.kv_heads, s.head_dim}, m,
        {normal(y), normal(qkv), written(y), written(lse), written(qkv), absent()});
    cases.back().first = attention;
    cases.back().first_operands = {1, 2, 3, 5};
}

}  // namespace

std::vector<KernelCase> timed_cases() {
    Cases cases;
    add_model(cases, {"GPT-2 124M", 16384, 1024, 768, 3072, 50304, 12, 12, 64},
              NormKind::layer_norm);
    add_model(cases, {"Llama 3 8B", 4096, 4096, 4096, 14336, 128256, 32, 8, 128},
              NormKind::rms_norm);
    constexpr std::int64_t kParameters = std::int64_t{1} << 25;
    add(cases, SumSquares{.elements = kParameters}, "32Mi elements",
        {normal(kParameters), written(1)});
    add(cases, OptimizerStep{kParameters, OptimizerSpec{}, 1.0, true}, "32Mi elements, adamw",
        {normal(kParameters), uniform(1, 1, 2), written(kParameters), normal(kParameters),
         normal(kParameters), uniform(kParameters, 0.1, 1)});
    return cases;
}

}  // namespace shardscope::cuda
