#include "core/program/kernel.h"

#include <algorithm>

namespace shardscope {
namespace {

using Accesses = std::array<Access, kMaxOperands>;

constexpr Access R = Access::read;
constexpr Access W = Access::write;
constexpr Access RW = Access::read_write;

constexpr Access read_if(bool present) { return present ? R : Access::none; }
constexpr Access write_if(bool present) { return present ? W : Access::none; }
constexpr Access write_or_add(bool accumulate) { return accumulate ? RW : W; }

bool has_bias(NormKind kind) { return kind == NormKind::layer_norm; }

struct AccessOf {
    Accesses operator()(const LoadBatch& k) const {
        return {write_if(k.inputs), write_if(k.targets)};
    }
    Accesses operator()(const Embedding&) const { return {R, R, R, W}; }
    Accesses operator()(const EmbeddingGrad& k) const {
        return {R, R, write_or_add(k.accumulate_table), write_or_add(k.accumulate_positions)};
    }
    Accesses operator()(const Linear& k) const {
        return {
            R, R, read_if(k.bias), read_if(k.residual), W, write_if(needs_argument(k.activation))};
    }
    Accesses operator()(const LinearInputGrad& k) const {
        return {R, R, read_if(k.activation != Activation::none), W};
    }
    Accesses operator()(const LinearWeightGrad& k) const {
        const Access out = write_or_add(k.accumulate);
        return {R, R, out, k.bias ? out : Access::none};
    }
    Accesses operator()(const BiasResidual& k) const {
        return {RW, read_if(k.bias), read_if(k.residual)};
    }
    Accesses operator()(const Activate&) const { return {R, W}; }
    Accesses operator()(const ActivateGrad&) const { return {R, R, W}; }
    Accesses operator()(const SwiGlu& k) const { return {R, W, read_if(k.weighted)}; }
    Accesses operator()(const SwiGluGrad& k) const {
        return {R, R, W, read_if(k.weighted), write_if(k.weighted)};
    }
    Accesses operator()(const GeGlu&) const { return {R, W}; }
    Accesses operator()(const GeGluGrad&) const { return {R, R, W}; }
    Accesses operator()(const Norm& k) const { return {R, R, read_if(has_bias(k.kind)), W, W}; }
    Accesses operator()(const NormInputGrad& k) const {
        return {R, R, R, R, read_if(k.residual), W};
    }
    Accesses operator()(const NormWeightGrad& k) const {
        const Access out = write_or_add(k.accumulate);
        return {R, R, R, out, has_bias(k.kind) ? out : Access::none};
    }
    Accesses operator()(const HeadNorm&) const { return {RW, R, R, W, W}; }
    Accesses operator()(const HeadNormInputGrad&) const { return {R, R, R, R, R, W}; }
    Accesses operator()(const HeadNormWeightGrad& k) const {
        return {R, R, R, write_or_add(k.accumulate), write_or_add(k.accumulate)};
    }
    Accesses operator()(const Rope&) const { return {RW}; }
    Accesses operator()(const Attention&) const { return {R, W, W, W}; }
    Accesses operator()(const AttentionGrad&) const { return {R, R, R, R, W, W}; }
    Accesses operator()(const LatentQkv&) const { return {R, R, R, W}; }
    Accesses operator()(const LatentQkvGrad&) const { return {R, W, W, W}; }
    Accesses operator()(const Route&) const { return {R, W, W, W}; }
    Accesses operator()(const RouteGrad&) const { return {R, R, R, W}; }
    Accesses operator()(const Permute&) const { return {R, R, W}; }
    Accesses operator()(const Unpermute& k) const { return {R, R, read_if(k.residual), W}; }
    Accesses operator()(const SelectRows&) const { return {R, R, W, W}; }
    Accesses operator()(const SelectRowsGrad&) const { return {R, R, W}; }
    Accesses operator()(const GateRows& k) const { return {R, R, read_if(k.residual), W}; }
    Accesses operator()(const GateRowsGrad&) const { return {R, R, R, W, W}; }
    Accesses operator()(const TakeKeyValues&) const { return {R, W}; }
    Accesses operator()(const ContextAttention&) const { return {R, R, W, W}; }
    Accesses operator()(const ContextAttentionGrad&) const { return {R, R, R, R, R, W, W}; }
    Accesses operator()(const MergeAttention&) const { return {RW, RW, R, R}; }
    Accesses operator()(const PutGradients&) const { return {R, R, W}; }
    Accesses operator()(const SoftmaxCrossEntropy& k) const {
        return {RW, R, write_or_add(k.accumulate_loss)};
    }
    Accesses operator()(const VocabularyMax&) const { return {R, W}; }
    Accesses operator()(const VocabularySum&) const { return {RW, R, R, W}; }
    Accesses operator()(const VocabularyLoss&) const { return {RW, R, R, RW}; }
    Accesses operator()(const Zero&) const { return {W}; }
    Accesses operator()(const Add&) const { return {RW, R}; }
    Accesses operator()(const Copy&) const { return {R, W}; }
    Accesses operator()(const SumParts&) const { return {R, W}; }
    Accesses operator()(const Quantise&) const { return {R, W, W}; }
    Accesses operator()(const Dequantise&) const { return {R, R, W}; }
    Accesses operator()(const SumQuantised&) const { return {R, R, W, W}; }
    Accesses operator()(const QuantiseOperand&) const { return {R, W, W}; }
    Accesses operator()(const SumSquares& k) const { return {R, write_or_add(k.accumulate)}; }
    Accesses operator()(const OptimizerStep& k) const {
        const int states = k.spec.states();
        return {R,
                read_if(k.clip > 0),
                k.master ? W : RW,
                k.master ? RW : Access::none,
                states > 0 ? RW : Access::none,
                states > 1 ? RW : Access::none,
                k.blocks > 0 ? RW : Access::none};
    }
    Accesses operator()(const FactoredSquares& k) const { return {R, read_if(k.clip > 0), W}; }
    Accesses operator()(const FactoredNorms& k) const {
        return {R, read_if(k.clip > 0), R, R, RW, W};
    }
    Accesses operator()(const FactoredStep& k) const {
        return {R,
                read_if(k.clip > 0),
                k.master ? W : RW,
                k.master ? RW : Access::none,
                R,
                R,
                k.spec.states() > 0 ? RW : Access::none};
    }
    Accesses operator()(const MuonMomentum& k) const { return {R, read_if(k.clip > 0), RW, W}; }
    Accesses operator()(const Orthogonalise&) const { return {RW, W}; }
    Accesses operator()(const MuonStep& k) const {
        return {R, k.master ? W : RW, k.master ? RW : Access::none};
    }
};

struct NameOf {
    std::string_view operator()(const LoadBatch&) const { return "load_batch"; }
    std::string_view operator()(const Embedding&) const { return "embedding"; }
    std::string_view operator()(const EmbeddingGrad&) const { return "embedding_grad"; }
    std::string_view operator()(const Linear&) const { return "linear"; }
    std::string_view operator()(const LinearInputGrad&) const { return "linear_input_grad"; }
    std::string_view operator()(const LinearWeightGrad&) const { return "linear_weight_grad"; }
    std::string_view operator()(const BiasResidual&) const { return "bias_residual"; }
    std::string_view operator()(const Activate&) const { return "activate"; }
    std::string_view operator()(const ActivateGrad&) const { return "activate_grad"; }
    std::string_view operator()(const SwiGlu&) const { return "swiglu"; }
    std::string_view operator()(const SwiGluGrad&) const { return "swiglu_grad"; }
    std::string_view operator()(const GeGlu&) const { return "geglu"; }
    std::string_view operator()(const GeGluGrad&) const { return "geglu_grad"; }
    std::string_view operator()(const Norm&) const { return "norm"; }
    std::string_view operator()(const NormInputGrad&) const { return "norm_input_grad"; }
    std::string_view operator()(const NormWeightGrad&) const { return "norm_weight_grad"; }
    std::string_view operator()(const HeadNorm&) const { return "head_norm"; }
    std::string_view operator()(const HeadNormInputGrad&) const { return "head_norm_input_grad"; }
    std::string_view operator()(const HeadNormWeightGrad&) const { return "head_norm_weight_grad"; }
    std::string_view operator()(const Rope&) const { return "rope"; }
    std::string_view operator()(const Attention&) const { return "attention"; }
    std::string_view operator()(const AttentionGrad&) const { return "attention_grad"; }
    std::string_view operator()(const LatentQkv&) const { return "latent_qkv"; }
    std::string_view operator()(const LatentQkvGrad&) const { return "latent_qkv_grad"; }
    std::string_view operator()(const Route&) const { return "route"; }
    std::string_view operator()(const RouteGrad&) const { return "route_grad"; }
    std::string_view operator()(const Permute&) const { return "permute"; }
    std::string_view operator()(const SelectRows&) const { return "select_rows"; }
    std::string_view operator()(const SelectRowsGrad&) const { return "select_rows_grad"; }
    std::string_view operator()(const Unpermute&) const { return "unpermute"; }
    std::string_view operator()(const GateRows&) const { return "gate_rows"; }
    std::string_view operator()(const GateRowsGrad&) const { return "gate_rows_grad"; }
    std::string_view operator()(const TakeKeyValues&) const { return "take_key_values"; }
    std::string_view operator()(const ContextAttention&) const { return "context_attention"; }
    std::string_view operator()(const ContextAttentionGrad&) const {
        return "context_attention_grad";
    }
    std::string_view operator()(const MergeAttention&) const { return "merge_attention"; }
    std::string_view operator()(const PutGradients&) const { return "put_gradients"; }
    std::string_view operator()(const SoftmaxCrossEntropy&) const {
        return "softmax_cross_entropy";
    }
    std::string_view operator()(const VocabularyMax&) const { return "vocabulary_max"; }
    std::string_view operator()(const VocabularySum&) const { return "vocabulary_sum"; }
    std::string_view operator()(const VocabularyLoss&) const { return "vocabulary_loss"; }
    std::string_view operator()(const Zero&) const { return "zero"; }
    std::string_view operator()(const Add&) const { return "add"; }
    std::string_view operator()(const Copy&) const { return "copy"; }
    std::string_view operator()(const SumParts&) const { return "sum_parts"; }
    std::string_view operator()(const Quantise&) const { return "quantise"; }
    std::string_view operator()(const Dequantise&) const { return "dequantise"; }
    std::string_view operator()(const SumQuantised&) const { return "sum_quantised"; }
    std::string_view operator()(const QuantiseOperand&) const { return "quantise_operand"; }
    std::string_view operator()(const SumSquares&) const { return "sum_squares"; }
    std::string_view operator()(const OptimizerStep&) const { return "optimizer_step"; }
    std::string_view operator()(const FactoredSquares&) const { return "factored_squares"; }
    std::string_view operator()(const FactoredNorms&) const { return "factored_norms"; }
    std::string_view operator()(const FactoredStep&) const { return "factored_step"; }
    std::string_view operator()(const MuonMomentum&) const { return "muon_momentum"; }
    std::string_view operator()(const Orthogonalise&) const { return "orthogonalise"; }
    std::string_view operator()(const MuonStep&) const { return "muon_step"; }
};

std::int64_t query_block(std::int64_t seq) { return std::min(seq, kAttentionQueryBlock); }

}  // namespace

std::array<Access, kMaxOperands> accesses(const Kernel& kernel) {
    return std::visit(AccessOf{}, kernel);
}

std::string_view kernel_name(const Kernel& kernel) { return std::visit(NameOf{}, kernel); }

std::int64_t attention_stats_elements(const Attention& kernel) {
    const std::int64_t queries = kernel.samples * kernel.heads * kernel.seq;
    return kernel.kind == AttentionKind::flash ? queries : queries * kernel.seq;
}

std::int64_t attention_workspace_elements(const Attention& kernel) {
    // The unfused kind computes its scores where the probabilities stay.
    if (kernel.kind == AttentionKind::unfused) return 0;
    return kernel.tiles * query_block(kernel.seq) * kernel.seq;
}

std::int64_t attention_workspace_elements(const AttentionGrad& kernel) {
    const std::int64_t blocks = kernel.kind == AttentionKind::flash ? 2 : 1;
    return kernel.tiles * blocks * query_block(kernel.seq) * kernel.seq;
}

}  // namespace shardscope
