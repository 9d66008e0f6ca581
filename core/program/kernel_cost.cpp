// What each kernel costs. Bytes count every operand once per direction, as if each came from memory
// and intermediate values stayed in registers; e is the size of an activation or parameter, g that
// of a parameter gradient, s that of statistics and optimizer states (never below fp32).
// Multiply-adds count two; exponentials, roots and divisions count as kTranscendental.
#include <algorithm>

#include "core/program/kernel.h"

namespace shardscope {
namespace {

constexpr double kTranscendental = 8;

struct CostOf {
    std::int64_t e, g, s;

    // Products that may pass 2^63 for absurd shapes are formed in double; lowering checks sizes.
    static KernelCost cost(double matmul, double other, std::int64_t read, std::int64_t written) {
        return {Flops(matmul), Flops(other), Bytes(read), Bytes(written)};
    }
    static double real(std::int64_t n) { return static_cast<double>(n); }

    static double forward_flops(Activation a) {
        switch (a) {
            case Activation::relu:
                return 1;
            case Activation::gelu:
                return 6 + 2 * kTranscendental;  // exp and division
            case Activation::gelu_erf:
                return 14 + 2 * kTranscendental;
            case Activation::none:
                break;
        }
        return 0;
    }
    static double backward_flops(Activation a) {
        switch (a) {
            case Activation::relu:
                return 1;
            case Activation::gelu:
                return 14 + 2 * kTranscendental;
            case Activation::gelu_erf:
                return 17 + 2 * kTranscendental;
            case Activation::none:
                break;
        }
        return 0;
    }
    static std::int64_t norm_vectors(NormKind kind) { return kind == NormKind::layer_norm ? 2 : 1; }

    // Tokens or features, and one target per position.
    KernelCost operator()(const LoadBatch& k) const {
        const std::int64_t inputs = k.tokens ? k.samples * k.seq * 4 : k.samples * k.width * e;
        return cost(0, 0, 0, (k.inputs ? inputs : 0) + (k.targets ? k.samples * k.seq * 4 : 0));
    }
    // One table row per token. Positions, seq·hidden read once if there are any, are left out:
    // the kernel does not know of them.
    KernelCost operator()(const Embedding& k) const {
        const std::int64_t n = k.rows * k.hidden;
        return cost(0, real(n), n * e + k.rows * 4, n * e);
    }
    // One table row is read and written per token; without accumulation all others are zeroed.
    KernelCost operator()(const EmbeddingGrad& k) const {
        const std::int64_t n = k.rows * k.hidden;
        const std::int64_t zeroed = k.accumulate_table ? 0 : k.vocab * k.hidden * g;
        return cost(0, real(n), n * (e + g) + k.rows * 4, n * g + zeroed);
    }
    // 2·rows·in·out, then bias, activation and residual per output.
    KernelCost operator()(const Linear& k) const {
        const std::int64_t y = k.rows * k.out;
        const std::int64_t bias = k.bias ? k.out : 0;
        const std::int64_t residual = k.residual ? y : 0;
        const std::int64_t pre = needs_argument(k.activation) ? y : 0;
        return cost(
            2 * real(k.rows) * real(k.in) * real(k.out),
            real(y) * ((k.bias ? 1 : 0) + (k.residual ? 1 : 0) + forward_flops(k.activation)),
            (k.rows * k.in + k.experts * (k.in * k.out + bias) + residual) * e, (y + pre) * e);
    }
    KernelCost operator()(const LinearInputGrad& k) const {
        const std::int64_t dx = k.rows * k.in;
        const std::int64_t aux = k.activation == Activation::none ? 0 : dx;
        return cost(2 * real(k.rows) * real(k.in) * real(k.out),
                    real(dx) * backward_flops(k.activation),
                    (k.rows * k.out + k.experts * k.in * k.out + aux) * e, dx * e);
    }
    KernelCost operator()(const LinearWeightGrad& k) const {
        const std::int64_t gradients = k.experts * (k.in * k.out + (k.bias ? k.out : 0));
        return cost(
            2 * real(k.rows) * real(k.in) * real(k.out), k.bias ? real(k.rows) * real(k.out) : 0,
            k.rows * (k.in + k.out) * e + (k.accumulate ? gradients * g : 0), gradients * g);
    }
    KernelCost operator()(const BiasResidual& k) const {
        const std::int64_t y = k.rows * k.hidden;
        return cost(0, real(y) * ((k.bias ? 1 : 0) + (k.residual ? 1 : 0)),
                    (y + (k.residual ? y : 0) + (k.bias ? k.hidden : 0)) * e, y * e);
    }
    KernelCost operator()(const Activate& k) const {
        return cost(0, real(k.elements) * forward_flops(k.activation), k.elements * e,
                    k.elements * e);
    }
    KernelCost operator()(const ActivateGrad& k) const {
        return cost(0, real(k.elements) * backward_flops(k.activation), 2 * k.elements * e,
                    k.elements * e);
    }
    // Of the rows, statistics.
    template <class Gate>
    std::int64_t weights(const Gate& k) const {
        return k.weighted ? k.rows * s : 0;
    }
    KernelCost operator()(const SwiGlu& k) const {
        const std::int64_t n = k.rows * k.ffn;
        return cost(0, real(n) * (3 + (k.weighted ? 1 : 0) + 2 * kTranscendental),
                    2 * n * e + weights(k), n * e);
    }
    KernelCost operator()(const SwiGluGrad& k) const {
        const std::int64_t n = k.rows * k.ffn;
        return cost(0, real(n) * (8 + (k.weighted ? 3 : 0) + 2 * kTranscendental),
                    3 * n * e + weights(k), 2 * n * e + weights(k));
    }
    KernelCost operator()(const GeGlu& k) const {
        const std::int64_t n = k.rows * k.ffn;
        return cost(0, real(n) * (1 + forward_flops(k.activation)), 2 * n * e, n * e);
    }
    // The activation and its derivative share their exponential.
    KernelCost operator()(const GeGluGrad& k) const {
        const std::int64_t n = k.rows * k.ffn;
        return cost(0, real(n) * (4 + backward_flops(k.activation)), 3 * n * e, 2 * n * e);
    }
    // Sum, squares, scale (and for layer_norm centre and shift) per element; a root per row.
    KernelCost operator()(const Norm& k) const {
        const std::int64_t n = k.rows * k.hidden, vectors = norm_vectors(k.kind);
        return cost(0, real(n) * (2 + 3 * real(vectors)) + real(k.rows) * 2 * kTranscendental,
                    (n + vectors * k.hidden) * e, n * e + vectors * k.rows * s);
    }
    KernelCost operator()(const NormInputGrad& k) const {
        const std::int64_t n = k.rows * k.hidden, vectors = norm_vectors(k.kind);
        return cost(0, real(n) * (5 + 3 * real(vectors) + (k.residual ? 1 : 0)),
                    ((k.residual ? 3 : 2) * n + k.hidden) * e + vectors * k.rows * s, n * e);
    }
    KernelCost operator()(const NormWeightGrad& k) const {
        const std::int64_t n = k.rows * k.hidden, vectors = norm_vectors(k.kind);
        const std::int64_t gradients = vectors * k.hidden * g;
        return cost(0, real(n) * (1 + 2 * real(vectors)),
                    2 * n * e + vectors * k.rows * s + (k.accumulate ? gradients : 0), gradients);
    }
    // As Norm, a row being a head.
    KernelCost operator()(const HeadNorm& k) const {
        const std::int64_t heads = k.rows * (k.heads + k.kv_heads), n = heads * k.head_dim;
        return cost(0, real(n) * 5 + real(heads) * 2 * kTranscendental, (n + 2 * k.head_dim) * e,
                    2 * n * e + heads * s);
    }
    // The v heads are copied.
    KernelCost operator()(const HeadNormInputGrad& k) const {
        const std::int64_t heads = k.rows * (k.heads + k.kv_heads), n = heads * k.head_dim;
        const std::int64_t all = n + k.rows * k.kv_heads * k.head_dim;
        return cost(0, real(n) * 8, (all + n + 2 * k.head_dim) * e + heads * s, all * e);
    }
    KernelCost operator()(const HeadNormWeightGrad& k) const {
        const std::int64_t heads = k.rows * (k.heads + k.kv_heads), n = heads * k.head_dim;
        const std::int64_t gradients = 2 * k.head_dim * g;
        return cost(0, real(n) * 3, 2 * n * e + heads * s + (k.accumulate ? gradients : 0),
                    gradients);
    }
    // Only q and k heads move, and of them what turns; a 2×2 rotation per pair (angles are amortised
    // over heads).
    KernelCost operator()(const Rope& k) const {
        const std::int64_t n = k.rows * (k.heads + k.kv_heads) * k.turned();
        return cost(0, 3 * real(n), n * e, n * e);
    }

    // Query-key pairs counted as the causal half, seq²/2 (the convention of Megatron and llm.c).
    template <class Kernel>
    static double pairs(const Kernel& k) {
        return real(k.samples) * real(k.heads) * real(k.seq) * real(k.seq) / 2;
    }
    template <class Kernel>
    static std::int64_t stats(const Kernel& k) {
        const std::int64_t queries = k.samples * k.heads * k.seq;
        return k.kind == AttentionKind::flash ? queries : queries * k.seq;
    }
    // Two multiplies, q·kᵀ of head_dim and p·v of value(); mask, scale, maximum, exponential and sum per pair. The unfused
    // kind writes its probabilities, in the type of activations, and reads them back for p·v.
    KernelCost operator()(const Attention& k) const {
        const std::int64_t rows = k.samples * k.seq;
        const std::int64_t qkv = rows * k.qkv_width();
        const bool flash = k.kind == AttentionKind::flash;
        const std::int64_t kept = stats(k) * (flash ? s : e);
        return cost(2 * pairs(k) * real(k.head_dim + k.value()), pairs(k) * (4 + kTranscendental),
                    qkv * e + (flash ? 0 : kept), rows * k.heads * k.value() * e + kept);
    }
    // Four multiplies (dv and dp of value(), dq and dk of head_dim) and for flash the recomputed scores:
    // 2.5 times forward where both are equal.
    KernelCost operator()(const AttentionGrad& k) const {
        const bool flash = k.kind == AttentionKind::flash;
        const std::int64_t rows = k.samples * k.seq;
        const std::int64_t qkv = rows * k.qkv_width();
        const std::int64_t y = rows * k.heads * k.value();
        return cost(2 * pairs(k) * real((flash ? 3 : 2) * k.head_dim + 2 * k.value()),
                    pairs(k) * (flash ? 6 + kTranscendental : 4) + 2 * real(y),
                    (qkv + 2 * y) * e + stats(k) * (flash ? s : e), qkv * e);
    }
    // All heads' parts with a position turn, and the one key's.
    KernelCost operator()(const LatentQkv& k) const {
        return cost(0, 3 * real(k.rows) * real(k.heads + 1) * real(k.rope),
                    k.rows * latent_inputs(k) * e, k.rows * latent_qkv(k) * e);
    }
    KernelCost operator()(const LatentQkvGrad& k) const {
        return cost(0, 4 * real(k.rows) * real(k.heads) * real(k.rope), k.rows * latent_qkv(k) * e,
                    k.rows * latent_inputs(k) * e);
    }
    template <class Latent>
    static std::int64_t latent_inputs(const Latent& k) {
        return k.heads * (k.query() + k.nope + k.value) + k.rope;
    }
    template <class Latent>
    static std::int64_t latent_qkv(const Latent& k) {
        return k.heads * (2 * k.query() + k.value);
    }
    // An exponential per score, and a pass to find the largest.
    KernelCost operator()(const Route& k) const {
        const std::int64_t n = k.rows * k.experts;
        return cost(0, real(n) * (4 + kTranscendental), n * e, n * s + k.places * (s + 4));
    }
    KernelCost operator()(const RouteGrad& k) const {
        const std::int64_t n = k.rows * k.experts;
        return cost(0, 4 * real(n), n * s + k.places * (s + 4), n * e);
    }
    KernelCost operator()(const Permute& k) const {
        return cost(0, 0, k.rows * k.width * e + k.places * 4, k.places * k.width * e);
    }
    KernelCost operator()(const Unpermute& k) const {
        const std::int64_t y = k.rows * k.width, x = k.places * k.width;
        return cost(0, real(x), (x + (k.residual ? y : 0)) * e + k.places * 4, y * e);
    }
    KernelCost operator()(const SelectRows& k) const {
        const std::int64_t n = k.rows * k.columns;
        return cost(0, real(n), n * (s + (k.map ? 1 : 4)), k.places * (s + 4));
    }
    KernelCost operator()(const SelectRowsGrad& k) const {
        return cost(0, 0, k.places * (s + 4), k.rows * k.columns * s);
    }
    KernelCost operator()(const GateRows& k) const {
        const std::int64_t n = k.rows * k.width;
        return cost(0, real(n) * (k.residual ? 2 : 1), ((k.residual ? 2 : 1) * n + k.rows) * e,
                    n * e);
    }
    KernelCost operator()(const GateRowsGrad& k) const {
        const std::int64_t n = k.rows * k.width;
        return cost(0, 3 * real(n), (2 * n + k.rows) * e, (n + k.rows) * e);
    }
    KernelCost operator()(const TakeKeyValues& k) const {
        const std::int64_t n = k.rows * k.kv_heads * (k.head_dim + k.value());
        return cost(0, 0, n * e, n * k.copies * e);
    }
    // As above, of queries and keys in different numbers.
    template <class Kernel>
    static double context_pairs(const Kernel& k) {
        return real(k.samples) * real(k.heads) * real(k.queries) * real(k.keys) / 2;
    }
    KernelCost operator()(const ContextAttention& k) const {
        const double pairs = context_pairs(k);
        const std::int64_t queries = k.samples * k.queries * k.heads;
        const std::int64_t kv = k.samples * k.keys * k.kv_heads * (k.head_dim + k.value());
        return cost(2 * pairs * real(k.head_dim + k.value()), pairs * (4 + kTranscendental),
                    (queries * k.head_dim + kv) * e, queries * (k.value() * e + s));
    }
    KernelCost operator()(const ContextAttentionGrad& k) const {
        const double pairs = context_pairs(k);
        const std::int64_t queries = k.samples * k.queries * k.heads;
        const std::int64_t q = queries * k.head_dim, y = queries * k.value();
        const std::int64_t kv = k.samples * k.keys * k.kv_heads * (k.head_dim + k.value());
        return cost(2 * pairs * real(3 * k.head_dim + 2 * k.value()),
                    pairs * (6 + kTranscendental) + 2 * real(y), (q + 2 * y + kv) * e + queries * s,
                    (q + kv) * e);
    }
    // The two outputs, each by a factor of its row and head, and their sum.
    KernelCost operator()(const MergeAttention& k) const {
        const std::int64_t heads = k.rows * k.heads, y = heads * k.head_dim;
        return cost(0, 3 * real(y) + 4 * kTranscendental * real(heads), 2 * (y * e + heads * s),
                    y * e + heads * s);
    }
    KernelCost operator()(const PutGradients& k) const {
        const std::int64_t q = k.rows * k.heads * k.head_dim;
        const std::int64_t kv = k.rows * k.kv_heads * (k.head_dim + k.value());
        return cost(0, real(kv) * real(k.copies - 1), (q + kv * k.copies) * e, (q + kv) * e);
    }
    KernelCost operator()(const SoftmaxCrossEntropy& k) const {
        const std::int64_t n = k.rows * k.classes;
        return cost(0, real(n) * (4 + kTranscendental),
                    n * e + k.rows * 4 + (k.accumulate_loss ? 8 : 0), n * e + 8);
    }
    KernelCost operator()(const VocabularyMax& k) const {
        const std::int64_t n = k.rows * k.columns;
        return cost(0, real(n), n * e, k.rows * s);
    }
    KernelCost operator()(const VocabularySum& k) const {
        const std::int64_t n = k.rows * k.columns;
        return cost(0, real(n) * (2 + kTranscendental), n * e + k.rows * (4 + s),
                    n * e + 2 * k.rows * s);
    }
    KernelCost operator()(const VocabularyLoss& k) const {
        const std::int64_t n = k.rows * k.columns;
        return cost(0, real(n), n * e + k.rows * (4 + 2 * s) + 8, n * e + 8);
    }
    KernelCost operator()(const Zero& k) const { return cost(0, 0, 0, k.elements * e); }
    KernelCost operator()(const Add& k) const {
        return cost(0, real(k.elements), 2 * k.elements * e, k.elements * e);
    }
    KernelCost operator()(const Copy& k) const {
        return cost(0, 0, k.elements * e, k.elements * e);
    }
    KernelCost operator()(const SumParts& k) const {
        return cost(0, real(k.parts - 1) * real(k.elements), k.parts * k.elements * e,
                    k.elements * e);
    }
    // A pass for the largest of each block and one to round; of the sum, a multiply and an addition per part.
    static std::int64_t quantised(std::int64_t elements, std::int64_t block, int bits,
                                  std::int64_t scale) {
        return quantised_bytes(elements, bits) + scales_of(elements, block) * scale;
    }
    KernelCost operator()(const Quantise& k) const {
        return cost(0, 3 * real(k.elements), k.elements * e,
                    quantised(k.elements, k.block, k.bits, s));
    }
    KernelCost operator()(const Dequantise& k) const {
        return cost(0, 2 * real(k.parts) * real(k.elements),
                    k.parts * quantised(k.elements, k.block, k.bits, s), k.elements * e);
    }
    KernelCost operator()(const SumQuantised& k) const {
        return cost(0, (2 * real(k.parts) + 3) * real(k.elements),
                    k.parts * quantised(k.elements, k.block, k.bits, s),
                    quantised(k.elements, k.sum_block, k.bits, s));
    }
    KernelCost operator()(const QuantiseOperand& k) const {
        return cost(0, 3 * real(k.elements), k.elements * e,
                    k.bytes() * ((k.rows ? 1 : 0) + (k.columns ? 1 : 0)));
    }
    // A rank's share of the range when the unit is sharded: ranks differ by at most one shard.
    KernelCost operator()(const SumSquares& k) const {
        const std::int64_t n = std::min(k.elements, k.last - k.first);
        return cost(0, 2 * real(n), n * g + (k.accumulate ? 8 : 0), 8);
    }
    // Adam: two moments, root and division; of 8 bits also their scaling, and finding the nearest code of
    // 256. With a master copy the parameter is only written.
    static double step_flops(OptimizerKind kind) {
        const double adam = 12 + 2 * kTranscendental;
        if (kind == OptimizerKind::adam_8bit) return adam + 2 * (3 + 8);
        return kind == OptimizerKind::sgd ? 4 : kind == OptimizerKind::lion ? 9 : adam;
    }
    std::int64_t weight_read(bool master) const { return master ? s : e; }
    std::int64_t weight_written(bool master) const { return e + (master ? s : 0); }
    KernelCost operator()(const OptimizerStep& k) const {
        const std::int64_t states = k.spec.states() * (k.blocks > 0 ? 1 : s);
        const std::int64_t scales = 2 * k.blocks * 4;
        return cost(
            0, real(k.elements) * step_flops(k.spec.kind),
            k.elements * (g + weight_read(k.master) + states) + scales + (k.clip > 0 ? 8 : 0),
            k.elements * (weight_written(k.master) + states) + scales);
    }
    // A square, added to its row and to its column.
    KernelCost operator()(const FactoredSquares& k) const {
        return cost(0, 3 * real(k.elements), k.elements * g + (k.clip > 0 ? 8 : 0),
                    k.statistics * 4);
    }
    // The update is the gradient times the roots of its row's and its column's statistic.
    KernelCost operator()(const FactoredNorms& k) const {
        return cost(
            0, 6 * real(k.elements) + (3 + 2 * kTranscendental) * real(k.statistics),
            k.elements * (g + weight_read(k.master)) + 2 * k.statistics * 4 + (k.clip > 0 ? 8 : 0),
            k.statistics * 4 + 2 * k.tensors * 4);
    }
    KernelCost operator()(const FactoredStep& k) const {
        const std::int64_t moment = k.spec.states() * s;
        return cost(0, real(k.elements) * (k.spec.states() > 0 ? 8 : 5),
                    k.elements * (g + weight_read(k.master) + moment) + k.statistics * 4 +
                        2 * k.tensors * 4 + (k.clip > 0 ? 8 : 0),
                    k.elements * (weight_written(k.master) + moment));
    }
    KernelCost operator()(const MuonMomentum& k) const {
        return cost(0, 6 * real(k.elements), k.elements * (g + s) + (k.clip > 0 ? 8 : 0),
                    k.elements * (s + 2));
    }
    // With n the shorter and m the longer side, an iteration multiplies n·m·n, n·n·n and n·n·m; each reads and
    // writes its operands. Before, two passes divide by the norm.
    KernelCost operator()(const Orthogonalise& k) const {
        const std::int64_t n = k.shorter(), x = k.rows * k.cols, square = n * n;
        const double multiplies = 4 * real(n) * real(x) + 2 * real(n) * real(square);
        return cost(kNewtonSchulzSteps * real(k.count) * multiplies, 3 * real(k.count) * real(x),
                    2 * k.count * (2 * x + kNewtonSchulzSteps * (2 * x + 2 * square)),
                    2 * k.count * (x + kNewtonSchulzSteps * (x + 2 * square)));
    }
    KernelCost operator()(const MuonStep& k) const {
        return cost(0, 4 * real(k.elements), k.elements * (2 + weight_read(k.master)),
                    k.elements * weight_written(k.master));
    }
};

}  // namespace

KernelCost cost_of(const Kernel& kernel, DType dtype, DType gradient) {
    const std::int64_t e = size_of(dtype);
    return std::visit(CostOf{e, size_of(gradient), std::max<std::int64_t>(4, e)}, kernel);
}

}  // namespace shardscope
