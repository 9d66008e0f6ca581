#include "cli/kernel_cases.h"

#include <algorithm>

namespace shardscope {
namespace {

// What shapes are made of beside the number of elements.
struct CaseShape {
    std::int64_t width = 256;    // of row-wise kernels
    std::int64_t classes = 256;  // of the loss
    std::int64_t vocab = 1024;   // of embeddings
    std::int64_t heads = 8;      // of row-wise kernels
    // Of attention: as many heads as fill the device.
    std::int64_t samples = 1, attention_heads = 4;
    std::vector<std::int64_t> head_dims{32, 64, 128};
};

CaseShape gpu_shape() { return {1024, 50'304, 50'304, 16, 8, 16, {64, 128}}; }

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

// `rows` of the width; of the loss so many as have as many elements.
void add_row_wise(std::vector<Kernel>& out, std::int64_t rows, const CaseShape& shape) {
    const std::int64_t width = shape.width, vocab = shape.vocab, heads = shape.heads;
    const std::int64_t seq = std::min<std::int64_t>(rows, 1024), head_dim = width / heads;
    const std::int64_t classes = shape.classes;
    const std::int64_t few = std::max<std::int64_t>(1, rows * width / classes);
    for (const NormKind kind : {NormKind::layer_norm, NormKind::rms_norm})
        out.insert(out.end(), {Norm{rows, width, kind}, NormInputGrad{rows, width, kind, true},
                               NormWeightGrad{rows, width, kind}});
    // This scale keeps the values of repeated calls as they are, see fill() in kernel_timing.cpp.
    constexpr double kScale = 0.01;
    out.insert(
        out.end(),
        {VocabularyMax{few, classes, classes}, VocabularySum{few, classes, classes},
         VocabularyLoss{few, classes, classes, kScale}, BiasResidual{rows, width, true, true}});
    for (const Activation a : {Activation::gelu, Activation::gelu_erf})
        out.insert(out.end(), {GeGlu{rows, 2 * width, a}, GeGluGrad{rows, 2 * width, a}});
    out.insert(out.end(), {HeadNorm{rows, heads, heads, head_dim},
                           HeadNormInputGrad{rows, heads, heads, head_dim},
                           HeadNormWeightGrad{rows, heads, heads, head_dim}});
    out.insert(out.end(), {SwiGlu{rows, 2 * width}, SwiGluGrad{rows, 2 * width},
                           Rope{rows, seq, heads, heads, head_dim},
                           SoftmaxCrossEntropy{few, classes}, Embedding{rows, seq, vocab, width},
                           EmbeddingGrad{rows, seq, vocab, width, true, true}});
}

void add_attention(std::vector<Kernel>& out, std::int64_t seq, const CaseShape& shape) {
    const std::int64_t heads = shape.attention_heads;
    for (const AttentionKind kind : {AttentionKind::flash, AttentionKind::unfused})
        for (const std::int64_t head_dim : shape.head_dims) {
            out.push_back(Attention{shape.samples, seq, heads, heads, head_dim, kind});
            out.push_back(AttentionGrad{shape.samples, seq, heads, heads, head_dim, kind});
        }
}

void add_cases(std::vector<Compute>& out, DType dtype, const std::vector<std::int64_t>& elements,
               const std::vector<std::int64_t>& sequences, const CaseShape& shape = {}) {
    std::vector<Kernel> kernels;
    for (const std::int64_t n : elements) {
        add_element_wise(kernels, n, dtype == DType::bf16);
        add_row_wise(kernels, std::max<std::int64_t>(1, n / shape.width), shape);
    }
    for (const std::int64_t seq : sequences) add_attention(kernels, seq, shape);
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

namespace {

// `thin`: the multiply itself is to be short.
void add_epilogues(std::vector<EpilogueCase>& cases, std::int64_t rows, std::int64_t width,
                   std::int64_t thin) {
    const Linear plain{rows, thin, width}, bias{rows, thin, width, true};
    const LinearInputGrad input{rows, width, thin};
    const auto activated = [&](Activation a) { return Linear{rows, thin, width, true, false, a}; };
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

}  // namespace

std::vector<EpilogueCase> epilogue_cases(DType dtype, bool quick) {
    std::vector<EpilogueCase> cases;
    for (const std::int64_t width : {64, 1024}) {
        if (width == 64 && (quick || dtype == DType::bf16)) continue;
        add_epilogues(cases, 512, width, 16);
    }
    return cases;
}

std::vector<EpilogueCase> gpu_epilogue_cases(bool quick) {
    std::vector<EpilogueCase> cases;
    for (const std::int64_t rows : {512, 4096, 16'384})
        if (!quick || rows == 4096) add_epilogues(cases, rows, 4096, 64);
    return cases;
}

std::vector<std::pair<DType, MatmulShape>> gpu_matmul_shapes(bool quick) {
    std::vector<MatmulShape> shapes;
    const auto rows = quick ? std::vector<std::int64_t>{1024, 16'384}
                            : std::vector<std::int64_t>{1024, 4096, 8192, 16'384, 32'768};
    const auto widths = quick ? std::vector<std::int64_t>{768, 2048}
                              : std::vector<std::int64_t>{768, 1024, 1280, 2048, 4096};
    for (const std::int64_t m : rows) {
        for (const std::int64_t h : widths)
            for (const MatmulShape& shape : {MatmulShape{m, h, h}, MatmulShape{m, 3 * h, h},
                                             MatmulShape{m, 4 * h, h}, MatmulShape{m, h, 4 * h}})
                shapes.push_back(shape);
        // The classifier; its logits are the largest buffer.
        for (const std::int64_t h : widths)
            if (m <= 16'384) shapes.push_back({m, 50'304, h});
    }
    // Small models, which are bound by launches.
    for (const std::int64_t m : {32, 256})
        for (const std::int64_t n : {10, 128, 1024})
            for (const std::int64_t k : {128, 784}) shapes.push_back({m, n, k});
    std::vector<std::pair<DType, MatmulShape>> all;
    for (const DType dtype : {DType::bf16, DType::fp32})
        for (const MatmulShape& shape : shapes)
            // fp32 is 15 times as slow; its largest shapes say nothing new.
            if (dtype == DType::bf16 || shape.m * shape.n * shape.k <= std::int64_t{1} << 36)
                all.emplace_back(dtype, shape);
    return all;
}

std::vector<Compute> gpu_kernel_cases(bool quick) {
    std::vector<Compute> cases;
    const auto elements = quick ? std::vector<std::int64_t>{1 << 12, 1 << 20, 1 << 26}
                                : std::vector<std::int64_t>{1 << 12, 1 << 16, 1 << 18, 1 << 20,
                                                            1 << 22, 1 << 24, 1 << 26};
    const auto sequences = quick ? std::vector<std::int64_t>{256, 1024}
                                 : std::vector<std::int64_t>{128, 256, 512, 1024, 2048, 4096};
    for (const DType dtype : {DType::bf16, DType::fp32})
        add_cases(cases, dtype, elements, sequences, gpu_shape());
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
