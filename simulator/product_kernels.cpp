#include "simulator/product_kernels.h"

#include <algorithm>

namespace shardscope {
namespace {

// How a product computes what lies between multiplies.
struct Style {
    bool fused_gate = false;      // bias, activation and gate are one kernel
    bool fused_residual = false;  // bias, dropout and residual are one kernel
    bool fused_scores = false;    // scale, mask and softmax of unfused attention are one kernel
    bool fused_norm = false;      // RMSNorm is one kernel; LayerNorm always is
    bool fused_rope = false;
    bool fused_gradients = false;  // weight gradients are summed by their multiply
    bool dropout = false;          // by default 0.1 of attention's probabilities and of residuals
    bool fused_merge = false;      // two parts of attention are joined by one kernel, in place
    bool fused_loss = false;       // softmax, its logarithm and gradient are one kernel
    bool vocabulary_loss = false;  // they are a row of element-wise kernels on fp32 logits
    bool fused_casts = false;      // to 8 bits: one kernel writes the operand and its transpose
    bool widens_apart = false;     // 16-bit gradients become wide ones before they are added
    // Per element, beside one fused step and copies of gradients (ProfileRules::widens_gradients).
    double optimizer_bytes = 0;
    int optimizer_launches = 1;
};

constexpr Style kDeepSpeed{
    .dropout = true, .widens_apart = true, .optimizer_bytes = 14, .optimizer_launches = 5};
constexpr Style kMegatronDeepSpeed{.fused_gate = true,
                                   .fused_residual = true,
                                   .fused_scores = true,
                                   .fused_norm = true,
                                   .dropout = true,
                                   .vocabulary_loss = true,
                                   .widens_apart = true,
                                   .optimizer_bytes = 14,
                                   .optimizer_launches = 5};
// The same layers; gradients are added by Megatron's own hook.
constexpr Style kMegatron2021 = [] {
    Style style = kMegatronDeepSpeed;
    style.widens_apart = false;
    return style;
}();
constexpr Style kMegatron{.fused_gate = true,
                          .fused_residual = true,
                          .fused_scores = true,
                          .fused_norm = true,
                          .fused_rope = true,
                          .fused_gradients = true,
                          .dropout = true,
                          .fused_merge = true,
                          .vocabulary_loss = true,
                          .fused_casts = true,
                          .optimizer_bytes = 8,
                          .optimizer_launches = 3};
constexpr Style kFsdp{.optimizer_bytes = 24, .optimizer_launches = 12};
constexpr Style kLlmFoundry = [] {
    Style style = kFsdp;
    style.fused_loss = true;
    return style;
}();
constexpr Style kFsdpCompile{.fused_gate = true,
                             .fused_residual = true,
                             .fused_norm = true,
                             .fused_rope = true,
                             .fused_loss = true,
                             .fused_casts = true};
constexpr Style kFsdpCompileBlocks = [] {
    Style style = kFsdpCompile;
    style.fused_loss = false;
    return style;
}();

// Sizes in elements, e bytes each; g bytes of a gradient. Terms are written as reads and writes of the
// product less ours.
struct InProduct {
    const Style& style;
    double e, g;

    static double n(std::int64_t a, std::int64_t b) {
        return static_cast<double>(a) * static_cast<double>(b);
    }

    // Lookups, their sum, dropout, and the change from samples to tokens first.
    ProductKernel operator()(const Embedding& k) const {
        const double dropout = style.dropout ? 2 * e + 1 : 0;
        const int masks = k.vocabulary_parallel ? 4 : 0;
        return {3 + masks + (style.dropout ? 2 : 0), n(k.rows, k.hidden) * (4 * e + dropout)};
    }
    // A gradient of the whole table, of zeros but for the tokens' rows, is added to those before.
    ProductKernel operator()(const EmbeddingGrad& k) const {
        ProductKernel p{3, n(k.rows, k.hidden) * 2 * e};
        if (k.accumulate_table) {
            p.bytes += n(k.vocab, k.hidden) * e;
            add(p, sum(n(k.vocab, k.hidden)));
        }
        return p;
    }
    // The bias is part of the multiply. An activation is a kernel of its own, and so are bias, dropout
    // and residual; what ours do while the multiply goes on counts with them in full.
    ProductKernel operator()(const Linear& k) const {
        ProductKernel p{calls(k), 0};
        const double y = n(k.rows, k.out);
        if (k.activation != Activation::none) {
            p.launches += 1;
            p.bytes += y * 2 * e;
        }
        if (k.residual) add(p, residual(y, 3 * e));
        return p;
    }
    ProductKernel operator()(const LinearInputGrad& k) const {
        if (k.activation == Activation::none) return {calls(k), 0};
        return {2, n(k.rows, k.in) * 3 * e};
    }
    // The bias's gradient reads dy once more; sums may be apart.
    ProductKernel operator()(const LinearWeightGrad& k) const {
        ProductKernel p{calls(k), 0};
        if (k.bias) {
            p.launches += 1;
            p.bytes += n(k.rows, k.out) * e;
        }
        if (k.accumulate && !style.fused_gradients) {
            ProductKernel sums = sum(static_cast<double>(k.experts) * n(k.in, k.out));
            sums.launches *= calls(k);
            add(p, sums);
        }
        return p;
    }
    ProductKernel operator()(const BiasResidual& k) const {
        return residual(n(k.rows, k.hidden), 0);
    }
    ProductKernel operator()(const SwiGlu& k) const { return gate(n(k.rows, k.ffn), false); }
    ProductKernel operator()(const SwiGluGrad& k) const { return gate(n(k.rows, k.ffn), true); }
    ProductKernel operator()(const GeGlu& k) const { return gate(n(k.rows, k.ffn), false); }
    ProductKernel operator()(const GeGluGrad& k) const { return gate(n(k.rows, k.ffn), true); }

    ProductKernel operator()(const Norm& k) const { return norm(n(k.rows, k.hidden), k.kind); }
    ProductKernel operator()(const NormInputGrad& k) const {
        ProductKernel p = norm(n(k.rows, k.hidden), k.kind);
        if (k.residual) {  // a sum of its own
            p.launches += 1;
            p.bytes += n(k.rows, k.hidden) * 2 * e;
        }
        return p;
    }
    ProductKernel operator()(const NormWeightGrad& k) const {
        return norm(n(k.rows, k.hidden), k.kind);
    }
    ProductKernel operator()(const HeadNorm& k) const { return head_norm(k); }
    ProductKernel operator()(const HeadNormInputGrad& k) const { return head_norm(k); }
    ProductKernel operator()(const HeadNormWeightGrad& k) const { return head_norm(k); }

    // To fp32 and back around the rotation, q and k apart.
    ProductKernel operator()(const Rope& k) const {
        if (style.fused_rope) return {};
        return {8, n(k.rows, (k.heads + k.kv_heads) * k.turned()) * 16};
    }

    // Slices, their rotation by element-wise kernels (Megatron does not fuse it here), and the parts side
    // by side.
    ProductKernel operator()(const LatentQkv& k) const { return latent(k); }
    ProductKernel operator()(const LatentQkvGrad& k) const { return latent(k); }

    // Softmax, top-k, masks and counts; the gradient scatters into the scores.
    ProductKernel operator()(const Route& k) const { return {12, n(k.rows, k.experts) * 8}; }
    ProductKernel operator()(const RouteGrad& k) const { return {5, n(k.rows, k.experts) * 4}; }
    // By index, which reads a token's row once per place, with the indices made on the way; back by adding
    // into zeros, which reads and writes the sum once per place.
    ProductKernel operator()(const Permute& k) const {
        return {4, n(k.places - k.rows, k.width) * e};
    }
    ProductKernel operator()(const Unpermute& k) const {
        const double back = n(k.places, k.width) * 2 * e;
        return {4, back + n(k.rows, k.width) * (k.residual ? 3 * e : e)};
    }
    // Of a map: the rank's part of it and of the weights laid out, counted, turned and selected. Of numbers: a map and
    // weights made of them first, by masks, repeated indices and scattering.
    ProductKernel operator()(const SelectRows& k) const {
        return {k.map ? 6 : 9, n(k.rows, k.columns) * 4};
    }
    ProductKernel operator()(const SelectRowsGrad&) const { return {2, 0}; }
    ProductKernel operator()(const GateRows& k) const { return {3, n(k.rows, k.width) * 2 * e}; }
    ProductKernel operator()(const GateRowsGrad& k) const {
        return {4, n(k.rows, k.width) * 2 * e};
    }

    // Our unfused attention writes its probabilities once and reads them once; the products' scores
    // are e bytes too: written by q·kᵀ, through softmax and dropout, read by p·v. Megatron's kernel reads what is below
    // the diagonal alone, and writes zeros above it (scaled_upper_triang_masked_softmax.h).
    ProductKernel operator()(const Attention& k) const {
        if (k.kind == AttentionKind::flash) return {2, 0};
        const double scores =
            static_cast<double>(k.samples) * n(k.heads, k.seq) * static_cast<double>(k.seq);
        const bool fused = fuses_scores(k.samples, k.heads);
        const double passes = (fused ? 3.5 : 4) * e + dropout_bytes() + mask_bytes(fused);
        return {7 + (style.dropout ? 1 : 0) + (fused ? 0 : 4),
                scores * (passes - 2 * e) + (style.fused_scores ? result_copy(k) : copies(k))};
    }
    // dp written, dropout's and softmax's gradient, p read for dv, ds for dq and dk.
    ProductKernel operator()(const AttentionGrad& k) const {
        if (k.kind == AttentionKind::flash) return {3, 0};
        const double scores =
            static_cast<double>(k.samples) * n(k.heads, k.seq) * static_cast<double>(k.seq);
        const bool fused = fuses_scores(k.samples, k.heads);
        const double passes = (fused ? 6 : 7) * e + dropout_bytes() + mask_bytes(fused);
        return {9 + (style.dropout ? 1 : 0) + (fused ? 0 : 4),
                scores * (passes - e) + (style.fused_scores ? 1 : 2) * copies(k)};
    }

    // As above for flash; keys and values are laid out by one kernel each.
    ProductKernel operator()(const ContextAttention&) const { return {2, 0}; }
    ProductKernel operator()(const ContextAttentionGrad&) const { return {3, 0}; }
    ProductKernel operator()(const TakeKeyValues& k) const { return {k.copies > 1 ? 3 : 1, 0}; }
    // Of the outputs and of the log-sum-exps. PyTorch joins them in fp32, tensor by tensor: the part made
    // wider, its difference from the sum, that times a factor per row, the sum.
    ProductKernel operator()(const MergeAttention& k) const {
        if (style.fused_merge) return {2, 0};
        return {8, n(k.rows, k.heads * k.head_dim) * ((e + 4) + 12 + 8 + 12 - 3 * e)};
    }

    // Logarithm of the softmax and its gradient, each a pass of its own. The copies of the logits in
    // fp32 and the gradient's way back are kernels of the Program (ProfileRules::loss_copies).
    ProductKernel operator()(const SoftmaxCrossEntropy& k) const {
        const double logits = n(k.rows, k.classes);
        if (style.fused_loss) return {};
        return style.vocabulary_loss ? ProductKernel{17, logits * 22}
                                     : ProductKernel{4, logits * 4};
    }
    ProductKernel operator()(const VocabularyMax&) const { return {}; }
    ProductKernel operator()(const VocabularySum& k) const { return {9, n(k.rows, k.columns) * 8}; }
    ProductKernel operator()(const VocabularyLoss& k) const {
        return {7, n(k.rows, k.columns) * 14};
    }

    ProductKernel operator()(const LoadBatch&) const { return {8, 0}; }
    ProductKernel operator()(const SumSquares&) const { return {2, 0}; }
    ProductKernel operator()(const OptimizerStep& k) const {
        return {style.optimizer_launches, static_cast<double>(k.elements) * style.optimizer_bytes};
    }
    // Activate, ActivateGrad, Zero, Add, Copy: one kernel everywhere.
    template <class Other>
    ProductKernel operator()(const Other&) const {
        return {};
    }

private:
    // One per expert, issued from a loop in C++, which takes about a quarter of a call from Python.
    template <class LinearKernel>
    static int calls(const LinearKernel& k) {
        return static_cast<int>(1 + (k.experts - 1) / 4);
    }
    static void add(ProductKernel& to, const ProductKernel& more) {
        to.launches += more.launches;
        to.bytes += more.bytes;
    }
    // Gradients that autograd has written, added to those before: read both, write. BF16_Optimizer makes them wide
    // by a kernel of its own (update_hp_grads: add_(grad.to(fp32))); else the sum reads them as they are.
    ProductKernel sum(double elements) const {
        if (style.widens_apart && e < g) return {2, elements * ((e + g) + 3 * g)};
        return {1, elements * (e + 2 * g)};
    }
    double dropout_bytes() const { return style.dropout ? 2 * e + 1 : 0; }
    // Megatron's kernel takes samples · heads by four (FusedScaleMaskSoftmax::is_kernel_available).
    bool fuses_scores(std::int64_t samples, std::int64_t heads) const {
        return style.fused_scores && samples * heads % 4 == 0;
    }
    double mask_bytes(bool fused) const { return fused ? 0 : 4 * e + 1; }  // scale, and mask

    // Of `y` elements, besides `sum` bytes per element of the sum itself.
    ProductKernel residual(double y, double sum) const {
        const double mask = style.dropout ? 1 : 0;
        if (style.fused_residual) return {1, y * (sum + mask)};
        return {style.dropout ? 2 : 1, y * (sum + (style.dropout ? 2 * e + 1 : 0))};
    }
    ProductKernel gate(double y, bool backward) const {
        if (style.fused_gate) return {};
        return backward ? ProductKernel{3, y * 4 * e} : ProductKernel{2, y * 2 * e};
    }
    // Unfused RMSNorm: to fp32, square, mean, root, two products, back.
    ProductKernel norm(double y, NormKind kind) const {
        if (style.fused_norm || kind == NormKind::layer_norm) return {};
        return {7, y * (32 - 2 * e + 2)};
    }
    // Of what turns: pairs apart, both products, the sum, each read and written.
    template <class LatentKernel>
    ProductKernel latent(const LatentKernel& k) const {
        return {12, n(k.rows, (k.heads + 1) * k.rope) * 12 * e};
    }
    template <class HeadNormKernel>
    ProductKernel head_norm(const HeadNormKernel& k) const {
        return norm(n(k.rows, (k.heads + k.kv_heads) * k.head_dim), NormKind::rms_norm);
    }
    // Megatron multiplies views of q, k and v; the result is laid out anew, and so, in the backward pass, are the
    // gradients of all four (CoreAttention: baddbmm of views, permute().contiguous(), the split's gradient).
    template <class AttentionKernel>
    double result_copy(const AttentionKernel& k) const {
        return 2 * e * static_cast<double>(k.samples) * static_cast<double>(k.seq) *
               n(k.heads, k.value());
    }
    // Elsewhere q, k, v and the result are laid out anew for batched multiplies.
    template <class AttentionKernel>
    double copies(const AttentionKernel& k) const {
        return 2 * e * static_cast<double>(k.samples) * static_cast<double>(k.seq) *
               n(k.heads + k.kv_heads, k.head_dim + k.value());
    }
};

// Casts of a multiply's operands just before it. A cast finds the largest element (unless its scale is
// that of steps before, or the cast is fused with what produced the operand), then writes 8 or 4 bits;
// the transpose that the gradients multiply is written with it, or by a kernel of its own: always of what has
// come from other ranks in 8 bits. What an earlier multiply has cast is not cast again (Compute::cast); where casts are
// kernels of the program, none is counted here (Compute::laid_out).
ProductKernel casts(const Compute& compute, bool fused) {
    const Kernel& kernel = compute.kernel;
    const MathType math = compute.multiplies_in();
    if (math < MathType::fp8 || compute.laid_out) return {0, 0};
    const auto is_cast = [&](int operand) { return (compute.cast >> operand & 1) != 0; };
    const auto size = [](std::int64_t a, std::int64_t b) {
        return static_cast<double>(a) * static_cast<double>(b);
    };
    const double narrow = math == MathType::nvfp4 ? 0.5 : 1;
    const double first = fused ? 2 + 2 * narrow : 2 + 2 + narrow;  // bytes per element
    const double again = fused ? 0 : 2 * narrow;                   // of a transpose
    const int launches = fused ? 1 : 3;
    if (const auto* f = std::get_if<Linear>(&kernel)) {
        const double weight = static_cast<double>(f->experts) * size(f->in, f->out);
        if (is_cast(0)) return {launches, first * weight};
        return {2 * launches, first * (size(f->rows, f->in) + weight)};
    }
    if (const auto* g = std::get_if<LinearInputGrad>(&kernel)) {
        const int transposes = fused ? 0 : 1;
        const double weight = again * static_cast<double>(g->experts) * size(g->in, g->out);
        if (is_cast(0)) return {transposes, weight};
        return {launches + transposes, first * size(g->rows, g->out) + weight};
    }
    if (const auto* w = std::get_if<LinearWeightGrad>(&kernel)) {
        const auto transposed = [&](int operand, std::int64_t width) {
            if (fused && !is_cast(operand)) return ProductKernel{0, 0};
            return ProductKernel{1, 2 * narrow * size(w->rows, width)};
        };
        const ProductKernel x = transposed(0, w->in), dy = transposed(1, w->out);
        return {x.launches + dy.launches, x.bytes + dy.bytes};
    }
    return {0, 0};
}

const Style* style_of(RuntimeProfile profile) {
    switch (profile) {
        case RuntimeProfile::shardscope:
            break;
        case RuntimeProfile::deepspeed:
        case RuntimeProfile::deepspeed_2021:
            return &kDeepSpeed;
        case RuntimeProfile::megatron_deepspeed:
            return &kMegatronDeepSpeed;
        case RuntimeProfile::megatron_2021:
            return &kMegatron2021;
        case RuntimeProfile::megatron:
            return &kMegatron;
        case RuntimeProfile::fsdp:
            return &kFsdp;
        case RuntimeProfile::llm_foundry:
            return &kLlmFoundry;
        case RuntimeProfile::fsdp_compile_blocks:
            return &kFsdpCompileBlocks;
        case RuntimeProfile::fsdp_compile:
            return &kFsdpCompile;
    }
    return nullptr;
}

}  // namespace

ProductKernel product_kernel(RuntimeProfile profile, const Compute& compute) {
    const Style* style = style_of(profile);
    const ProductKernel cast = casts(compute, style == nullptr || style->fused_casts);
    ProductKernel product;
    if (style != nullptr)
        product = std::visit(InProduct{*style, static_cast<double>(size_of(compute.dtype)),
                                       static_cast<double>(size_of(compute.gradient))},
                             compute.kernel);
    if (const auto* o = std::get_if<Orthogonalise>(&compute.kernel)) {
        // The norm, the division by it, and three multiplies per iteration; products go from matrix to matrix.
        constexpr int kEach = 2 + 3 * kNewtonSchulzSteps;
        product.launches = kEach * (style != nullptr ? static_cast<int>(o->count) : 1);
    }
    product.launches += cast.launches;
    product.bytes = std::max(0.0, product.bytes) + cast.bytes;
    return product;
}

Seconds launch_cost(RuntimeProfile profile, const Device& device) {
    const ProfileConstants& constants = device.constants_of(profile);
    return device.host_cost +
           (device.blocking_launches ? constants.waiting_launch : constants.launch);
}

int launch_units(RuntimeProfile profile, Phase phase) {
    const bool eager = profile != RuntimeProfile::shardscope && !is_compiled(profile);
    return eager && phase != Phase::backward ? 4 : 1;
}

// PyTorch's context parallelism calls attention from Python for every block, on slices of queries and keys.
double context_attention_rate(RuntimeProfile profile) {
    constexpr double kByBlocks = 0.6;  // fitted to torchtitan's rows of 65,536 to 262,144 tokens
    return is_fsdp(profile) ? kByBlocks : 1;
}

// Transformer Engine and our own module call the vendor's, as PyTorch does on Blackwell, for which its copy
// of FlashAttention-2 is not built; FSDP's programs call PyTorch's, and the other stacks the flash-attention package, the
// same kernels since 2023. llm-foundry's Triton kernels are as fast as the first FlashAttention.
AttentionLibrary attention_library(RuntimeProfile profile, Architecture architecture) {
    if (profile == RuntimeProfile::shardscope || profile == RuntimeProfile::megatron ||
        architecture == Architecture::blackwell)
        return AttentionLibrary::vendor;
    return profile == RuntimeProfile::llm_foundry ? AttentionLibrary::flash_1
                                                  : AttentionLibrary::flash_2;
}

}  // namespace shardscope
