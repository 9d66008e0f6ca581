#include "backends/cpu/kernels/dispatch.h"

#include <stdexcept>
#include <string>
#include <variant>

#include "backends/cpu/kernels/kernels.h"
#include "core/error.h"

namespace shardscope::cpu {
namespace {

// T stores activations and parameters, G parameter gradients.
template <class T, class G>
struct Run {
    const Addresses& operands;
    const StepContext& context;
    Team& team;

    template <class Kernel>
    void operator()(const Kernel& kernel) const {
        run<T>(kernel, operands, team);
    }
    void operator()(const LinearWeightGrad& kernel) const { run<T, G>(kernel, operands, team); }
    void operator()(const NormWeightGrad& kernel) const { run<T, G>(kernel, operands, team); }
    void operator()(const HeadNormWeightGrad& kernel) const { run<T, G>(kernel, operands, team); }
    void operator()(const Embedding& kernel) const { indexed(kernel); }
    void operator()(const EmbeddingGrad& kernel) const {
        run<T, G>(kernel, operands, context.tensor_index, team);
    }
    void operator()(const VocabularyMax& kernel) const { indexed(kernel); }
    void operator()(const VocabularySum& kernel) const { indexed(kernel); }
    void operator()(const VocabularyLoss& kernel) const { indexed(kernel); }
    void operator()(const SumSquares& kernel) const {
        run<G>(kernel, operands, context.data_index, team);
    }
    void operator()(const OptimizerStep& kernel) const {
        run<T, G>(kernel, operands, context.step + 1, team);
    }
    template <class Kernel>
    void indexed(const Kernel& kernel) const {
        run<T>(kernel, operands, context.tensor_index, team);
    }
    template <SimulatedKernel Kernel>
    void operator()(const Kernel& kernel) const {
        throw std::logic_error(std::string(kernel_name(kernel)) + " is simulated only");
    }
    void operator()(const LoadBatch&) const {
        throw std::logic_error("load_batch is the executor's, not a kernel");
    }
};

}  // namespace

void execute(const Compute& instruction, const Addresses& operands, const StepContext& context,
             Team& team) {
    const DType dtype = instruction.dtype, gradient = instruction.gradient;
    const auto run_as = [&]<class T, class G>() {
        std::visit(Run<T, G>{operands, context, team}, instruction.kernel);
    };
    if (dtype == DType::fp32 && gradient == DType::fp32)
        return run_as.template operator()<float, float>();
    if (dtype == DType::fp64 && gradient == DType::fp64)
        return run_as.template operator()<double, double>();
    if (dtype == DType::bf16 && gradient == DType::bf16)
        return run_as.template operator()<Bf16, Bf16>();
    if (dtype == DType::bf16 && gradient == DType::fp32)
        return run_as.template operator()<Bf16, float>();
    throw Error("unsupported",
                "the cpu backend does not run " + std::string(name_of(dtype)) +
                    " with gradients in " + std::string(name_of(gradient)),
                "use precision fp32, fp64 or bf16, with gradients in the same or bf16's in fp32");
}

}  // namespace shardscope::cpu
