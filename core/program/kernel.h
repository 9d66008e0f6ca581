// The closed set of kernels, fused at the grain a fast GPU wants (DESIGN.md), and their one
// description: operands, access, FLOPs, bytes. Every executor implements each of them, the cost model
// reads the description; std::visit names the places to edit when one is added.
//
// Conventions: matrices are row-major; `rows` = samples · seq of the micro-batch; weights are
// [out, in]. Operands come in the order each struct lists, R read, W written, RW both; optional ones
// (marked ?) are passed as an invalid operand when absent. A W operand with an `accumulate` flag
// becomes RW when the flag is set. Statistics, losses and norms are never stored below fp32.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string_view>
#include <variant>

#include "core/dtype.h"
#include "core/model/model.h"
#include "core/scenario.h"
#include "core/units.h"

namespace shardscope {

// Fetches the micro-batch: inputs W? (int32 [samples, seq], or features [samples, width]),
// targets W? (int32 [samples · seq]). A pipeline's first stage wants inputs, its last stage targets.
struct LoadBatch {
    std::int64_t samples = 0, seq = 1, width = 0;
    bool tokens = true;
    bool inputs = true, targets = true;
    bool operator==(const LoadBatch&) const = default;
};

// y = scale·table[token] + positions[position_offset + t]: tokens R, table R, positions R?, y W.
// Vocabulary-parallel: the table is rank i's rows [i·vocab, (i+1)·vocab) of the whole one, i the rank's index in its
// tensor-parallel group; tokens outside contribute zero and only rank 0 adds the positions, so that
// the sum of y over the group is the embedding.
struct Embedding {
    std::int64_t rows = 0, seq = 0, vocab = 0, hidden = 0;
    bool vocabulary_parallel = false;
    std::int64_t position_offset = 0;
    double scale = 1.0;
    bool operator==(const Embedding&) const = default;
};
// tokens R, dy R, dtable W, dpositions W? [position_rows, hidden] (0: seq); without accumulate the
// whole gradient is overwritten (zero where no token or position fell). Vocabulary-parallel: tokens outside the rank's rows are skipped, the
// positions' gradient is complete on every rank.
struct EmbeddingGrad {
    std::int64_t rows = 0, seq = 0, vocab = 0, hidden = 0;
    bool accumulate_table = false, accumulate_positions = false;
    bool vocabulary_parallel = false;
    std::int64_t position_rows = 0, position_offset = 0;
    double scale = 1.0;
    bool operator==(const EmbeddingGrad&) const = default;
};

// y = act(x·Wᵀ + b) + residual: x R, w R, b R?, residual R?, y W, pre W?. `pre` receives the value
// before the activation where the backward pass needs it (needs_argument; relu uses y).
// experts > 1, in the three linear kernels alike: the weight is that many [out, in] one after the other,
// each for its rows/experts of the rows (grouped multiply; simulated only).
struct Linear {
    std::int64_t rows = 0, in = 0, out = 0;
    bool bias = false, residual = false;
    Activation activation = Activation::none;
    std::int64_t experts = 1;
    bool operator==(const Linear&) const = default;
};
// dx = (dy·W) ⊙ act'(aux): dy R, w R, aux R?, dx W. `activation` is that of the layer that produced
// x; aux is its `pre` (needs_argument) or its output (relu), [rows, in].
struct LinearInputGrad {
    std::int64_t rows = 0, in = 0, out = 0;
    Activation activation = Activation::none;
    std::int64_t experts = 1;
    bool operator==(const LinearInputGrad&) const = default;
};
// dw (+)= dyᵀ·x, db (+)= Σ_rows dy: x R, dy R, dw W, db W?.
struct LinearWeightGrad {
    std::int64_t rows = 0, in = 0, out = 0;
    bool bias = false, accumulate = false;
    std::int64_t experts = 1;
    bool operator==(const LinearWeightGrad&) const = default;
};

// y += bias + residual, what a row-parallel linear layer adds once its partial products are summed:
// y RW [rows, hidden], bias R? [hidden], residual R? [rows, hidden].
struct BiasResidual {
    std::int64_t rows = 0, hidden = 0;
    bool bias = false, residual = false;
    bool operator==(const BiasResidual&) const = default;
};

// Element-wise activation not fused into a linear layer: x R, y W.
struct Activate {
    std::int64_t elements = 0;
    Activation activation = Activation::relu;
    bool operator==(const Activate&) const = default;
};
// dy R, x R (the activation's input), dx W.
struct ActivateGrad {
    std::int64_t elements = 0;
    Activation activation = Activation::relu;
    bool operator==(const ActivateGrad&) const = default;
};

// y = silu(gate) ⊙ up, weighted: times a factor per row (simulated only): gate_up R [rows, 2·ffn] (gate
// first), y W [rows, ffn], weight R? [rows].
struct SwiGlu {
    std::int64_t rows = 0, ffn = 0;
    bool weighted = false;
    bool operator==(const SwiGlu&) const = default;
};
// dy R, gate_up R, dgate_up W, weight R?, dweight W?.
struct SwiGluGrad {
    std::int64_t rows = 0, ffn = 0;
    bool weighted = false;
    bool operator==(const SwiGluGrad&) const = default;
};

// y = act(gate) ⊙ up, operands as above; the activation is gelu or gelu_erf.
struct GeGlu {
    std::int64_t rows = 0, ffn = 0;
    Activation activation = Activation::gelu;
    bool operator==(const GeGlu&) const = default;
};
struct GeGluGrad {
    std::int64_t rows = 0, ffn = 0;
    Activation activation = Activation::gelu;
    bool operator==(const GeGluGrad&) const = default;
};

// y = norm(x)·w + b: x R, w R, b R?, y W, stats W (layer_norm [rows, 2]: mean, 1/σ; rms_norm
// [rows]: 1/rms).
struct Norm {
    std::int64_t rows = 0, hidden = 0;
    NormKind kind = NormKind::layer_norm;
    double epsilon = 1e-5;
    bool operator==(const Norm&) const = default;
};
// dx = d norm + residual gradient: dy R, x R, stats R, w R, dresidual R?, dx W.
struct NormInputGrad {
    std::int64_t rows = 0, hidden = 0;
    NormKind kind = NormKind::layer_norm;
    bool residual = false;
    bool operator==(const NormInputGrad&) const = default;
};
// dy R, x R, stats R, dw W, db W?.
struct NormWeightGrad {
    std::int64_t rows = 0, hidden = 0;
    NormKind kind = NormKind::layer_norm;
    bool accumulate = false;
    bool operator==(const NormWeightGrad&) const = default;
};

// RMSNorm of every q head and every k head, in place; v heads stay. qkv RW [rows, (heads +
// 2·kv_heads)·head_dim], query weight R [head_dim], key weight R [head_dim], before W [rows, (heads +
// kv_heads)·head_dim]: the heads before the norm, stats W [rows, heads + kv_heads]: 1/rms.
struct HeadNorm {
    std::int64_t rows = 0, heads = 0, kv_heads = 0, head_dim = 0;
    double epsilon = 1e-5;
    bool operator==(const HeadNorm&) const = default;
};
// dqkv after the norm R, before R, stats R, query weight R, key weight R, dqkv before the norm W.
struct HeadNormInputGrad {
    std::int64_t rows = 0, heads = 0, kv_heads = 0, head_dim = 0;
    bool operator==(const HeadNormInputGrad&) const = default;
};
// dqkv after the norm R, before R, stats R, dquery W, dkey W.
struct HeadNormWeightGrad {
    std::int64_t rows = 0, heads = 0, kv_heads = 0, head_dim = 0;
    bool accumulate = false;
    bool operator==(const HeadNormWeightGrad&) const = default;
};

// Rotary positions on the q and k heads, in place: of the first rotary_dim elements (0: head_dim) of a
// head, element i turns with i + rotary_dim/2 (half-split pairing as in Llama), by position ·
// scaled_frequency(theta^(−2i/rotary_dim)); `inverse` turns back, which is the gradient. qkv RW.
struct Rope {
    std::int64_t rows = 0, seq = 0, heads = 0, kv_heads = 0, head_dim = 0;
    double theta = 10000.0;
    bool inverse = false;
    std::int64_t rotary_dim = 0;
    RopeScaling scaling = {};

    std::int64_t turned() const { return rotary_dim > 0 ? rotary_dim : head_dim; }
    bool operator==(const Rope&) const = default;
};

// Causal self-attention, scores scaled by 1/√head_dim; qkv rows hold q heads, k heads, v heads:
// qkv R, y W [rows, heads·value()], stats W, workspace W?. Values of another width than keys (value_dim,
// 0: head_dim) are simulated only.
struct Attention {
    std::int64_t samples = 0, seq = 0, heads = 0, kv_heads = 0, head_dim = 0;
    AttentionKind kind = AttentionKind::flash;
    int tiles = 1;  // in the workspace: as many heads can be worked on at once
    std::int64_t value_dim = 0;

    std::int64_t value() const { return value_dim > 0 ? value_dim : head_dim; }
    std::int64_t qkv_width() const { return (heads + kv_heads) * head_dim + kv_heads * value(); }
    bool operator==(const Attention&) const = default;
};
// dy R, qkv R, y R, stats R, dqkv W, workspace W?.
struct AttentionGrad {
    std::int64_t samples = 0, seq = 0, heads = 0, kv_heads = 0, head_dim = 0;
    AttentionKind kind = AttentionKind::flash;
    int tiles = 1;  // in the workspace: as many heads can be worked on at once
    std::int64_t value_dim = 0;

    std::int64_t value() const { return value_dim > 0 ? value_dim : head_dim; }
    std::int64_t qkv_width() const { return (heads + kv_heads) * head_dim + kv_heads * value(); }
    bool operator==(const AttentionGrad&) const = default;
};

// Queries, keys and values of latent attention from what its layers give, the parts with a position
// turned: q R [rows, heads·(nope + rope)], kv R [rows, heads·(nope + value)], key R [rows, rope], qkv W as
// Attention wants it. Simulated only.
struct LatentQkv {
    std::int64_t rows = 0, heads = 0, nope = 0, rope = 0, value = 0;

    std::int64_t query() const { return nope + rope; }
    bool operator==(const LatentQkv&) const = default;
};
// dqkv R, dq W, dkv W, dkey W (summed over the rank's heads).
struct LatentQkvGrad {
    std::int64_t rows = 0, heads = 0, nope = 0, rope = 0, value = 0;

    std::int64_t query() const { return nope + rope; }
    bool operator==(const LatentQkvGrad&) const = default;
};

// The next kernels are those of a mixture of experts; all are simulated only.
//
// Which experts tokens go to. A place is a row of what experts are sent, in their order; there are
// rows · per_token · capacity_factor. Where whole rows go to ranks, weights and marks are instead those of SelectRows,
// one per row and column. logits R [rows, experts], scores W [rows, experts] (their softmax or
// sigmoid), weights W [places], chosen W (int32 [places]: which token is there). Scores and weights are of
// the statistics type.
struct Route {
    std::int64_t rows = 0, experts = 0, places = 0;
    bool operator==(const Route&) const = default;
};
// dweights R, scores R, chosen R, dlogits W.
struct RouteGrad {
    std::int64_t rows = 0, experts = 0, places = 0;
    bool operator==(const RouteGrad&) const = default;
};
// Rows in another order, one token's row copied to each place it goes to: x R [rows, width], chosen R
// (int32 [places]), y W [places, width]. Also the gradient of Unpermute.
struct Permute {
    std::int64_t rows = 0, places = 0, width = 0;
    bool operator==(const Permute&) const = default;
};
// Back: every row of y is the sum of those of its places, and a residual: x R [places, width], chosen R
// (int32 [places]), residual R? [rows, width], y W [rows, width].
struct Unpermute {
    std::int64_t rows = 0, places = 0, width = 0;
    bool residual = false;
    bool operator==(const Unpermute&) const = default;
};
// Of rows that have been copied to the ranks of experts, with `columns` weights and marks each, which go to the
// rank's own: marks R (`map`: int8, one per expert of the model; else int32, the number of an expert), weights R
// [rows, columns], chosen W (int32 [places]: which row is there), weight W [places].
struct SelectRows {
    std::int64_t rows = 0, columns = 0, places = 0;
    bool map = false;
    bool operator==(const SelectRows&) const = default;
};
// The gradient of the weights: dweight R [places], chosen R, dweights W [rows, columns], 0 where a row goes elsewhere.
struct SelectRowsGrad {
    std::int64_t rows = 0, columns = 0, places = 0;
    bool operator==(const SelectRowsGrad&) const = default;
};
// y = σ(gate) ⊙ x + residual, one gate per row: x R [rows, width], gate R [rows], residual R?, y W.
struct GateRows {
    std::int64_t rows = 0, width = 0;
    bool residual = false;
    bool operator==(const GateRows&) const = default;
};
// dy R, x R, gate R, dx W, dgate W [rows].
struct GateRowsGrad {
    std::int64_t rows = 0, width = 0;
    bool operator==(const GateRowsGrad&) const = default;
};

// Context parallelism: a rank has the queries of 1/cp of each sample's tokens and meets keys and values of
// other ranks. Tokens are dealt in zig-zag, rank i of cp having pieces i and 2·cp − 1 − i of 2·cp, so that
// of every rank's pairs of queries and keys half are causal, whichever ranks' keys they are (of Llama 3's
// and Megatron's load balancing). Simulated only, as are the four kernels that follow.
//
// kv W := keys and values of qkv, every head `copies` times (products that repeat them for grouped queries):
// qkv R, kv W [samples, queries, copies·kv_heads·(head_dim + value)]. Values of latent attention are of another size
// than queries and keys.
struct TakeKeyValues {
    std::int64_t rows = 0, heads = 0, kv_heads = 0, head_dim = 0, copies = 1, value_dim = 0;

    std::int64_t value() const { return value_dim > 0 ? value_dim : head_dim; }
    bool operator==(const TakeKeyValues&) const = default;
};
// Attention of the rank's queries to `keys` keys per sample: qkv R (its queries), kv R, y W, stats W.
struct ContextAttention {
    std::int64_t samples = 0, queries = 0, keys = 0, heads = 0, kv_heads = 0, head_dim = 0;
    std::int64_t value_dim = 0;

    std::int64_t value() const { return value_dim > 0 ? value_dim : head_dim; }
    bool operator==(const ContextAttention&) const = default;
};
// dy R, qkv R, kv R, y R, stats R, dq W [rows, heads·head_dim], dkv W (as kv).
struct ContextAttentionGrad {
    std::int64_t samples = 0, queries = 0, keys = 0, heads = 0, kv_heads = 0, head_dim = 0;
    std::int64_t value_dim = 0;

    std::int64_t value() const { return value_dim > 0 ? value_dim : head_dim; }
    bool operator==(const ContextAttentionGrad&) const = default;
};
// Joins attention to some keys with attention to others by their log-sum-exps: y RW, stats RW, y of the
// others R, their stats R.
struct MergeAttention {
    std::int64_t rows = 0, heads = 0, head_dim = 0;  // of values
    bool operator==(const MergeAttention&) const = default;
};
// dqkv W := dq and dkv side by side, the gradients of `copies` added: dq R, dkv R, dqkv W.
struct PutGradients {
    std::int64_t rows = 0, heads = 0, kv_heads = 0, head_dim = 0, copies = 1, value_dim = 0;

    std::int64_t value() const { return value_dim > 0 ? value_dim : head_dim; }
    bool operator==(const PutGradients&) const = default;
};

// Replaces logits by scale·(softmax − one-hot) and adds scale·Σ −log p(target) to the loss:
// logits RW, targets R, loss W (one double). `scale` = 1/(rows of the global batch) carries the
// whole 1/(accumulation · dp) factor, so every later reduction is a plain sum.
struct SoftmaxCrossEntropy {
    std::int64_t rows = 0, classes = 0;
    double scale = 1.0;
    bool accumulate_loss = false;
    bool operator==(const SoftmaxCrossEntropy&) const = default;
};

// Vocabulary-parallel softmax cross-entropy: three kernels around an all-reduce of `largest`
// (maximum) and one of `sums` (sum). Rank i of the tensor-parallel group holds columns
// [i·columns, (i+1)·columns) of the logits, of which those from `vocab` on are padding: their gradient
// is zero. `largest` and `sums` are of the statistics type.
//
// logits R [rows, columns], largest W [rows]: the maximum over the rank's columns (−∞ if it has none).
struct VocabularyMax {
    std::int64_t rows = 0, columns = 0, vocab = 0;
    bool operator==(const VocabularyMax&) const = default;
};
// logits RW (replaced by e^(logit − largest)), largest R, targets R, sums W [rows, 2]: Σ over the
// rank's columns, and the target's logit − largest where the rank holds it, else 0.
struct VocabularySum {
    std::int64_t rows = 0, columns = 0, vocab = 0;
    bool operator==(const VocabularySum&) const = default;
};
// logits RW (the exponentials, replaced by scale·(softmax − one-hot)), sums R, targets R, loss RW
// (one double): rank 0 of the group alone adds scale·Σ −log p(target).
struct VocabularyLoss {
    std::int64_t rows = 0, columns = 0, vocab = 0;
    double scale = 1.0;
    bool operator==(const VocabularyLoss&) const = default;
};

// x W := 0.
struct Zero {
    std::int64_t elements = 0;
    bool operator==(const Zero&) const = default;
};
// y += x: y RW, x R.
struct Add {
    std::int64_t elements = 0;
    bool operator==(const Add&) const = default;
};
// y W := x: x R, y W.
struct Copy {
    std::int64_t elements = 0;
    bool operator==(const Copy&) const = default;
};
// y = the sum of `parts` tensors that lie one behind the other: x R [parts·elements], y W. Simulated only.
struct SumParts {
    std::int64_t elements = 0, parts = 1;
    bool operator==(const SumParts&) const = default;
};
// ZeRO++ (Wang et al. 2023): numbers of `bits` bits, 8 or 4, in blocks of `block` neighbours that have one scale
// (int8 [⌈elements·bits/8⌉] and a state-type scale per block), symmetric. Simulated only.
//
// x R [elements], numbers W, scales W.
struct Quantise {
    std::int64_t elements = 0, block = 1;
    int bits = 8;
    bool operator==(const Quantise&) const = default;
};
// y = the sum of `parts` such tensors, which lie one behind the other: numbers R, scales R, y W [elements].
struct Dequantise {
    std::int64_t elements = 0, parts = 1, block = 1;
    int bits = 8;
    bool operator==(const Dequantise&) const = default;
};
// The same sum, quantised again in blocks of `sum_block`: numbers R, scales R, numbers W, scales W.
struct SumQuantised {
    std::int64_t elements = 0, parts = 1, block = 1, sum_block = 1;
    int bits = 4;
    bool operator==(const SumQuantised&) const = default;
};
// Of so many elements.
constexpr std::int64_t quantised_bytes(std::int64_t elements, int bits) {
    return (elements * bits + 7) / 8;
}
constexpr std::int64_t scales_of(std::int64_t elements, std::int64_t block) {
    return (elements + block - 1) / block;
}
// What multiplies in 8 or 4 bits read (MathType): x in so many bits, and behind the numbers a byte of scale for every
// `block` neighbours (0: one scale for all, which is not counted); one copy as the forward pass reads it, along rows,
// and one as gradients do, along columns. Simulated only.
//
// x R [elements], rows W? [bytes()], columns W? [bytes()].
struct QuantiseOperand {
    std::int64_t elements = 0, block = 0;
    int bits = 8;
    bool rows = true, columns = true;

    constexpr std::int64_t bytes() const {
        return quantised_bytes(elements, bits) + (block > 0 ? scales_of(elements, block) : 0);
    }
    bool operator==(const QuantiseOperand&) const = default;
};

// sum W (one double) := weight · Σ x² in double precision: x R, sum W. The operand holds the elements
// [i·elements, (i+1)·elements) of a unit, i the rank's index in the data-parallel group when
// `sharded`, else 0; only those in [first, last) of the unit count.
struct SumSquares {
    std::int64_t elements = 0;
    bool accumulate = false;
    double weight = 1.0;
    std::int64_t first = 0, last = std::numeric_limits<std::int64_t>::max();
    bool sharded = false;
    bool operator==(const SumSquares&) const = default;
};
// One optimizer step over a flat range: gradient R, norm R? (one double, the global Σ g²; present
// when clip > 0: gradients are scaled by min(1, clip/(√norm + 1e-6)), PyTorch's clip_grad_norm_),
// parameter RW (W when there is a master copy), master RW?, state1 RW?, state2 RW?, scales RW? (fp32: of
// 8-bit states the largest magnitude of each of `blocks` blocks, of state1, then of state2). The bias
// correction uses the executor's step number, starting at 1. Adafactor and Muon's matrices have kernels of
// their own, below.
struct OptimizerStep {
    std::int64_t elements = 0;
    OptimizerSpec spec;
    double clip = 0.0;
    bool master = false;
    std::int64_t blocks = 0;
    bool operator==(const OptimizerStep&) const = default;
};

// The next six kernels are steps of two optimizers; all are simulated only. As above they take a flat range
// of gradients, scaled by norm where clip > 0.
//
// Adafactor keeps `statistics` fp32 numbers of a unit: of a matrix one per row and per column, of a vector
// one per element.
//
// sums W [statistics]: what the range adds to the sums of squares over rows and columns: gradient R, norm R?.
struct FactoredSquares {
    std::int64_t elements = 0, statistics = 0;
    double clip = 0.0;
    bool operator==(const FactoredSquares&) const = default;
};
// Takes the sums into the running statistics, then norms W [2·tensors]: Σ update² and Σ weight² of the range,
// per tensor: gradient R, norm R?, weight R (the master copy if there is one), sums R, statistics RW.
struct FactoredNorms {
    std::int64_t elements = 0, statistics = 0, tensors = 0;
    double clip = 0.0;
    bool master = false;
    bool operator==(const FactoredNorms&) const = default;
};
// The update, clipped to a root mean square of 1 per tensor and scaled by the weight's: gradient R, norm R?,
// parameter RW (W with a master copy), master RW?, statistics R, norms R, moment RW? (fp32, with beta1).
struct FactoredStep {
    std::int64_t elements = 0, statistics = 0, tensors = 0;
    OptimizerSpec spec;
    double clip = 0.0;
    bool master = false;
    bool operator==(const FactoredStep&) const = default;
};
// momentum = μ·momentum + (1 − μ)·gradient; update (bf16) its Nesterov form: gradient R, norm R?, momentum RW,
// update W.
struct MuonMomentum {
    std::int64_t elements = 0;
    OptimizerSpec spec;
    double clip = 0.0;
    bool operator==(const MuonMomentum&) const = default;
};
// `count` bf16 matrices [rows, cols], each replaced by nearly its nearest orthogonal one: divided by their
// norm, then kNewtonSchulzSteps times X ← a·X + (b·A + c·A²)·X with A = X·Xᵀ, on the shorter side (PyTorch's
// torch/optim/_muon.py, with addmm): update RW, workspace W (bf16: A, what it becomes, and the new X).
struct Orthogonalise {
    std::int64_t count = 1, rows = 0, cols = 0;

    std::int64_t shorter() const { return rows < cols ? rows : cols; }
    std::int64_t workspace() const { return count * (2 * shorter() * shorter() + rows * cols); }
    bool operator==(const Orthogonalise&) const = default;
};
constexpr int kNewtonSchulzSteps = 5;
// weight −= lr·update, after its decay: update R (bf16), parameter RW (W with a master copy), master RW?.
struct MuonStep {
    std::int64_t elements = 0;
    OptimizerSpec spec;
    bool master = false;
    bool operator==(const MuonStep&) const = default;
};

using Kernel = std::variant<
    LoadBatch, Embedding, EmbeddingGrad, Linear, LinearInputGrad, LinearWeightGrad, BiasResidual,
    Activate, ActivateGrad, SwiGlu, SwiGluGrad, GeGlu, GeGluGrad, Norm, NormInputGrad,
    NormWeightGrad, HeadNorm, HeadNormInputGrad, HeadNormWeightGrad, Rope, Attention, AttentionGrad,
    LatentQkv, LatentQkvGrad, Route, RouteGrad, Permute, Unpermute, SelectRows, SelectRowsGrad,
    GateRows, GateRowsGrad, TakeKeyValues, ContextAttention, ContextAttentionGrad, MergeAttention,
    PutGradients, SoftmaxCrossEntropy, VocabularyMax, VocabularySum, VocabularyLoss, Zero, Add,
    Copy, SumParts, Quantise, Dequantise, SumQuantised, QuantiseOperand, SumSquares, OptimizerStep,
    FactoredSquares, FactoredNorms, FactoredStep, MuonMomentum, Orthogonalise, MuonStep>;

// Kernels that no executor has: plans with them are refused before they run (backends/executable.h).
template <class K>
concept SimulatedKernel = std::same_as<K, LatentQkv> || std::same_as<K, LatentQkvGrad> ||
    std::same_as<K, Route> || std::same_as<K, RouteGrad> || std::same_as<K, Permute> ||
    std::same_as<K, Unpermute> || std::same_as<K, SelectRows> || std::same_as<K, SelectRowsGrad> ||
    std::same_as<K, GateRows> || std::same_as<K, GateRowsGrad> || std::same_as<K, TakeKeyValues> ||
    std::same_as<K, ContextAttention> || std::same_as<K, ContextAttentionGrad> ||
    std::same_as<K, MergeAttention> || std::same_as<K, PutGradients> ||
    std::same_as<K, FactoredSquares> || std::same_as<K, FactoredNorms> ||
    std::same_as<K, FactoredStep> || std::same_as<K, MuonMomentum> ||
    std::same_as<K, Orthogonalise> || std::same_as<K, MuonStep> || std::same_as<K, SumParts> ||
    std::same_as<K, Quantise> || std::same_as<K, Dequantise> || std::same_as<K, SumQuantised> ||
    std::same_as<K, QuantiseOperand>;

enum class Access : std::uint8_t { none, read, write, read_write };

constexpr std::size_t kMaxOperands = 7;

// How the kernel uses each operand, in order; Access::none past the last and for absent optional
// operands whose absence the kernel's own fields decide.
std::array<Access, kMaxOperands> accesses(const Kernel& kernel);

// Work done once: FLOPs of matrix multiplies and of everything else, and the bytes read and written
// at least once when operands come from memory. `dtype` is the storage type of activations and
// parameters, `gradient` that of parameter gradients.
struct KernelCost {
    Flops matmul;  // 2·m·n·k per multiply; attention: causal half
    Flops other;
    Bytes read, written;
    Bytes moved() const { return read + written; }
};
KernelCost cost_of(const Kernel& kernel, DType dtype, DType gradient);

std::string_view kernel_name(const Kernel& kernel);  // "linear", "linear_input_grad", …

// Elements of the statistics an Attention saves (stored as fp32, fp64 for fp64).
std::int64_t attention_stats_elements(const Attention& kernel);

// Elements, of the compute type, of the workspace operand on devices that tile attention over
// queries: the scores of kAttentionQueryBlock queries against all keys, and in the backward pass
// their gradients beside them (the stored probabilities of the unfused kind need no such tile); of all
// `tiles` together.
constexpr std::int64_t kAttentionQueryBlock = 64;
std::int64_t attention_workspace_elements(const Attention& kernel);
std::int64_t attention_workspace_elements(const AttentionGrad& kernel);

}  // namespace shardscope
