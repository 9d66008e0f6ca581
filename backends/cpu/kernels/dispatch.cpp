#include "backends/cpu/kernels/dispatch.h"

#include <stdexcept>
#include <string>
#include <variant>

#include "backends/cpu/kernels/kernels.h"
#include "core/error.h"

namespace shardscope::cpu {
namespace {

template <class T>
struct Run {
    const Addresses& operands;
    const StepContext& context;

    template <class Kernel>
    void operator()(const Kernel& kernel) const {
        run<T>(kernel, operands);
    }
    void operator()(const Embedding& kernel) const { indexed(kernel); }
    void operator()(const EmbeddingGrad& kernel) const { indexed(kernel); }
    void operator()(const VocabularyMax& kernel) const { indexed(kernel); }
    void operator()(const VocabularySum& kernel) const { indexed(kernel); }
    void operator()(const VocabularyLoss& kernel) const { indexed(kernel); }
    void operator()(const SumSquares& kernel) const {
        run<T>(kernel, operands, context.data_index);
    }
    void operator()(const OptimizerStep& kernel) const {
        run<T>(kernel, operands, context.step + 1);
    }
    template <class Kernel>
    void indexed(const Kernel& kernel) const {
        run<T>(kernel, operands, context.tensor_index);
    }
    void operator()(const LoadBatch&) const {
        throw std::logic_error("load_batch is the executor's, not a kernel");
    }
};

}  // namespace

void execute(const Compute& instruction, const Addresses& operands, const StepContext& context) {
    const DType dtype = instruction.dtype;
    if (dtype == instruction.gradient) {
        if (dtype == DType::fp32)
            return std::visit(Run<float>{operands, context}, instruction.kernel);
        if (dtype == DType::fp64)
            return std::visit(Run<double>{operands, context}, instruction.kernel);
    }
    const DType other = dtype == DType::fp32 || dtype == DType::fp64 ? instruction.gradient : dtype;
    throw Error("unsupported",
                "the cpu backend does not run " + std::string(name_of(other)) +
                    (other == dtype ? "" : " gradients of " + std::string(name_of(dtype))) + " yet",
                "use precision: fp32 or fp64");
}

}  // namespace shardscope::cpu
