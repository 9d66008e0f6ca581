#include "cli/kernel_cases.h"

namespace shardscope {
namespace {

constexpr std::int64_t kWidth = 256;  // of row-wise kernels

OptimizerSpec optimizer(OptimizerKind kind) {
    OptimizerSpec spec;
    spec.kind = kind;
    spec.momentum = 0.9;
    return spec;
}

// bf16 is trained with master weights, the others without.
void add_element_wise(std::vector<Kernel>& out, std::int64_t n, bool master) {
    for (const Activation a : {Activation::relu, Activation::gelu, Activation::gelu_erf})
        out.insert(out.end(), {Activate{n, a}, ActivateGrad{n, a}});
    out.insert(out.end(), {Zero{n}, Add{n}, Copy{n}, SumSquares{n},
                           OptimizerStep{n, optimizer(OptimizerKind::adamw), 1.0, master},
                           OptimizerStep{n, optimizer(OptimizerKind::sgd), 1.0, master}});
}

void add_row_wise(std::vector<Kernel>& out, std::int64_t rows) {
    const std::int64_t seq = rows, vocab = 1024, heads = 8, head_dim = kWidth / heads;
    for (const NormKind kind : {NormKind::layer_norm, NormKind::rms_norm})
        out.insert(out.end(), {Norm{rows, kWidth, kind}, NormInputGrad{rows, kWidth, kind, true},
                               NormWeightGrad{rows, kWidth, kind}});
    // This scale keeps the values of repeated calls as they are, see fill() in kernel_timing.cpp.
    constexpr double kScale = 0.01;
    out.insert(out.end(), {VocabularyMax{rows, kWidth, kWidth}, VocabularySum{rows, kWidth, kWidth},
                           VocabularyLoss{rows, kWidth, kWidth, kScale},
                           BiasResidual{rows, kWidth, true, true}});
    for (const Activation a : {Activation::gelu, Activation::gelu_erf})
        out.insert(out.end(), {GeGlu{rows, 2 * kWidth, a}, GeGluGrad{rows, 2 * kWidth, a}});
    out.insert(out.end(), {HeadNorm{rows, heads, heads, head_dim},
                           HeadNormInputGrad{rows, heads, heads, head_dim},
                           HeadNormWeightGrad{rows, heads, heads, head_dim}});
    out.insert(out.end(), {SwiGlu{rows, 2 * kWidth}, SwiGluGrad{rows, 2 * kWidth},
                           Rope{rows, seq, heads, heads, head_dim},
                           SoftmaxCrossEntropy{rows, kWidth}, Embedding{rows, seq, vocab, kWidth},
                           EmbeddingGrad{rows, seq, vocab, kWidth, true, true}});
}

void add_attention(std::vector<Kernel>& out, std::int64_t seq) {
    for (const std::int64_t head_dim : {32, 64, 128}) {
        out.push_back(Attention{1, seq, 4, 4, head_dim});
        out.push_back(AttentionGrad{1, seq, 4, 4, head_dim});
    }
}

void add_cases(std::vector<Compute>& out, DType dtype, const std::vector<std::int64_t>& elements,
               const std::vector<std::int64_t>& sequences) {
    std::vector<Kernel> kernels;
    for (const std::int64_t n : elements) {
        add_element_wise(kernels, n, dtype == DType::bf16);
        add_row_wise(kernels, n / kWidth);
    }
    for (const std::int64_t seq : sequences) add_attention(kernels, seq);
    for (const Kernel& kernel : kernels) out.push_back(with_dtype(kernel, dtype));
}

}  // namespace

std::vector<std::pair<DType, MatmulShape>> matmul_shapes(bool quick) {
    std::vector<std::pair<DType, MatmulShape>> shapes;
    const std::vector<std::int64_t> lengths =
        quick ? std::vector<std::int64_t>{64, 512} : std::vector<std::int64_t>{64, 256, 1024};
    for (const std::int64_t m : lengths)
        for (const std::int64_t n : lengths)
            for (const std::int64_t k : lengths) shapes.push_back({DType::fp32, {m, n, k}});
    for (const std::int64_t n : {64, 512})
        for (const std::int64_t k : {64, 512}) {
            for (const std::int64_t m : {64, 512})
                for (const DType dtype : {DType::fp64, DType::bf16})
                    shapes.push_back({dtype, {m, n, k}});
        }
    if (quick) return shapes;
    // Small micro-batches and few classes, in each of the three places; and larger models.
    for (const std::int64_t a : {128, 1024})
        for (const std::int64_t b : {128, 1024})
            for (const MatmulShape& shape :
                 {MatmulShape{16, a, b}, MatmulShape{a, 16, b}, MatmulShape{a, b, 16}})
                shapes.push_back({DType::fp32, shape});
    for (const MatmulShape& shape : {MatmulShape{256, 2048, 2048}, MatmulShape{2048, 2048, 512}})
        shapes.push_back({DType::fp32, shape});
    return shapes;
}

std::array<Kernel, 3> multiplies_of(const MatmulShape& shape) {
    const auto [m, n, k] = shape;
    return {Linear{m, k, n}, LinearInputGrad{m, n, k}, LinearWeightGrad{k, n, m}};
}

Compute with_dtype(Kernel kernel, DType dtype) {
    Compute compute;
    compute.kernel = std::move(kernel);
    compute.dtype = compute.gradient = dtype;
    return compute;
}

std::vector<Compute> kernel_cases(bool quick) {
    std::vector<Compute> cases;
    if (quick) {
        add_cases(cases, DType::fp32, {1 << 10, 1 << 16, 1 << 20}, {64, 256});
        add_cases(cases, DType::fp64, {1 << 16}, {128});
        add_cases(cases, DType::bf16, {1 << 16}, {128});
        return cases;
    }
    add_cases(cases, DType::fp32, {1 << 10, 1 << 14, 1 << 17, 1 << 20, 1 << 22},
              {32, 128, 512, 1024});
    add_cases(cases, DType::fp64, {1 << 12, 1 << 17, 1 << 21}, {64, 256});
    add_cases(cases, DType::bf16, {1 << 13, 1 << 20}, {64, 256});
    return cases;
}

std::vector<EpilogueCase> epilogue_cases(DType dtype, bool quick) {
    constexpr std::int64_t rows = 512, thin = 16;  // the multiply itself is to be short
    std::vector<EpilogueCase> cases;
    for (const std::int64_t width : {64, 1024}) {
        if (width == 64 && (quick || dtype == DType::bf16)) continue;
        const Linear plain{rows, thin, width}, bias{rows, thin, width, true};
        const LinearInputGrad input{rows, width, thin};
        const auto activated = [&](Activation a) {
            return Linear{rows, thin, width, true, false, a};
        };
        const auto derived = [&](Activation a) { return LinearInputGrad{rows, width, thin, a}; };
        cases.insert(cases.end(),
                     {{"linear.bias", bias, plain},
                      {"linear.residual", Linear{rows, thin, width, true, true}, bias},
                      {"linear.relu", activated(Activation::relu), bias},
                      {"linear.gelu", activated(Activation::gelu), bias},
                      {"linear.gelu_erf", activated(Activation::gelu_erf), bias},
                      {"linear_input_grad.relu", derived(Activation::relu), input},
                      {"linear_input_grad.gelu", derived(Activation::gelu), input},
                      {"linear_input_grad.gelu_erf", derived(Activation::gelu_erf), input},
                      {"linear_weight_grad.bias", LinearWeightGrad{rows, thin, width, true},
                       LinearWeightGrad{rows, thin, width}}});
    }
    return cases;
}

std::vector<Compute> typical_mixture() {
    std::vector<Compute> mixture;
    for (const Kernel& kernel :
         {Kernel(Linear{512, 256, 1024, true, false, Activation::gelu}),
          Kernel(LinearInputGrad{512, 256, 1024}), Kernel(LinearWeightGrad{512, 256, 1024}),
          Kernel(Norm{512, 256}), Kernel(NormInputGrad{512, 256}),
          Kernel(Attention{4, 128, 8, 8, 32})})
        mixture.push_back(with_dtype(kernel, DType::fp32));
    return mixture;
}

}  // namespace shardscope
