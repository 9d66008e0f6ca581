#include "backends/cuda/matmul/matmul_call.h"

#include <array>
#include <string_view>

namespace shardscope::cuda {
namespace {

// cuBLASLt takes an auxiliary matrix only with a leading dimension that is a multiple of this many elements.
constexpr std::int64_t kAuxMultiple = 8;

bool takes_aux(std::int64_t ld, const LinearCase& with) {
    return with.aligned && ld % kAuxMultiple == 0;
}

// The activation as an epilogue; `none` where it has to be a kernel of ours.
MatmulEpilogue activation_epilogue(const Linear& k, const LinearCase& with) {
    switch (k.activation) {
        case Activation::relu:
            if (with.saves_argument) return MatmulEpilogue::none;
            return k.bias ? MatmulEpilogue::relu_bias : MatmulEpilogue::relu;
        case Activation::gelu:
            if (with.saves_argument && !takes_aux(k.out, with)) return MatmulEpilogue::none;
            if (with.saves_argument)
                return k.bias ? MatmulEpilogue::gelu_aux_bias : MatmulEpilogue::gelu_aux;
            return k.bias ? MatmulEpilogue::gelu_bias : MatmulEpilogue::gelu;
        default:
            return MatmulEpilogue::none;
    }
}

}  // namespace

MatmulPlan plan_matmul(const Linear& k, const LinearCase& with, const MatmulOptions& options) {
    enum { x, w, bias, residual, y, pre };
    MatmulPlan plan;
    plan.call = {.m = k.out,
                 .n = k.rows,
                 .k = k.in,
                 .transpose_a = true,
                 .lda = k.in,
                 .ldb = k.in,
                 .ldd = k.out,
                 .input = with.dtype,
                 .output = with.dtype,
                 .tf32 = options.tf32 && with.dtype == DType::fp32};
    plan.operands = {.a = w, .b = x, .c = y, .d = y};

    const bool fuses = options.fused_epilogues && with.aligned;
    // The residual is added last, so only where no activation stands before it is it cuBLASLt's C.
    const bool linear = k.activation == Activation::none && !with.saves_argument;
    if (fuses && linear) {
        if (k.bias) plan.call.epilogue = MatmulEpilogue::bias;
    } else if (fuses && !k.residual) {
        plan.call.epilogue = activation_epilogue(k, with);
    }
    const bool activated = plan.call.epilogue != MatmulEpilogue::none && !linear;
    if (activated) {
        if (with.saves_argument) plan.operands.aux = pre, plan.call.aux_ld = k.out;
        if (k.bias) plan.operands.bias = bias;
        return plan;
    }
    if (linear) {
        if (k.residual) plan.call.beta = 1.0f, plan.operands.c = residual;
        if (plan.call.epilogue == MatmulEpilogue::bias) plan.operands.bias = bias;
        if (k.bias && plan.operands.bias < 0) plan.after.forward = plan.after.bias = true;
        return plan;
    }
    // The argument goes where it is saved, or through y; the bias is still the multiply's if it may be.
    if (with.saves_argument) plan.operands.c = plan.operands.d = pre;
    if (k.bias && fuses) {
        plan.call.epilogue = MatmulEpilogue::bias;
        plan.operands.bias = bias;
    }
    plan.after = {.forward = true,
                  .bias = k.bias && !fuses,
                  .residual = k.residual,
                  .activation = k.activation};
    return plan;
}

MatmulPlan plan_matmul(const LinearInputGrad& k, const LinearCase& with,
                       const MatmulOptions& options) {
    enum { dy, w, aux, dx };
    MatmulPlan plan;
    plan.call = {.m = k.in,
                 .n = k.rows,
                 .k = k.out,
                 .lda = k.in,
                 .ldb = k.out,
                 .ldd = k.in,
                 .input = with.dtype,
                 .output = with.dtype,
                 .tf32 = options.tf32 && with.dtype == DType::fp32};
    plan.operands = {.a = w, .b = dy, .c = dx, .d = dx};
    if (k.activation == Activation::gelu && options.fused_epilogues && takes_aux(k.in, with)) {
        plan.call.epilogue = MatmulEpilogue::dgelu;
        plan.call.aux_ld = k.in;
        plan.operands.aux = aux;
    } else if (k.activation != Activation::none) {
        // relu too: cuBLASLt's form wants a bit mask, and we keep y.
        plan.after = {.derivative = true, .activation = k.activation};
    }
    return plan;
}

MatmulPlan plan_matmul(const LinearWeightGrad& k, const LinearCase& with,
                       const MatmulOptions& options) {
    enum { x, dy, dw, db };
    MatmulPlan plan;
    plan.call = {.m = k.in,
                 .n = k.out,
                 .k = k.rows,
                 .transpose_b = true,
                 .lda = k.in,
                 .ldb = k.out,
                 .ldd = k.in,
                 .input = with.dtype,
                 .output = with.gradient,
                 .tf32 = options.tf32 && with.dtype == DType::fp32,
                 .beta = k.accumulate ? 1.0f : 0.0f};
    plan.operands = {.a = x, .b = dy, .c = dw, .d = dw};
    if (!k.bias) return plan;
    // cuBLASLt overwrites the bias gradient, and beside fp32 gradients of bf16 it has no such epilogue.
    if (options.fused_epilogues && with.aligned && !k.accumulate && with.gradient == with.dtype) {
        plan.call.epilogue = MatmulEpilogue::bgradb;
        plan.operands.bias = db;
    } else {
        plan.after.column_sums = true;
    }
    return plan;
}

std::string text_of(const MatmulCall& c) {
    static constexpr std::array<std::string_view, 10> kEpilogues{
        "none",      "bias",     "relu",          "relu_bias", "gelu",
        "gelu_bias", "gelu_aux", "gelu_aux_bias", "dgelu",     "bgradb"};
    std::string text = "m " + std::to_string(c.m) + ", n " + std::to_string(c.n) + ", k " +
                       std::to_string(c.k) + ", A " + (c.transpose_a ? "transposed" : "as is") +
                       ", B " + (c.transpose_b ? "transposed" : "as is") + ", " +
                       std::string(name_of(c.input)) + (c.tf32 ? " as tf32" : "") + " -> " +
                       std::string(name_of(c.output));
    if (c.beta != 0.0f) text += ", added to C";
    if (c.epilogue != MatmulEpilogue::none)
        text += ", epilogue " + std::string(kEpilogues[static_cast<std::size_t>(c.epilogue)]);
    return text;
}

}  // namespace shardscope::cuda
