// Linear layers on the host device's cuBLASLt against the CPU's kernels in fp64: every flag, storage and
// alignment, epilogues fused and not, algorithms timed and not.
#include "backends/cuda/matmul/linear.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/cuda/device_call.h"
#include "tests/host_device/control.h"

namespace shardscope::test {
namespace {

using cuda::LaunchContext;
using cuda::Linears;
using cuda::MatmulOptions;
using std::int64_t;

struct Storage {
    DType dtype, gradient;
    int shift;
};
constexpr Storage kStorages[] = {{DType::fp32, DType::fp32, 0},
                                 {DType::fp32, DType::fp32, 1},
                                 {DType::bf16, DType::bf16, 0},
                                 {DType::bf16, DType::fp32, 0},
                                 {DType::bf16, DType::bf16, 3}};

class CudaLinear : public ::testing::Test {
protected:
    void SetUp() override { host_device::reset(); }
    void TearDown() override { host_device::reset(); }

    // Calls check(storage, fused) for every storage with and without fused epilogues.
    template <class Check>
    void for_each_storage(const Check& check) {
        for (const Storage& s : kStorages)
            for (const bool fused : {true, false}) {
                SCOPED_TRACE(std::string(name_of(s.dtype)) + ", gradients " +
                             std::string(name_of(s.gradient)) + (s.shift ? ", shifted" : "") +
                             (fused ? ", fused" : ", not fused"));
                check(s, MatmulOptions{false, fused});
            }
    }
    Tensor numbers(DType dtype, int64_t n) { return tensor(stored_as(dtype, random_.normal(n))); }
    Tensor numbers_if(bool present, DType dtype, int64_t n) {
        return present ? numbers(dtype, n) : absent();
    }

    // Runs on the device and on the CPU in fp64; compares the operands in `written`.
    // Runs it as the options say; with everything aligned no epilogue may be refused.
    template <class... Arguments>
    static void run(const MatmulOptions& options, bool even, Arguments&&... arguments) {
        Linears linears(options);
        linears.run(arguments...);
        if (!even) return;
        for (const std::string& choice : linears.choices())
            EXPECT_THAT(choice, ::testing::Not(::testing::HasSubstr("refused")));
    }

    template <class Kernel, class Run>
    void expect_same(const Kernel& k, const Storage& s, const std::vector<Tensor>& operands,
                     std::initializer_list<std::size_t> written, const Run& run) {
        const auto want = call(k, DType::fp64, operands);
        const auto got = device_call(k, {s.dtype, s.gradient, s.shift}, operands, run);
        for (const std::size_t i : written)
            EXPECT_TRUE(close_in_norm(got[i], want[i], norm_tolerance(s.dtype))) << "operand " << i;
    }

    Random random_;
};

TEST_F(CudaLinear, ForwardAgreesWithTheCpuInFp64) {
    SCOPED_TRACE(random_.trace());
    for_each_storage([&](const Storage& s, const MatmulOptions& options) {
        for (const Activation activation : kActivations)
            for (int flags = 0; flags < 8; ++flags)
                for (const int64_t out : {16, 11}) {
                    const Linear k{5, 12, out, (flags & 1) != 0, (flags & 2) != 0, activation};
                    const bool pre = (flags & 4) != 0 && activation != Activation::none;
                    SCOPED_TRACE("activation " + std::to_string(static_cast<int>(activation)) +
                                 ", flags " + std::to_string(flags) + ", out " +
                                 std::to_string(out));
                    const std::vector<Tensor> operands{numbers(s.dtype, 60),
                                                       numbers(s.dtype, 12 * out),
                                                       numbers_if(k.bias, s.dtype, out),
                                                       numbers_if(k.residual, s.dtype, 5 * out),
                                                       space(5 * out),
                                                       pre ? space(5 * out) : absent()};
                    const auto once = [&](const Addresses& at, const LaunchContext& context) {
                        run(options, out == 16 && s.shift == 0, k, s.dtype, at, context);
                    };
                    if (pre)
                        expect_same(k, s, operands, {4, 5}, once);
                    else
                        expect_same(k, s, operands, {4}, once);
                }
    });
}

TEST_F(CudaLinear, InputGradientAgreesWithTheCpuInFp64) {
    SCOPED_TRACE(random_.trace());
    for_each_storage([&](const Storage& s, const MatmulOptions& options) {
        for (const Activation activation : kActivations)
            for (const int64_t in : {16, 11}) {
                const LinearInputGrad k{5, in, 12, activation};
                SCOPED_TRACE("activation " + std::to_string(static_cast<int>(activation)) +
                             ", in " + std::to_string(in));
                const bool aux = activation != Activation::none;
                // Values that bf16 does not round across relu's kink.
                const std::vector<Tensor> operands{
                    numbers(s.dtype, 60), numbers(s.dtype, 12 * in),
                    aux ? tensor(stored_as(s.dtype, off_zero(random_.normal(5 * in)))) : absent(),
                    space(5 * in)};
                expect_same(k, s, operands, {3},
                            [&](const Addresses& at, const LaunchContext& context) {
                                run(options, in == 16 && s.shift == 0, k, s.dtype, at, context);
                            });
            }
    });
}

TEST_F(CudaLinear, WeightGradientAgreesWithTheCpuInFp64) {
    SCOPED_TRACE(random_.trace());
    for_each_storage([&](const Storage& s, const MatmulOptions& options) {
        for (const bool bias : {false, true})
            for (const bool accumulate : {false, true})
                for (const int64_t in : {16, 11}) {
                    const LinearWeightGrad k{37, in, 9, bias, accumulate};
                    SCOPED_TRACE(std::string(bias ? "bias" : "no bias") +
                                 (accumulate ? ", accumulated" : ""));
                    const std::vector<Tensor> operands{
                        numbers(s.dtype, 37 * in), numbers(s.dtype, 37 * 9),
                        numbers(s.gradient, 9 * in), numbers_if(bias, s.gradient, 9)};
                    const auto once = [&](const Addresses& at, const LaunchContext& context) {
                        run(options, in == 16 && s.shift == 0, k, s.dtype, s.gradient, at, context);
                    };
                    if (bias)
                        expect_same(k, s, operands, {2, 3}, once);
                    else
                        expect_same(k, s, operands, {2}, once);
                }
    });
}

// Prepared shapes give the same result, whichever candidate was the fastest, and the choice is told.
TEST_F(CudaLinear, PreparedShapesAreTheSame) {
    SCOPED_TRACE(random_.trace());
    MatmulOptions options;
    options.timed_candidates = cuda::kMostCandidates;
    const Linear k{8, 16, 24, true, false, Activation::gelu};
    Linears linears(options);
    const std::vector<Tensor> operands{numbers(DType::bf16, 128),
                                       numbers(DType::bf16, 384),
                                       numbers(DType::bf16, 24),
                                       absent(),
                                       space(192),
                                       space(192)};
    expect_same(k, kStorages[2], operands, {4, 5},
                [&](const Addresses& at, const LaunchContext& context) {
                    linears.prepare(k, DType::bf16, at, context);
                    EXPECT_THAT(linears.choices(), ::testing::SizeIs(1));
                    linears.run(k, DType::bf16, at, context);
                });
    EXPECT_THAT(linears.choices(),
                ::testing::ElementsAre(::testing::HasSubstr("epilogue gelu_aux_bias: candidate ")));
}

// A captured stream takes the multiply and its kernels when the shape is known.
TEST_F(CudaLinear, IsCapturedOnceItIsPrepared) {
    SCOPED_TRACE(random_.trace());
    const Linear k{8, 16, 24, true, true, Activation::gelu_erf};
    Linears linears({});
    const std::vector<Tensor> operands{numbers(DType::fp32, 128),
                                       numbers(DType::fp32, 384),
                                       numbers(DType::fp32, 24),
                                       numbers(DType::fp32, 192),
                                       space(192),
                                       space(192)};
    expect_same(k, kStorages[0], operands, {4, 5},
                [&](const Addresses& at, const LaunchContext& context) {
                    linears.prepare(k, DType::fp32, at, context);
                    ASSERT_EQ(cudaStreamBeginCapture(context.stream, cudaStreamCaptureModeRelaxed),
                              cudaSuccess);
                    linears.run(k, DType::fp32, at, context);
                    cudaGraph_t graph = nullptr;
                    ASSERT_EQ(cudaStreamEndCapture(context.stream, &graph), cudaSuccess);
                    cudaGraphExec_t executable = nullptr;
                    ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
                    ASSERT_EQ(cudaGraphLaunch(executable, context.stream), cudaSuccess);
                    ASSERT_EQ(cudaStreamSynchronize(context.stream), cudaSuccess);
                    cudaGraphExecDestroy(executable);
                    cudaGraphDestroy(graph);
                });
}

// An epilogue that cuBLASLt has nothing for becomes a kernel of ours; a multiply it refuses is an error.
TEST_F(CudaLinear, WhatCublasRefuses) {
    SCOPED_TRACE(random_.trace());
    constexpr int kNotSupported = 15;
    const Linear k{8, 16, 24, true, false, Activation::gelu};
    const std::vector<Tensor> operands{numbers(DType::fp32, 128),
                                       numbers(DType::fp32, 384),
                                       numbers(DType::fp32, 24),
                                       absent(),
                                       space(192),
                                       space(192)};
    expect_same(
        k, kStorages[0], operands, {4, 5}, [&](const Addresses& at, const LaunchContext& context) {
            Linears linears({});
            host_device::fail_call("cublasLtMatmulAlgoGetHeuristic", 1, kNotSupported);
            linears.run(k, DType::fp32, at, context);
            EXPECT_THAT(linears.choices(), ::testing::Contains(::testing::HasSubstr("refused")));
        });
    device_call(k, {}, operands, [&](const Addresses& at, const LaunchContext& context) {
        Linears linears({false, false});
        host_device::fail_call("cublasLtMatmulAlgoGetHeuristic", 1, kNotSupported);
        try {
            linears.run(k, DType::fp32, at, context);
            ADD_FAILURE() << "no error";
        } catch (const Error& error) {
            EXPECT_EQ(error.rule, "matmul");
            EXPECT_THAT(error.message, ::testing::HasSubstr("m 24, n 8, k 16"));
        }
    });
}

TEST_F(CudaLinear, ALibraryThatDoesNotStartIsNamed) {
    host_device::fail_call("cublasLtCreate", 1, 1);
    try {
        Linears linears({});
        ADD_FAILURE() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind, ErrorKind::run_failed);
        EXPECT_THAT(error.message, ::testing::HasSubstr("cublasLtCreate"));
    }
}

}  // namespace
}  // namespace shardscope::test
