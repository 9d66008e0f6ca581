// What a linear layer asks of cuBLASLt: one multiply, and what our own kernels do after it. Pure
// functions of the layer, without any vendor's header, so that they are tested by evaluating the call with
// plain loops.
//
// cuBLASLt's matrices are column-major. A row-major matrix [rows, columns] is the column-major one
// [columns, rows] with leading dimension `columns`, so every product here is written transposed:
//   forward          yᵀ  [out × rows] = (Wᵀ)ᵀ · xᵀ     A = W transposed, B = x
//   input gradient   dxᵀ [in × rows]  = Wᵀ · dyᵀ       A = W,            B = dy
//   weight gradient  dWᵀ [in × out]   = xᵀ · (dyᵀ)ᵀ    A = x,            B = dy transposed
// and a bias, one value per output, runs along D's rows in the forward pass.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/dtype.h"
#include "core/program/kernel.h"

namespace shardscope::cuda {

struct MatmulOptions {
    bool tf32 =
        false;  // fp32 multiplies on tensor cores, their inputs rounded to 10 bits of mantissa
    // Whether bias and GELU are part of the multiply (cuBLASLt's epilogues) or kernels of their own.
    bool fused_epilogues = true;
    // Candidates of cuBLASLt's heuristic that Linears::prepare() runs and times for each shape, taking
    // the fastest; 1: the heuristic's first, untimed. At most kMostCandidates.
    int timed_candidates = 1;
};
inline constexpr int kMostCandidates = 8;

// What cuBLASLt does with alpha·A·B + beta·C before it stores D. GELU is the tanh form.
enum class MatmulEpilogue : std::uint8_t {
    none,
    bias,           // + bias
    relu,           // max(0, ·)
    relu_bias,      // max(0, · + bias)
    gelu,           // gelu(·)
    gelu_bias,      // gelu(· + bias)
    gelu_aux,       // gelu(·), its argument is stored in aux
    gelu_aux_bias,  // gelu(· + bias), its argument is stored in aux
    dgelu,          // · gelu'(aux)
    bgradb,         // D unchanged; bias := sums of op(B) over k, one for each column of D
};

// D = epilogue(op(A)·op(B) + beta·C), all column-major: D and C [m × n] with leading dimension ldd, op(A)
// [m × k], op(B) [k × n]. A, B: `input`; C, D, bias: `output`; sums in fp32 and alpha, beta fp32.
struct MatmulCall {
    std::int64_t m = 0, n = 0, k = 0;
    bool transpose_a = false, transpose_b = false;
    std::int64_t lda = 0, ldb = 0, ldd = 0;
    DType input = DType::fp32, output = DType::fp32;
    bool tf32 = false;
    float beta = 0.0f;
    MatmulEpilogue epilogue = MatmulEpilogue::none;
    std::int64_t aux_ld = 0;  // of aux, stored as `output`; 0: no aux

    auto operator<=>(const MatmulCall&) const = default;
};

// Which of the kernel's operands (kernel.h's order) each of the call's is; −1: none. C is D unless said.
struct MatmulOperands {
    int a = -1, b = -1, c = -1, d = -1, bias = -1, aux = -1;
};

// What is left to do in one pass over D after the multiply; operand numbers as above.
struct LinearRemainder {
    // D: y = act(D + bias) + residual, D + bias kept in `pre`; all but act optional.
    bool forward = false;
    // D: dx = D ⊙ act'(aux).
    bool derivative = false;
    // bias gradient (+)= Σ_rows dy.
    bool column_sums = false;
    bool bias = false, residual = false;
    Activation activation = Activation::none;

    bool any() const { return forward || derivative || column_sums; }
};

struct MatmulPlan {
    MatmulCall call;
    MatmulOperands operands;
    LinearRemainder after;
};

// What a plan may assume of the operands: their addresses are multiples of 16 bytes, as cuBLASLt's epilogues
// want them of bias and aux, and whether `pre` or the bias gradient are wanted at all.
struct LinearCase {
    DType dtype = DType::fp32, gradient = DType::fp32;
    bool saves_argument = false;  // Linear: pre is wanted
    bool aligned = true;          // bias, residual, pre and aux at multiples of 16 bytes
};

MatmulPlan plan_matmul(const Linear& kernel, const LinearCase& with, const MatmulOptions& options);
MatmulPlan plan_matmul(const LinearInputGrad& kernel, const LinearCase& with,
                       const MatmulOptions& options);
MatmulPlan plan_matmul(const LinearWeightGrad& kernel, const LinearCase& with,
                       const MatmulOptions& options);

// "m 768, n 4096, k 3072, bf16 -> bf16, gelu_aux_bias", for errors and records.
std::string text_of(const MatmulCall& call);

}  // namespace shardscope::cuda
