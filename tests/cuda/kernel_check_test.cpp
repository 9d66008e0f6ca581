// Every kernel of the CUDA backend, executed by the host device, beside the CPU's in fp64.
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "backends/cpu/kernels/dispatch.h"
#include "backends/cuda/check/kernel_checker.h"
#include "backends/cuda/dispatch.h"
#include "tests/cuda/seed.h"
#include "tests/host_device/control.h"

namespace shardscope::cuda {
namespace {

Reference on_cpu() {
    return [team = std::make_shared<cpu::Team>(1)](const Compute& compute, const Addresses& at,
                                                   const StepContext& context) {
        cpu::execute(compute, at, context, *team);
    };
}

class KernelCheck : public ::testing::Test {
protected:
    void SetUp() override { host_device::reset({.multiprocessors = 2, .seed = seed()}); }
    void TearDown() override { EXPECT_EQ(host_device::live(), host_device::Live{}); }
};

template <class... Kernels>
constexpr std::size_t executed(const std::variant<Kernels...>*) {
    return (std::size_t{!SimulatedKernel<Kernels>} + ...);
}

TEST_F(KernelCheck, EveryKernelGivesTheResultsOfTheCpu) {
    const CheckOptions options{.seed = seed()};
    std::map<std::string, int> cases;
    check_kernels(on_cpu(), options, [&](const CheckResult& result) {
        ++cases[result.kernel];
        EXPECT_TRUE(result.passed()) << describe(result, options.seed);
    });
    EXPECT_TRUE(host_device::problems().empty()) << host_device::problems().front();
    // All of core/program/kernel.h but LoadBatch and those that are simulated only.
    EXPECT_EQ(cases.size(), executed(static_cast<const Kernel*>(nullptr)) - 1);
    for (const auto& [kernel, count] : cases) EXPECT_GE(count, 2) << kernel;
}

KernelCase activation_case() {
    Cases cases;
    add_case(cases, Activate{100, Activation::gelu}, "100 elements", {normal(100), written(100)});
    return cases.front();
}

// The right kernel, and then something that must be found.
template <class Damage>
CheckResult damaged(const KernelCase& c, const Damage& damage) {
    Linears linears{MatmulOptions{}};
    Attentions attentions{AttentionLibrary::own};
    KernelChecker checker(
        on_cpu(),
        [&](const Compute& compute, const Addresses& at, const LaunchContext& context) {
            execute(compute, at, context, linears, attentions);
            EXPECT_EQ(cudaStreamSynchronize(context.stream), cudaSuccess);
            damage(at);
        },
        seed());
    return checker.compare(c);
}

TEST_F(KernelCheck, PassesWithoutDamage) {
    const CheckResult result = damaged(activation_case(), [](const Addresses&) {});
    EXPECT_TRUE(result.passed()) << describe(result, seed());
}

TEST_F(KernelCheck, FindsAWrongResult) {
    const CheckResult result = damaged(activation_case(), [](const Addresses& at) {
        auto* y = reinterpret_cast<float*>(at[1]);
        y[57] += 0.01f;
    });
    EXPECT_FALSE(result.passed());
    EXPECT_EQ(result.operand, 1);
    EXPECT_GT(result.error, 1e-5);
}

TEST_F(KernelCheck, FindsAnElementThatWasLeftOut) {
    const CheckResult result = damaged(activation_case(), [](const Addresses& at) {
        reinterpret_cast<float*>(at[1])[99] = std::nanf("");
    });
    EXPECT_FALSE(result.passed());
}

TEST_F(KernelCheck, FindsWritesOutsideAndIntoInputs) {
    const auto beside = damaged(
        activation_case(), [](const Addresses& at) { reinterpret_cast<float*>(at[1])[100] = 0; });
    EXPECT_EQ(beside.complaint, "bytes beside operand 1 were written");
    const auto into = damaged(activation_case(),
                              [](const Addresses& at) { reinterpret_cast<float*>(at[0])[3] += 1; });
    EXPECT_EQ(into.complaint, "operand 0, which is only read, was written");
}

TEST_F(KernelCheck, DescribesWhatItFound) {
    CheckResult result;
    result.kernel = "norm";
    result.dtype = result.gradient = DType::bf16;
    result.shape = "rows 5, hidden 768";
    result.operand = 3;
    result.error = 0.31;
    result.tolerance = 1e-2;
    EXPECT_EQ(
        describe(result, 7),
        "norm bf16 (rows 5, hidden 768): operand 3 is off by 3.1e-01, allowed 1e-02 (seed 7)");
}

}  // namespace
}  // namespace shardscope::cuda
