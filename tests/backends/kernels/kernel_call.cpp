#include "tests/backends/kernels/kernel_call.h"

#include <cmath>
#include <string>

#include "backends/cpu/kernels/dispatch.h"
#include "backends/cpu/kernels/gemm.h"
#include "core/bf16.h"
#include "core/program/operand_types.h"
#include "tests/backends/kernels/stored_operand.h"

namespace shardscope::test {
Tensor space(std::int64_t elements) {
    return tensor(Values(static_cast<std::size_t>(elements), 0.0));
}

std::vector<Values> call(const Kernel& kernel, DType dtype, const std::vector<Tensor>& operands,
                         const CallOptions& options) {
    cpu::use_one_thread();
    Compute instruction;
    instruction.kernel = kernel;
    instruction.dtype = dtype;
    instruction.gradient = options.gradient.value_or(dtype);
    const auto access = accesses(kernel);
    const auto types = operand_dtypes(instruction);
    std::vector<StoredOperand> stored;
    for (std::size_t i = 0; i < operands.size(); ++i)
        stored.emplace_back(operands[i], types[i], access[i] == Access::write);
    Addresses addresses{};
    for (std::size_t i = 0; i < stored.size(); ++i) addresses[i] = stored[i].address();

    StepContext context;
    context.step = options.step;
    context.data_index = options.data_index;
    context.tensor_index = options.tensor_index;
    cpu::Team team(options.threads);
    cpu::execute(instruction, addresses, context, team);

    std::vector<Values> after;
    for (std::size_t i = 0; i < stored.size(); ++i) {
        const std::string where =
            std::string(kernel_name(kernel)) + ", operand " + std::to_string(i);
        EXPECT_TRUE(stored[i].guard_unchanged()) << where << " was written past its end";
        if (access[i] == Access::read) {
            EXPECT_TRUE(stored[i].unchanged()) << where << " is read only";
        }
        after.push_back(stored[i].values());
    }
    return after;
}

Random::Random()
    : seed_(static_cast<std::uint32_t>(::testing::UnitTest::GetInstance()->random_seed())),
      engine_(seed_) {}

std::string Random::trace() const { return "random seed " + std::to_string(seed_); }

Values Random::normal(std::int64_t count, double deviation) {
    std::normal_distribution<double> distribution(0.0, deviation);
    Values out(static_cast<std::size_t>(count));
    for (double& v : out) v = distribution(engine_);
    return out;
}

Values Random::integers(std::int64_t count, std::int64_t below) {
    std::uniform_int_distribution<std::int64_t> distribution(0, below - 1);
    Values out(static_cast<std::size_t>(count));
    for (double& v : out) v = static_cast<double>(distribution(engine_));
    return out;
}

Values as_float(Values values) {
    for (double& v : values) v = static_cast<double>(static_cast<float>(v));
    return values;
}

Values as_bf16(Values values) {
    for (double& v : values)
        v = static_cast<double>(static_cast<float>(Bf16(static_cast<float>(v))));
    return values;
}

::testing::AssertionResult close(const Values& got, const Values& want, double tolerance) {
    if (got.size() != want.size())
        return ::testing::AssertionFailure() << got.size() << " values, expected " << want.size();
    double largest = 1;
    for (const double v : want) largest = std::max(largest, std::abs(v));
    for (std::size_t i = 0; i < want.size(); ++i)
        if (!(std::abs(got[i] - want[i]) <= tolerance * largest))
            return ::testing::AssertionFailure()
                   << "element " << i << " is " << got[i] << ", expected " << want[i]
                   << " (difference " << got[i] - want[i] << ", tolerance " << tolerance << " of "
                   << largest << ")";
    return ::testing::AssertionSuccess();
}

Values off_zero(Values values) {
    for (double& v : values) v += v < 0 ? -0.01 : 0.01;
    return values;
}

double dot(const Values& a, const Values& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

}  // namespace shardscope::test
