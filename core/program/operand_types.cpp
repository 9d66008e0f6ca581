#include "core/program/operand_types.h"

namespace shardscope {
namespace {

using Types = std::array<DType, kMaxOperands>;

constexpr DType kIndex = DType::int32;
constexpr DType kScalarType = DType::fp64;
constexpr DType kScale = DType::fp32;  // statistics of optimizers

struct TypesOf {
    DType e, g, s;  // storage, gradient, state

    // The unfused kind's statistics are its probabilities, an activation like any other.
    template <class AnyAttention>
    DType attention_stats(const AnyAttention& k) const {
        return k.kind == AttentionKind::flash ? s : e;
    }

    Types operator()(const LoadBatch& k) const { return {k.tokens ? kIndex : e, kIndex}; }
    Types operator()(const Embedding&) const { return {kIndex, e, e, e}; }
    Types operator()(const EmbeddingGrad&) const { return {kIndex, e, g, g}; }
    Types operator()(const LinearWeightGrad&) const { return {e, e, g, g}; }
    Types operator()(const Norm&) const { return {e, e, e, e, s}; }
    Types operator()(const NormInputGrad&) const { return {e, e, s, e, e, e}; }
    Types operator()(const NormWeightGrad&) const { return {e, e, s, g, g}; }
    Types operator()(const HeadNorm&) const { return {e, e, e, e, s}; }
    Types operator()(const HeadNormInputGrad&) const { return {e, e, s, e, e, e}; }
    Types operator()(const HeadNormWeightGrad&) const { return {e, e, s, g, g}; }
    Types operator()(const Attention& k) const { return {e, e, attention_stats(k), s}; }
    Types operator()(const AttentionGrad& k) const { return {e, e, e, attention_stats(k), e, s}; }
    Types operator()(const SwiGlu&) const { return {e, e, s}; }
    Types operator()(const SwiGluGrad&) const { return {e, e, e, s, s}; }
    Types operator()(const Route&) const { return {e, s, s, kIndex}; }
    Types operator()(const RouteGrad&) const { return {s, s, kIndex, e}; }
    Types operator()(const Permute&) const { return {e, kIndex, e}; }
    Types operator()(const Unpermute&) const { return {e, kIndex, e, e}; }
    Types operator()(const SelectRows& k) const {
        return {k.map ? DType::int8 : kIndex, s, kIndex, s};
    }
    Types operator()(const SelectRowsGrad&) const { return {s, kIndex, s}; }
    Types operator()(const ContextAttention&) const { return {e, e, e, s}; }
    Types operator()(const ContextAttentionGrad&) const { return {e, e, e, e, s, e, e}; }
    Types operator()(const MergeAttention&) const { return {e, s, e, s}; }
    Types operator()(const SoftmaxCrossEntropy&) const { return {e, kIndex, kScalarType}; }
    Types operator()(const VocabularyMax&) const { return {e, s}; }
    Types operator()(const VocabularySum&) const { return {e, s, kIndex, s}; }
    Types operator()(const VocabularyLoss&) const { return {e, s, kIndex, kScalarType}; }
    Types operator()(const Quantise&) const { return {e, DType::int8, s}; }
    Types operator()(const Dequantise&) const { return {DType::int8, s, e}; }
    Types operator()(const SumQuantised&) const { return {DType::int8, s, DType::int8, s}; }
    Types operator()(const QuantiseOperand&) const { return {e, DType::int8, DType::int8}; }
    Types operator()(const SumSquares&) const { return {g, kScalarType}; }
    Types operator()(const OptimizerStep& k) const {
        const DType state = k.blocks > 0 ? DType::int8 : s;
        return {g, kScalarType, e, s, state, state, kScale};
    }
    Types operator()(const FactoredSquares&) const { return {g, kScalarType, kScale}; }
    Types operator()(const FactoredNorms& k) const {
        return {g, kScalarType, k.master ? s : e, kScale, kScale, kScale};
    }
    Types operator()(const FactoredStep&) const {
        return {g, kScalarType, e, s, kScale, kScale, s};
    }
    Types operator()(const MuonMomentum&) const { return {g, kScalarType, s, DType::bf16}; }
    Types operator()(const Orthogonalise&) const { return {DType::bf16, DType::bf16}; }
    Types operator()(const MuonStep&) const { return {DType::bf16, e, s}; }
    template <class Other>
    Types operator()(const Other&) const {
        Types types;
        types.fill(e);
        return types;
    }
};

}  // namespace

std::array<DType, kMaxOperands> operand_dtypes(const Compute& compute) {
    return std::visit(TypesOf{compute.dtype, compute.gradient, state_dtype(compute.dtype)},
                      compute.kernel);
}

}  // namespace shardscope
