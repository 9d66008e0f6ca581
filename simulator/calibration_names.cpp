#include "simulator/calibration_names.h"

#include <array>

namespace shardscope {
namespace {

// One of the names of what is computed in a kernel with this activation.
std::string_view by_activation(Activation activation, std::string_view relu, std::string_view gelu,
                               std::string_view gelu_erf) {
    if (activation == Activation::gelu) return gelu;
    return activation == Activation::gelu_erf ? gelu_erf : relu;
}
bool is_rms(NormKind kind) { return kind == NormKind::rms_norm; }

// The nearest of the measured head sizes 32, 64 and 128.
std::size_t head_size(std::int64_t head_dim) { return head_dim <= 45 ? 0 : head_dim <= 90 ? 1 : 2; }

using ByHeadSize = std::array<std::string_view, 3>;
const ByHeadSize& by_kind(AttentionKind kind, const ByHeadSize& flash, const ByHeadSize& unfused) {
    return kind == AttentionKind::flash ? flash : unfused;
}

// Kernels whose cost per unit of work depends on a field; empty for the others.
struct VariantName {
    std::string_view operator()(const Activate& k) const {
        return by_activation(k.activation, "activate.relu", "activate.gelu", "activate.gelu_erf");
    }
    std::string_view operator()(const ActivateGrad& k) const {
        return by_activation(k.activation, "activate_grad.relu", "activate_grad.gelu",
                             "activate_grad.gelu_erf");
    }
    std::string_view operator()(const GeGlu& k) const {
        return by_activation(k.activation, "", "geglu.gelu", "geglu.gelu_erf");
    }
    std::string_view operator()(const GeGluGrad& k) const {
        return by_activation(k.activation, "", "geglu_grad.gelu", "geglu_grad.gelu_erf");
    }
    std::string_view operator()(const Norm& k) const {
        return is_rms(k.kind) ? "norm.rms_norm" : "norm.layer_norm";
    }
    std::string_view operator()(const NormInputGrad& k) const {
        return is_rms(k.kind) ? "norm_input_grad.rms_norm" : "norm_input_grad.layer_norm";
    }
    std::string_view operator()(const NormWeightGrad& k) const {
        return is_rms(k.kind) ? "norm_weight_grad.rms_norm" : "norm_weight_grad.layer_norm";
    }
    std::string_view operator()(const Attention& k) const {
        static constexpr ByHeadSize kFlash{"attention.d32", "attention.d64", "attention.d128"};
        static constexpr ByHeadSize kUnfused{"attention.unfused.d32", "attention.unfused.d64",
                                             "attention.unfused.d128"};
        return by_kind(k.kind, kFlash, kUnfused)[head_size(k.head_dim)];
    }
    std::string_view operator()(const AttentionGrad& k) const {
        static constexpr ByHeadSize kFlash{"attention_grad.d32", "attention_grad.d64",
                                           "attention_grad.d128"};
        static constexpr ByHeadSize kUnfused{"attention_grad.unfused.d32",
                                             "attention_grad.unfused.d64",
                                             "attention_grad.unfused.d128"};
        return by_kind(k.kind, kFlash, kUnfused)[head_size(k.head_dim)];
    }
    std::string_view operator()(const OptimizerStep& k) const {
        switch (k.spec.kind) {
            case OptimizerKind::sgd:
                return "optimizer_step.sgd";
            case OptimizerKind::adam_8bit:
                return "optimizer_step.adam-8bit";
            default:
                return "optimizer_step.adam";
        }
    }
    template <class Other>
    std::string_view operator()(const Other&) const {
        return {};
    }
};

double bytes_both_ways(std::int64_t rows, std::int64_t width, DType dtype) {
    return 2.0 * static_cast<double>(rows) * static_cast<double>(width) *
           static_cast<double>(size_of(dtype));
}

}  // namespace

std::string_view calibration_name(const Kernel& kernel) {
    const std::string_view variant = std::visit(VariantName{}, kernel);
    return variant.empty() ? kernel_name(kernel) : variant;
}

CalibrationWork calibration_work(const Compute& compute) {
    const KernelCost cost = cost_of(compute.kernel, compute.dtype, compute.gradient);
    std::int64_t heads = 0;
    if (const auto* k = std::get_if<Attention>(&compute.kernel)) heads = k->samples * k->heads;
    if (const auto* k = std::get_if<AttentionGrad>(&compute.kernel)) heads = k->samples * k->heads;
    if (heads == 0) return {static_cast<double>(cost.moved().value), 1};
    const auto parts = static_cast<double>(heads);
    return {cost.matmul.value / parts, parts};
}

Epilogue epilogue_of(const Compute& compute) {
    Epilogue epilogue;
    if (const auto* k = std::get_if<Linear>(&compute.kernel)) {
        if (k->bias) epilogue.bias = "linear.bias";
        if (k->residual) epilogue.residual = "linear.residual";
        if (k->activation != Activation::none)
            epilogue.activation =
                by_activation(k->activation, "linear.relu", "linear.gelu", "linear.gelu_erf");
        epilogue.work = bytes_both_ways(k->rows, k->out, compute.dtype);
    } else if (const auto* g = std::get_if<LinearInputGrad>(&compute.kernel)) {
        if (g->activation != Activation::none)
            epilogue.activation =
                by_activation(g->activation, "linear_input_grad.relu", "linear_input_grad.gelu",
                              "linear_input_grad.gelu_erf");
        epilogue.work = bytes_both_ways(g->rows, g->in, compute.dtype);
    } else if (const auto* w = std::get_if<LinearWeightGrad>(&compute.kernel)) {
        if (w->bias) epilogue.bias = "linear_weight_grad.bias";
        epilogue.work = bytes_both_ways(w->rows, w->out, compute.dtype);
    }
    return epilogue;
}

}  // namespace shardscope
