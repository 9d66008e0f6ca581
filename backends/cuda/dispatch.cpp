#include "backends/cuda/dispatch.h"

#include <stdexcept>
#include <string>
#include <variant>

#include "backends/cuda/kernels/kernels.h"
#include "core/error.h"

namespace shardscope::cuda {
namespace {

// T stores activations and parameters, G parameter gradients.
template <class T, class G>
struct Run {
    const Compute& instruction;
    const Addresses& operands;
    const LaunchContext& context;
    Linears& linears;
    Attentions& attentions;

    template <class Kernel>
    void operator()(const Kernel& kernel) const {
        run<T>(kernel, operands, context);
    }
    void operator()(const Linear& kernel) const { linear(kernel); }
    void operator()(const LinearInputGrad& kernel) const { linear(kernel); }
    void operator()(const LinearWeightGrad& kernel) const {
        linears.run(kernel, instruction.dtype, instruction.gradient, operands, context);
    }
    void operator()(const Attention& kernel) const { attention(kernel); }
    void operator()(const AttentionGrad& kernel) const { attention(kernel); }
    void operator()(const NormWeightGrad& kernel) const { run<T, G>(kernel, operands, context); }
    void operator()(const HeadNormWeightGrad& kernel) const {
        run<T, G>(kernel, operands, context);
    }
    void operator()(const EmbeddingGrad& kernel) const { run<T, G>(kernel, operands, context); }
    void operator()(const SumSquares& kernel) const { run<G>(kernel, operands, context); }
    void operator()(const OptimizerStep& kernel) const { run<T, G>(kernel, operands, context); }
    template <SimulatedKernel Kernel>
    void operator()(const Kernel& kernel) const {
        throw std::logic_error(std::string(kernel_name(kernel)) + " is simulated only");
    }
    void operator()(const LoadBatch&) const {
        throw std::logic_error("load_batch is the executor's, not a kernel");
    }

    template <class Kernel>
    void linear(const Kernel& kernel) const {
        linears.run(kernel, instruction.dtype, operands, context);
    }
    template <class Kernel>
    void attention(const Kernel& kernel) const {
        attentions.run(kernel, instruction.dtype, operands, context);
    }
};

}  // namespace

void expect_supported(DType dtype, DType gradient) {
    if ((dtype == DType::fp32 && gradient == DType::fp32) ||
        (dtype == DType::bf16 && (gradient == DType::bf16 || gradient == DType::fp32)))
        return;
    throw Error("unsupported",
                "the cuda backend does not train in " + std::string(name_of(dtype)) +
                    " with gradients in " + std::string(name_of(gradient)),
                "use precision fp32 or bf16, with gradients in the same or bf16's in fp32; the cpu "
                "backend has fp64");
}

void prepare(const Compute& instruction, const Addresses& operands, const LaunchContext& context,
             Linears& linears) {
    const Kernel& kernel = instruction.kernel;
    if (const auto* forward = std::get_if<Linear>(&kernel))
        linears.prepare(*forward, instruction.dtype, operands, context);
    if (const auto* input = std::get_if<LinearInputGrad>(&kernel))
        linears.prepare(*input, instruction.dtype, operands, context);
    if (const auto* weight = std::get_if<LinearWeightGrad>(&kernel))
        linears.prepare(*weight, instruction.dtype, instruction.gradient, operands, context);
}

void execute(const Compute& instruction, const Addresses& operands, const LaunchContext& context,
             Linears& linears, Attentions& attentions) {
    // Loss and norm are doubles in every precision, and are set to zero as twice as many floats.
    if (const auto* zero = std::get_if<Zero>(&instruction.kernel);
        zero != nullptr && instruction.dtype == DType::fp64)
        return run<float>(Zero{2 * zero->elements}, operands, context);
    expect_supported(instruction.dtype, instruction.gradient);
    const auto run_as = [&]<class T, class G>() {
        std::visit(Run<T, G>{instruction, operands, context, linears, attentions},
                   instruction.kernel);
    };
    if (instruction.dtype == DType::fp32) return run_as.template operator()<float, float>();
    if (instruction.gradient == DType::fp32) return run_as.template operator()<Bf16, float>();
    run_as.template operator()<Bf16, Bf16>();
}

}  // namespace shardscope::cuda
