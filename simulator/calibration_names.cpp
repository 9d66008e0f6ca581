#include "simulator/calibration_names.h"

namespace shardscope {
namespace {

bool is_gelu(Activation activation) { return activation == Activation::gelu; }
bool is_rms(NormKind kind) { return kind == NormKind::rms_norm; }

// Kernels whose cost per byte depends on a field; std::nullopt-like empty view for the others.
struct VariantName {
    std::string_view operator()(const Activate& k) const {
        return is_gelu(k.activation) ? "activate.gelu" : "activate.relu";
    }
    std::string_view operator()(const ActivateGrad& k) const {
        return is_gelu(k.activation) ? "activate_grad.gelu" : "activate_grad.relu";
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
    std::string_view operator()(const OptimizerStep& k) const {
        return k.spec.kind == OptimizerKind::sgd ? "optimizer_step.sgd" : "optimizer_step.adam";
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

double calibration_work(const Compute& compute) {
    const KernelCost cost = cost_of(compute.kernel, compute.dtype, compute.gradient);
    const bool attention = std::holds_alternative<Attention>(compute.kernel) ||
                           std::holds_alternative<AttentionGrad>(compute.kernel);
    return attention ? cost.matmul.value : static_cast<double>(cost.moved().value);
}

Epilogue epilogue_of(const Compute& compute) {
    Epilogue epilogue;
    if (const auto* k = std::get_if<Linear>(&compute.kernel)) {
        if (k->bias) epilogue.bias = "linear.bias";
        if (k->residual) epilogue.residual = "linear.residual";
        if (k->activation != Activation::none)
            epilogue.activation = is_gelu(k->activation) ? "linear.gelu" : "linear.relu";
        epilogue.work = bytes_both_ways(k->rows, k->out, compute.dtype);
    } else if (const auto* g = std::get_if<LinearInputGrad>(&compute.kernel)) {
        if (g->activation != Activation::none)
            epilogue.activation =
                is_gelu(g->activation) ? "linear_input_grad.gelu" : "linear_input_grad.relu";
        epilogue.work = bytes_both_ways(g->rows, g->in, compute.dtype);
    } else if (const auto* w = std::get_if<LinearWeightGrad>(&compute.kernel)) {
        if (w->bias) epilogue.bias = "linear_weight_grad.bias";
        epilogue.work = bytes_both_ways(w->rows, w->out, compute.dtype);
    }
    return epilogue;
}

}  // namespace shardscope
