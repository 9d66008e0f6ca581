#include <variant>

#include "backends/cuda/check/kernel_case.h"

namespace shardscope::cuda {
namespace {

struct HasGradients {
    bool operator()(const EmbeddingGrad&) const { return true; }
    bool operator()(const LinearWeightGrad&) const { return true; }
    bool operator()(const NormWeightGrad&) const { return true; }
    bool operator()(const HeadNormWeightGrad&) const { return true; }
    bool operator()(const SumSquares&) const { return true; }
    bool operator()(const OptimizerStep&) const { return true; }
    template <class Other>
    bool operator()(const Other&) const {
        return false;
    }
};

}  // namespace

void add_case(Cases& cases, const Kernel& kernel, const std::string& shape,
              const std::vector<OperandContent>& operands, const KernelCase& like) {
    KernelCase c = like;
    c.kernel = kernel;
    c.shape = shape;
    c.operands = operands;
    const auto add = [&](DType dtype, DType gradient) {
        c.dtype = dtype;
        c.gradient = gradient;
        cases.push_back(c);
    };
    add(DType::fp32, DType::fp32);
    add(DType::bf16, DType::bf16);
    if (std::visit(HasGradients(), kernel)) add(DType::bf16, DType::fp32);
}

std::vector<KernelCase> kernel_cases() {
    Cases cases;
    add_elementwise_cases(cases);
    add_norm_cases(cases);
    add_matrix_cases(cases);
    add_token_cases(cases);
    add_optimizer_cases(cases);
    return cases;
}

}  // namespace shardscope::cuda
