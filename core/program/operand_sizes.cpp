#include "core/program/operand_sizes.h"

#include <algorithm>

namespace shardscope {
namespace {

using Sizes = std::array<OperandSize, kMaxOperands>;

constexpr OperandSize kOneElement{1};

OperandSize indices_below(std::int64_t count, std::int64_t limit) { return {count, limit}; }

OperandSize when(bool present, std::int64_t elements) { return {present ? elements : 0}; }

std::int64_t stats(NormKind kind) { return kind == NormKind::layer_norm ? 2 : 1; }

struct SizesOf {
    Sizes operator()(const LoadBatch&) const { return {}; }
    Sizes operator()(const Embedding& k) const {
        return {indices_below(k.rows, k.vocab),
                {k.vocab * k.hidden},
                {(k.position_offset + k.seq) * k.hidden},
                {k.rows * k.hidden}};
    }
    Sizes operator()(const EmbeddingGrad& k) const {
        return {indices_below(k.rows, k.vocab),
                {k.rows * k.hidden},
                {k.vocab * k.hidden},
                {std::max(k.seq, k.position_rows) * k.hidden}};
    }
    Sizes operator()(const Linear& k) const {
        const std::int64_t y = k.rows * k.out;
        return {OperandSize{k.rows * k.in},
                {k.experts * k.in * k.out},
                when(k.bias, k.experts * k.out),
                when(k.residual, y),
                {y},
                when(needs_argument(k.activation), y)};
    }
    Sizes operator()(const LinearInputGrad& k) const {
        const std::int64_t dx = k.rows * k.in;
        return {OperandSize{k.rows * k.out},
                {k.experts * k.in * k.out},
                when(k.activation != Activation::none, dx),
                {dx}};
    }
    Sizes operator()(const LinearWeightGrad& k) const {
        return {OperandSize{k.rows * k.in},
                {k.rows * k.out},
                {k.experts * k.in * k.out},
                when(k.bias, k.experts * k.out)};
    }
    Sizes operator()(const BiasResidual& k) const {
        const std::int64_t y = k.rows * k.hidden;
        return {OperandSize{y}, when(k.bias, k.hidden), when(k.residual, y)};
    }
    Sizes operator()(const Activate& k) const { return {OperandSize{k.elements}, {k.elements}}; }
    Sizes operator()(const ActivateGrad& k) const {
        return {OperandSize{k.elements}, {k.elements}, {k.elements}};
    }
    Sizes operator()(const SwiGlu& k) const {
        return {OperandSize{2 * k.rows * k.ffn}, {k.rows * k.ffn}, when(k.weighted, k.rows)};
    }
    Sizes operator()(const SwiGluGrad& k) const {
        return {OperandSize{k.rows * k.ffn},
                {2 * k.rows * k.ffn},
                {2 * k.rows * k.ffn},
                when(k.weighted, k.rows),
                when(k.weighted, k.rows)};
    }
    Sizes operator()(const GeGlu& k) const {
        return {OperandSize{2 * k.rows * k.ffn}, {k.rows * k.ffn}};
    }
    Sizes operator()(const GeGluGrad& k) const {
        return {OperandSize{k.rows * k.ffn}, {2 * k.rows * k.ffn}, {2 * k.rows * k.ffn}};
    }
    Sizes operator()(const Norm& k) const {
        const std::int64_t n = k.rows * k.hidden;
        return {OperandSize{n},
                {k.hidden},
                when(k.kind == NormKind::layer_norm, k.hidden),
                {n},
                {k.rows * stats(k.kind)}};
    }
    Sizes operator()(const NormInputGrad& k) const {
        const std::int64_t n = k.rows * k.hidden;
        return {OperandSize{n},      {n}, {k.rows * stats(k.kind)}, {k.hidden},
                when(k.residual, n), {n}};
    }
    Sizes operator()(const NormWeightGrad& k) const {
        const std::int64_t n = k.rows * k.hidden;
        return {OperandSize{n},
                {n},
                {k.rows * stats(k.kind)},
                {k.hidden},
                when(k.kind == NormKind::layer_norm, k.hidden)};
    }
    template <class Kernel>
    static std::int64_t qkv(const Kernel& k) {
        return k.rows * (k.heads + 2 * k.kv_heads) * k.head_dim;
    }
    template <class Kernel>
    static std::int64_t normed_heads(const Kernel& k) {
        return k.rows * (k.heads + k.kv_heads);
    }
    Sizes operator()(const HeadNorm& k) const {
        return {OperandSize{qkv(k)},
                {k.head_dim},
                {k.head_dim},
                {normed_heads(k) * k.head_dim},
                {normed_heads(k)}};
    }
    Sizes operator()(const HeadNormInputGrad& k) const {
        return {OperandSize{qkv(k)}, {normed_heads(k) * k.head_dim},
                {normed_heads(k)},   {k.head_dim},
                {k.head_dim},        {qkv(k)}};
    }
    Sizes operator()(const HeadNormWeightGrad& k) const {
        return {OperandSize{qkv(k)},
                {normed_heads(k) * k.head_dim},
                {normed_heads(k)},
                {k.head_dim},
                {k.head_dim}};
    }
    Sizes operator()(const Rope& k) const { return {OperandSize{qkv(k)}}; }
    Sizes operator()(const Attention& k) const {
        const std::int64_t rows = k.samples * k.seq;
        return {OperandSize{rows * k.qkv_width()},
                {rows * k.heads * k.value()},
                {attention_stats_elements(k)},
                {attention_workspace_elements(k)}};
    }
    Sizes operator()(const AttentionGrad& k) const {
        const std::int64_t rows = k.samples * k.seq, y = rows * k.heads * k.value();
        const std::int64_t qkv = rows * k.qkv_width();
        const Attention forward{k.samples, k.seq, k.heads, k.kv_heads, k.head_dim, k.kind};
        return {OperandSize{y},
                {qkv},
                {y},
                {attention_stats_elements(forward)},
                {qkv},
                {attention_workspace_elements(k)}};
    }
    template <class Latent>
    static std::array<std::int64_t, 4> latent_sizes(const Latent& k) {
        const std::int64_t rows = k.rows * k.heads;
        return {rows * k.query(), rows * (k.nope + k.value), k.rows * k.rope,
                rows * (2 * k.query() + k.value)};
    }
    Sizes operator()(const LatentQkv& k) const {
        const auto [q, kv, key, qkv] = latent_sizes(k);
        return {OperandSize{q}, {kv}, {key}, {qkv}};
    }
    Sizes operator()(const LatentQkvGrad& k) const {
        const auto [q, kv, key, qkv] = latent_sizes(k);
        return {OperandSize{qkv}, {q}, {kv}, {key}};
    }
    Sizes operator()(const Route& k) const {
        const std::int64_t scores = k.rows * k.experts;
        return {OperandSize{scores}, {scores}, {k.places}, indices_below(k.places, k.rows)};
    }
    Sizes operator()(const RouteGrad& k) const {
        const std::int64_t scores = k.rows * k.experts;
        return {OperandSize{k.places}, {scores}, indices_below(k.places, k.rows), {scores}};
    }
    Sizes operator()(const Permute& k) const {
        return {
            OperandSize{k.rows * k.width}, indices_below(k.places, k.rows), {k.places * k.width}};
    }
    Sizes operator()(const Unpermute& k) const {
        const std::int64_t y = k.rows * k.width;
        return {OperandSize{k.places * k.width},
                indices_below(k.places, k.rows),
                when(k.residual, y),
                {y}};
    }
    Sizes operator()(const SelectRows& k) const {
        const std::int64_t table = k.rows * k.columns;
        return {OperandSize{table}, {table}, indices_below(k.places, k.rows), {k.places}};
    }
    Sizes operator()(const SelectRowsGrad& k) const {
        return {OperandSize{k.places}, indices_below(k.places, k.rows), {k.rows * k.columns}};
    }
    Sizes operator()(const GateRows& k) const {
        const std::int64_t n = k.rows * k.width;
        return {OperandSize{n}, {k.rows}, when(k.residual, n), {n}};
    }
    Sizes operator()(const GateRowsGrad& k) const {
        const std::int64_t n = k.rows * k.width;
        return {OperandSize{n}, {n}, {k.rows}, {n}, {k.rows}};
    }
    template <class Kernel>
    static std::int64_t context_qkv(const Kernel& k) {
        return k.rows * ((k.heads + k.kv_heads) * k.head_dim + k.kv_heads * k.value());
    }
    Sizes operator()(const TakeKeyValues& k) const {
        return {OperandSize{context_qkv(k)},
                {k.rows * k.copies * k.kv_heads * (k.head_dim + k.value())}};
    }
    Sizes operator()(const ContextAttention& k) const {
        const std::int64_t queries = k.samples * k.queries * k.heads;
        return {OperandSize{queries * k.head_dim},
                {k.samples * k.keys * k.kv_heads * (k.head_dim + k.value())},
                {queries * k.value()},
                {queries}};
    }
    Sizes operator()(const ContextAttentionGrad& k) const {
        const std::int64_t queries = k.samples * k.queries * k.heads;
        const std::int64_t q = queries * k.head_dim, y = queries * k.value();
        const std::int64_t kv = k.samples * k.keys * k.kv_heads * (k.head_dim + k.value());
        return {OperandSize{y}, {q}, {kv}, {y}, {queries}, {q}, {kv}};
    }
    Sizes operator()(const MergeAttention& k) const {
        const std::int64_t heads = k.rows * k.heads, y = heads * k.head_dim;
        return {OperandSize{y}, {heads}, {y}, {heads}};
    }
    Sizes operator()(const PutGradients& k) const {
        return {OperandSize{k.rows * k.heads * k.head_dim},
                {k.rows * k.copies * k.kv_heads * (k.head_dim + k.value())},
                {context_qkv(k)}};
    }
    Sizes operator()(const SoftmaxCrossEntropy& k) const {
        return {OperandSize{k.rows * k.classes}, indices_below(k.rows, k.classes), kOneElement};
    }
    Sizes operator()(const VocabularyMax& k) const {
        return {OperandSize{k.rows * k.columns}, {k.rows}};
    }
    Sizes operator()(const VocabularySum& k) const {
        return {OperandSize{k.rows * k.columns},
                {k.rows},
                indices_below(k.rows, k.vocab),
                {2 * k.rows}};
    }
    Sizes operator()(const VocabularyLoss& k) const {
        return {OperandSize{k.rows * k.columns},
                {2 * k.rows},
                indices_below(k.rows, k.vocab),
                kOneElement};
    }
    Sizes operator()(const Zero& k) const { return {OperandSize{k.elements}}; }
    Sizes operator()(const Add& k) const { return {OperandSize{k.elements}, {k.elements}}; }
    Sizes operator()(const Copy& k) const { return {OperandSize{k.elements}, {k.elements}}; }
    Sizes operator()(const SumParts& k) const {
        return {OperandSize{k.parts * k.elements}, {k.elements}};
    }
    Sizes operator()(const Quantise& k) const {
        return {OperandSize{k.elements},
                {quantised_bytes(k.elements, k.bits)},
                {scales_of(k.elements, k.block)}};
    }
    Sizes operator()(const Dequantise& k) const {
        return {OperandSize{k.parts * quantised_bytes(k.elements, k.bits)},
                {k.parts * scales_of(k.elements, k.block)},
                {k.elements}};
    }
    Sizes operator()(const SumQuantised& k) const {
        return {OperandSize{k.parts * quantised_bytes(k.elements, k.bits)},
                {k.parts * scales_of(k.elements, k.block)},
                {quantised_bytes(k.elements, k.bits)},
                {scales_of(k.elements, k.sum_block)}};
    }
    Sizes operator()(const QuantiseOperand& k) const {
        return {OperandSize{k.elements}, when(k.rows, k.bytes()), when(k.columns, k.bytes())};
    }
    Sizes operator()(const SumSquares& k) const { return {OperandSize{k.elements}, kOneElement}; }
    Sizes operator()(const OptimizerStep& k) const {
        const int states = k.spec.states();
        return {OperandSize{k.elements},
                k.clip > 0 ? kOneElement : OperandSize{},
                {k.elements},
                when(k.master, k.elements),
                when(states > 0, k.elements),
                when(states > 1, k.elements),
                {2 * k.blocks}};
    }
    Sizes operator()(const FactoredSquares& k) const {
        return {OperandSize{k.elements}, when(k.clip > 0, 1), {k.statistics}};
    }
    Sizes operator()(const FactoredNorms& k) const {
        return {OperandSize{k.elements}, when(k.clip > 0, 1), {k.elements},
                {k.statistics},          {k.statistics},      {2 * k.tensors}};
    }
    Sizes operator()(const FactoredStep& k) const {
        return {OperandSize{k.elements},
                when(k.clip > 0, 1),
                {k.elements},
                when(k.master, k.elements),
                {k.statistics},
                {2 * k.tensors},
                when(k.spec.states() > 0, k.elements)};
    }
    Sizes operator()(const MuonMomentum& k) const {
        return {OperandSize{k.elements}, when(k.clip > 0, 1), {k.elements}, {k.elements}};
    }
    Sizes operator()(const Orthogonalise& k) const {
        return {OperandSize{k.count * k.rows * k.cols}, {k.workspace()}};
    }
    Sizes operator()(const MuonStep& k) const {
        return {OperandSize{k.elements}, {k.elements}, when(k.master, k.elements)};
    }
};

}  // namespace

std::array<OperandSize, kMaxOperands> operand_sizes(const Kernel& kernel) {
    return std::visit(SizesOf{}, kernel);
}

}  // namespace shardscope
