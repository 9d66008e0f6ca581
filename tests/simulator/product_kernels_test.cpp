// Kernels as products compute them: every shipped cluster times every kernel in every profile.
#include "simulator/product_kernels.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "core/catalogue.h"
#include "core/cluster/cluster_source.h"
#include "simulator/cost_model.h"
#include "simulator/event_engine.h"
#include "tests/simulator/hand_made.h"

namespace shardscope {
namespace {

constexpr std::int64_t kRows = 8192, kHidden = 4096, kFfn = 16384, kVocab = 50304;

// One of each kind, of a transformer block's size.
std::vector<Kernel> all_kernels() {
    const Activation gelu = Activation::gelu;
    return {LoadBatch{4, 2048},
            Embedding{kRows, 2048, kVocab, kHidden},
            EmbeddingGrad{kRows, 2048, kVocab, kHidden},
            Linear{kRows, kHidden, kFfn, true, false, gelu},
            Linear{kRows, kFfn, kHidden, true, true},
            LinearInputGrad{kRows, kHidden, kFfn, gelu},
            LinearWeightGrad{kRows, kHidden, kFfn, true, true},
            BiasResidual{kRows, kHidden, true, true},
            Activate{kRows * kFfn, gelu},
            ActivateGrad{kRows * kFfn, gelu},
            SwiGlu{kRows, kFfn},
            SwiGluGrad{kRows, kFfn},
            GeGlu{kRows, kFfn},
            GeGluGrad{kRows, kFfn},
            Norm{kRows, kHidden, NormKind::rms_norm},
            NormInputGrad{kRows, kHidden, NormKind::rms_norm, true},
            NormWeightGrad{kRows, kHidden, NormKind::rms_norm},
            HeadNorm{kRows, 32, 8, 128},
            HeadNormInputGrad{kRows, 32, 8, 128},
            HeadNormWeightGrad{kRows, 32, 8, 128},
            Rope{kRows, 2048, 32, 8, 128},
            Attention{4, 2048, 32, 8, 128},
            AttentionGrad{4, 2048, 32, 8, 128},
            Attention{4, 2048, 32, 8, 128, AttentionKind::unfused},
            AttentionGrad{4, 2048, 32, 8, 128, AttentionKind::unfused},
            TakeKeyValues{8192, 32, 8, 128, 4},
            ContextAttention{4, 2048, 16384, 32, 8, 128},
            ContextAttentionGrad{4, 2048, 16384, 32, 8, 128},
            MergeAttention{8192, 32, 128},
            PutGradients{8192, 32, 8, 128, 4},
            LatentQkv{kRows, 32, 128, 64, 128},
            LatentQkvGrad{kRows, 32, 128, 64, 128},
            Route{kRows, 64, 2 * kRows},
            RouteGrad{kRows, 64, 2 * kRows},
            Permute{kRows, 2 * kRows, kHidden},
            Unpermute{kRows, 2 * kRows, kHidden, true},
            SelectRows{2 * kRows, 8, 2 * kRows},
            SelectRows{2 * kRows, 64, 2 * kRows, true},
            SelectRowsGrad{2 * kRows, 8, 2 * kRows},
            GateRows{kRows, kHidden, true},
            GateRowsGrad{kRows, kHidden},
            SoftmaxCrossEntropy{kRows, kVocab},
            VocabularyMax{kRows, kVocab, kVocab},
            VocabularySum{kRows, kVocab, kVocab},
            VocabularyLoss{kRows, kVocab, kVocab},
            Zero{kRows},
            Add{kRows},
            Copy{kRows},
            SumParts{kRows * kHidden, 4},
            Quantise{kRows * kHidden, kHidden, 8},
            Dequantise{kRows * kHidden, 2, kHidden, 4},
            SumQuantised{kRows * kHidden, 2, kHidden, kHidden, 4},
            QuantiseOperand{kRows * kHidden, 32, 8},
            SumSquares{kRows * kHidden},
            OptimizerStep{kRows * kHidden, {}, 1.0, true},
            FactoredSquares{kRows * kHidden, kRows + kHidden, 1.0},
            FactoredNorms{kRows * kHidden, kRows + kHidden, 1, 1.0, true},
            FactoredStep{kRows * kHidden, kRows + kHidden, 1, {}, 1.0, true},
            MuonMomentum{kRows * kHidden, {}, 1.0},
            Orthogonalise{1, kRows, kHidden},
            MuonStep{kRows * kHidden, {}, true}};
}

Compute half(Kernel kernel, DType dtype = DType::bf16) {
    Compute c;
    c.kernel = std::move(kernel);
    c.dtype = dtype;
    c.gradient = DType::fp32;
    return c;
}

TEST(ProductKernels, EveryClusterTimesEveryKernelInEveryProfile) {
    std::vector<bool> seen(std::variant_size_v<Kernel>);
    for (const Kernel& kernel : all_kernels()) seen[kernel.index()] = true;
    EXPECT_EQ(std::count(seen.begin(), seen.end(), false), 0) << "a kernel is missing above";

    for (const CatalogueEntry& entry : cluster_catalogue()) {
        const Device device = catalogue_cluster(std::string(entry.name)).device;
        const bool has_bf16 = device.peak_of(MathType::bf16).value > 0;
        for (const RuntimeProfile profile : kRuntimeProfiles) {
            const CostModel costs(device, profile);
            for (const Kernel& kernel : all_kernels()) {
                const Compute compute = half(kernel, has_bf16 ? DType::bf16 : DType::fp16);
                const double time = costs.kernel(compute).value;
                EXPECT_TRUE(std::isfinite(time) && time >= device.kernel_overhead.value)
                    << entry.name << " " << name_of(profile) << " " << kernel_name(kernel);
                EXPECT_LT(time, 1) << kernel_name(kernel);
            }
        }
    }
}

TEST(ProductKernels, EveryStatedPrecisionMultiplies) {
    for (const CatalogueEntry& entry : cluster_catalogue()) {
        const Device device = catalogue_cluster(std::string(entry.name)).device;
        const CostModel costs(device);
        for (const auto& [math, peak] : device.peak) {
            Compute compute = half(Linear{kRows, kHidden, kFfn}, storage_of(math));
            compute.math = math;
            const double rate =
                2.0 * kRows * kHidden * kFfn / costs.kernel(compute).value / peak.value;
            EXPECT_GT(rate, 0.2) << entry.name << " " << name_of(math);
            EXPECT_LT(rate, 1) << entry.name << " " << name_of(math);
        }
    }
}

TEST(ProductKernels, OurProfileIsOneLaunchWithoutFurtherBytes) {
    for (const Kernel& kernel : all_kernels()) {
        if (std::holds_alternative<Orthogonalise>(kernel)) continue;
        EXPECT_EQ(product_kernel(RuntimeProfile::shardscope, half(kernel)), ProductKernel{})
            << kernel_name(kernel);
    }
}

TEST(ProductKernels, ProductsLaunchAndMoveAtLeastAsMuch) {
    for (const RuntimeProfile profile : kRuntimeProfiles)
        for (const Kernel& kernel : all_kernels()) {
            const ProductKernel product = product_kernel(profile, half(kernel));
            EXPECT_GE(product.launches, 1) << name_of(profile) << " " << kernel_name(kernel);
            EXPECT_GE(product.bytes, 0) << name_of(profile) << " " << kernel_name(kernel);
        }
}

// The bytes of a few kernels counted by hand, at 2 bytes per element.
TEST(ProductKernels, PassesAreThoseOfTheKernelsInTurn) {
    const double ffn = kRows * kFfn, hidden = kRows * kHidden;
    // Eager: silu reads the gate and writes; the product reads that and the other half, and writes:
    // 5 passes for our 3.
    EXPECT_EQ(product_kernel(RuntimeProfile::fsdp, half(SwiGlu{kRows, kFfn})),
              (ProductKernel{2, 2 * ffn * 2}));
    EXPECT_EQ(product_kernel(RuntimeProfile::fsdp_compile, half(SwiGlu{kRows, kFfn})),
              ProductKernel{});
    // Megatron's last linear layer: the fused sum reads what the multiply wrote and the residual, and
    // writes the result and the dropout's mask.
    EXPECT_EQ(
        product_kernel(RuntimeProfile::megatron, half(Linear{kRows, kFfn, kHidden, true, true})),
        (ProductKernel{2, hidden * (3 * 2 + 1)}));
    // Unfused attention of Megatron with a fused softmax, forward: the scores are written and read by
    // softmax (2.5 passes, since what lies above the diagonal is not read), by dropout (2 and a mask), and read by
    // the multiply: 5.5 · 2 + 1 bytes for our 4, which are as in Megatron the multiplies' own.
    // Its q, k and v are views; what comes out is laid out anew.
    const double scores = 4.0 * 32 * 2048 * 2048, layouts = 2.0 * 2 * kRows * 2 * (32 + 8) * 128,
                 result = 2.0 * 2 * 4 * 2048 * 32 * 128;
    EXPECT_EQ(product_kernel(RuntimeProfile::megatron,
                             half(Attention{4, 2048, 32, 8, 128, AttentionKind::unfused})),
              (ProductKernel{8, scores * (12 - 4) + result}));
    // DeepSpeed scales and masks by kernels of their own: 4 more passes and the mask.
    EXPECT_EQ(product_kernel(RuntimeProfile::deepspeed,
                             half(Attention{4, 2048, 32, 8, 128, AttentionKind::unfused})),
              (ProductKernel{12, scores * (13 + 9 - 4) + layouts}));
}

// Gradients are added to those before by the multiply, by a kernel that reads them as they are, or by two where
// 16-bit ones become fp32 before. That of a table is a tensor of its size in every product.
TEST(ProductKernels, GradientsAreAdded) {
    const double weight = double{kHidden} * kFfn, table = double{kVocab} * kHidden,
                 rows = double{kRows} * kHidden * 2 * 2;
    const auto linear = [](RuntimeProfile profile, DType gradient) {
        Compute c = half(LinearWeightGrad{kRows, kHidden, kFfn, false, true});
        c.gradient = gradient;
        return product_kernel(profile, c);
    };
    const auto embedding = [](RuntimeProfile profile, bool accumulate) {
        Compute c = half(EmbeddingGrad{kRows, 2048, kVocab, kHidden, accumulate});
        c.gradient = DType::fp32;
        return product_kernel(profile, c);
    };
    using enum RuntimeProfile;
    EXPECT_EQ(linear(megatron, DType::fp32), ProductKernel{});
    EXPECT_EQ(linear(megatron_2021, DType::fp32), (ProductKernel{2, weight * (2 + 4 + 4)}));
    EXPECT_EQ(linear(megatron_deepspeed, DType::fp32), (ProductKernel{3, weight * (6 + 12)}));
    EXPECT_EQ(linear(megatron_deepspeed, DType::bf16), (ProductKernel{2, weight * 6}));
    // Of eight experts each has its own.
    Compute experts = half(LinearWeightGrad{kRows, kHidden, kFfn, false, true});
    std::get<LinearWeightGrad>(experts.kernel).experts = 8;
    experts.gradient = DType::fp32;
    const ProductKernel one = linear(megatron_2021, DType::fp32);
    const ProductKernel all = product_kernel(megatron_2021, experts);
    EXPECT_EQ(all.bytes, 8 * one.bytes);
    EXPECT_GT(all.launches, one.launches);
    EXPECT_EQ(embedding(megatron, false), (ProductKernel{3, rows}));
    EXPECT_EQ(embedding(megatron, true), (ProductKernel{4, rows + table * (2 + 10)}));
    EXPECT_EQ(embedding(megatron_deepspeed, true), (ProductKernel{5, rows + table * (2 + 18)}));
}

// Two passes for the norm and three multiplies in each of five iterations; products go through them matrix by matrix.
TEST(ProductKernels, MuonLaunchesEveryMultiply) {
    const Compute muon = half(Orthogonalise{3, 512, 2048});
    EXPECT_EQ(product_kernel(RuntimeProfile::shardscope, muon).launches, 17);
    EXPECT_EQ(product_kernel(RuntimeProfile::fsdp, muon).launches, 3 * 17);
}

// Eight experts with few rows each read their weights and do little else: in 8 bits half as much.
TEST(ProductKernels, MultipliesIn8BitsReadHalfOfTheBytes) {
    const Device device = catalogue_cluster("h100-sxm").device;
    Compute c = half(Linear{64, kHidden, kFfn});
    std::get<Linear>(c.kernel).experts = 8;
    c.laid_out = true;
    const CostModel cost(device, RuntimeProfile::megatron);
    const double wide = cost.kernel(c).value;
    c.math = MathType::fp8;
    EXPECT_NEAR(cost.kernel(c).value / wide, 0.5, 0.05);
}

TEST(ProductKernels, CastsTo8BitsAreKernelsOfTheirOwn) {
    Compute c = half(Linear{kRows, kHidden, kFfn});
    c.math = MathType::fp8;
    const double operands = double{kRows} * kHidden + double{kHidden} * kFfn;
    // Fused: read 2 bytes, write the operand and its transpose.
    EXPECT_EQ(product_kernel(RuntimeProfile::megatron, c), (ProductKernel{3, operands * 4}));
    // Apart: read for the largest element, read again, write.
    EXPECT_EQ(product_kernel(RuntimeProfile::fsdp, c), (ProductKernel{7, operands * 5}));
    Compute experts = c;
    std::get<Linear>(experts.kernel).experts = 8;
    EXPECT_EQ(product_kernel(RuntimeProfile::shardscope, experts).bytes,
              (double{kRows} * kHidden + 8 * double{kHidden} * kFfn) * 4)
        << "the weights of all";
    c.laid_out = true;
    EXPECT_EQ(product_kernel(RuntimeProfile::megatron, c), ProductKernel{}) << "casts are kernels";
    c.laid_out = false;
    c.math = std::nullopt;
    EXPECT_EQ(product_kernel(RuntimeProfile::fsdp, c), ProductKernel{});
}

// What an earlier multiply or another rank has cast is not cast again; rows of other ranks are transposed by a
// kernel of their own.
TEST(ProductKernels, WhatIsCastIsNotCastAgain) {
    const double x = double{kRows} * kHidden, weight = double{kHidden} * kFfn,
                 dy = double{kRows} * kFfn;
    const auto kernel = [](const Kernel& k, int cast) {
        Compute c = half(k);
        c.math = MathType::fp8;
        c.cast = static_cast<std::uint8_t>(cast);
        return product_kernel(RuntimeProfile::fsdp_compile, c);
    };
    const Linear forward{kRows, kHidden, kFfn};
    EXPECT_EQ(kernel(forward, 0), (ProductKernel{3, (x + weight) * 4}));
    EXPECT_EQ(kernel(forward, 1), (ProductKernel{2, weight * 4}));
    const LinearInputGrad input{kRows, kHidden, kFfn};
    EXPECT_EQ(kernel(input, 0), (ProductKernel{2, dy * 4}));
    EXPECT_EQ(kernel(input, 1), ProductKernel{});
    const LinearWeightGrad gradient{kRows, kHidden, kFfn};
    EXPECT_EQ(kernel(gradient, 0), ProductKernel{});
    EXPECT_EQ(kernel(gradient, 1), (ProductKernel{2, x * 2}));
    EXPECT_EQ(kernel(gradient, 2), (ProductKernel{2, dy * 2}));
}

// Megatron's fused softmax takes samples times heads by four, else PyTorch's kernels do its work.
TEST(ProductKernels, FusedSoftmaxTakesHeadsByFour) {
    const auto launches = [](RuntimeProfile profile, std::int64_t samples, std::int64_t heads) {
        const Attention k{samples, 2048, heads, heads, 64, AttentionKind::unfused};
        const AttentionGrad g{samples, 2048, heads, heads, 64, AttentionKind::unfused};
        return product_kernel(profile, half(k)).launches +
               product_kernel(profile, half(g)).launches;
    };
    const RuntimeProfile megatron = RuntimeProfile::megatron_deepspeed;
    EXPECT_EQ(launches(megatron, 1, 4), launches(megatron, 2, 2));
    EXPECT_EQ(launches(megatron, 1, 2), launches(megatron, 1, 4) + 8);
    EXPECT_EQ(launches(RuntimeProfile::deepspeed, 1, 2), launches(RuntimeProfile::deepspeed, 1, 4));
}

TEST(ProductKernels, FrameworksSpendHostTimeOnEveryLaunch) {
    const Device device = catalogue_cluster("a100-80gb").device;
    EXPECT_EQ(launch_cost(RuntimeProfile::shardscope, device), device.host_cost);
    for (const RuntimeProfile profile : kRuntimeProfiles)
        EXPECT_GE(launch_cost(profile, device), device.host_cost);
    EXPECT_LT(launch_cost(RuntimeProfile::fsdp_compile, device),
              launch_cost(RuntimeProfile::fsdp, device));
}

// Kernels that take no time: a step is as long as its launches take the host.
TEST(ProductKernels, StepsOfSmallKernelsAreAsLongAsTheirLaunches) {
    test::BodyText body;
    Compute gate;
    gate.kernel = SwiGlu{1, 1};
    body.body.instructions.assign(10, Instruction{gate});
    body.record(0, Stream::compute).wait(0, Stream::compute);
    const Program program = test::one_role(body, 1);
    Cluster cluster = test::round_cluster();
    cluster.device.host_cost = Seconds(1e-3);
    const auto wall = [&](RuntimeProfile profile, bool spans) {
        return simulate_step(program, cluster, spans, profile)[0].time.wall.value;
    };
    const double eager = launch_cost(RuntimeProfile::fsdp, cluster.device).value;
    const double compiled = launch_cost(RuntimeProfile::fsdp_compile, cluster.device).value;
    for (const bool spans : {false, true}) {
        EXPECT_NEAR(wall(RuntimeProfile::shardscope, spans), 12 * 1e-3, 1e-6) << "events too";
        EXPECT_NEAR(wall(RuntimeProfile::fsdp, spans), 20 * eager, 1e-6) << "two kernels each";
        EXPECT_NEAR(wall(RuntimeProfile::fsdp_compile, spans), 10 * compiled, 1e-6);
    }
}

// Autograd's engine launches in C++: a quarter of the time. Compiled code launches alike in both passes.
TEST(ProductKernels, BackwardLaunchesTakeAQuarter) {
    const auto program_of = [](Phase phase) {
        test::BodyText body;
        for (int i = 0; i < 10; ++i) body.kernel(0, phase);
        return test::one_role(body, 1);
    };
    Cluster cluster = test::round_cluster();
    cluster.device.host_cost = Seconds(1e-3);
    const auto wall = [&](Phase phase, RuntimeProfile profile, bool spans) {
        return simulate_step(program_of(phase), cluster, spans, profile)[0].time.wall.value;
    };
    for (const RuntimeProfile profile : kRuntimeProfiles)
        for (const bool spans : {false, true}) {
            const bool eager = profile != RuntimeProfile::shardscope && !is_compiled(profile);
            const double all = 10 * launch_cost(profile, cluster.device).value;
            EXPECT_NEAR(wall(Phase::forward, profile, spans), all, 1e-9) << name_of(profile);
            EXPECT_NEAR(wall(Phase::recompute, profile, spans), all, 1e-9) << name_of(profile);
            EXPECT_NEAR(wall(Phase::backward, profile, spans), eager ? all / 4 : all, 1e-9)
                << name_of(profile);
        }
}

TEST(ProductKernels, ALossIsOneKernelWhereItIsFused) {
    const Compute loss = half(SoftmaxCrossEntropy{kRows, kVocab, 1, true});
    EXPECT_EQ(product_kernel(RuntimeProfile::llm_foundry, loss), ProductKernel{});
    EXPECT_EQ(product_kernel(RuntimeProfile::fsdp, loss),
              (ProductKernel{4, double{kRows} * kVocab * 4}));
}

TEST(ProductKernels, AttentionDependsOnTheLibrary) {
    const auto time = [](const char* gpu, RuntimeProfile profile) {
        const Compute c = half(Attention{4, 8192, 32, 32, 128});
        return CostModel(catalogue_cluster(gpu).device, profile).kernel(c).value;
    };
    EXPECT_GT(time("h100-sxm", RuntimeProfile::fsdp_compile),
              1.3 * time("h100-sxm", RuntimeProfile::megatron))
        << "FlashAttention-2 uses no warp groups";
    EXPECT_GT(time("a100-80gb", RuntimeProfile::llm_foundry),
              1.5 * time("a100-80gb", RuntimeProfile::fsdp));
    EXPECT_EQ(time("a100-80gb", RuntimeProfile::fsdp),
              time("a100-80gb", RuntimeProfile::fsdp_compile))
        << "PyTorch's own";
    EXPECT_NEAR(time("a100-80gb", RuntimeProfile::fsdp_compile),
                time("a100-80gb", RuntimeProfile::shardscope), 5e-6);
    EXPECT_NEAR(time("b200", RuntimeProfile::fsdp), time("b200", RuntimeProfile::megatron), 5e-6);
}

}  // namespace
}  // namespace shardscope
