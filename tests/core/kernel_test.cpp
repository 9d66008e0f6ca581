// The description of kernels: names, accesses, and costs worked out by hand.
#include "core/program/kernel.h"

#include <set>
#include <utility>

#include <gtest/gtest.h>

namespace shardscope {
namespace {

template <std::size_t... I>
std::set<std::string_view> all_names(std::index_sequence<I...>) {
    return {kernel_name(std::variant_alternative_t<I, Kernel>{})...};
}

TEST(Kernel, EveryKernelHasAName) {
    constexpr std::size_t count = std::variant_size_v<Kernel>;
    const auto names = all_names(std::make_index_sequence<count>{});
    EXPECT_EQ(names.size(), count);
    EXPECT_EQ(names.count(""), 0u);
}

TEST(Kernel, AccessesFollowTheFields) {
    using enum Access;
    Linear linear{4, 3, 5};
    EXPECT_EQ(accesses(linear), (std::array{read, read, none, none, write, none, none}));
    linear.bias = linear.residual = true;
    linear.activation = Activation::gelu;
    EXPECT_EQ(accesses(linear), (std::array{read, read, read, read, write, write, none}));
    EXPECT_EQ(accesses(LinearWeightGrad{4, 3, 5, true, true})[3], read_write);

    OptimizerStep step{10, OptimizerSpec{}, 0.0, false};
    EXPECT_EQ(accesses(step),
              (std::array{read, none, read_write, none, read_write, read_write, none}));
    step.clip = 1;
    step.master = true;
    step.spec.kind = OptimizerKind::sgd;
    EXPECT_EQ(accesses(step), (std::array{read, read, write, read_write, none, none, none}));
}

TEST(KernelCost, Linear) {
    // 2·4·3·5 FLOPs; x 12, w 15, b 5, residual 20 read; y 20 and its gelu argument 20 written.
    const KernelCost cost =
        cost_of(Linear{4, 3, 5, true, true, Activation::gelu}, DType::fp32, DType::fp32);
    EXPECT_EQ(cost.matmul, Flops(120));
    EXPECT_EQ(cost.read, Bytes(4 * 52));
    EXPECT_EQ(cost.written, Bytes(4 * 40));
    // x 12 and dy 20 in bf16; accumulating dw 15 and db 5 in fp32 reads them too.
    const KernelCost weight =
        cost_of(LinearWeightGrad{4, 3, 5, true, true}, DType::bf16, DType::fp32);
    EXPECT_EQ(weight.matmul, Flops(120));
    EXPECT_EQ(weight.read, Bytes(2 * 32 + 4 * 20));
    EXPECT_EQ(weight.written, Bytes(4 * 20));
}

TEST(KernelCost, AttentionCountsTheCausalHalf) {
    const Attention forward{2, 128, 8, 4, 32};
    const KernelCost cost = cost_of(forward, DType::fp32, DType::fp32);
    EXPECT_EQ(cost.matmul, Flops(2.0 * 2 * 2 * 8 * 128 * 128 * 32 / 2));
    EXPECT_EQ(cost.read, Bytes(4 * 2 * 128 * (8 + 8) * 32));
    EXPECT_EQ(cost.written, Bytes(4 * (2 * 128 * 8 * 32 + 2 * 8 * 128)));
    const AttentionGrad backward{2, 128, 8, 4, 32};
    EXPECT_EQ(cost_of(backward, DType::fp32, DType::fp32).matmul, 2.5 * cost.matmul);
}

TEST(KernelCost, OptimizerStates) {
    // Gradient, parameter and two states are read, the last three written.
    const KernelCost adam = cost_of(OptimizerStep{10, {}, 0.0, false}, DType::fp32, DType::fp32);
    EXPECT_EQ(adam.read, Bytes(160));
    EXPECT_EQ(adam.written, Bytes(120));
    // bf16 with a master copy: gradient 2, master and states 4 each; the parameter only written.
    const KernelCost mixed = cost_of(OptimizerStep{10, {}, 1.0, true}, DType::bf16, DType::bf16);
    EXPECT_EQ(mixed.read, Bytes(10 * (2 + 12) + 8));
    EXPECT_EQ(mixed.written, Bytes(10 * (2 + 12)));
}

// Probabilities are written and read in the type of activations, statistics in fp32.
TEST(Kernel, UnfusedAttentionMovesItsProbabilities) {
    const auto moved = [](AttentionKind kind, DType dtype) {
        const Attention forward{2, 100, 8, 4, 32, kind};
        const AttentionGrad backward{2, 100, 8, 4, 32, kind};
        return std::pair(cost_of(forward, dtype, dtype).moved().value,
                         cost_of(backward, dtype, dtype).moved().value);
    };
    const std::int64_t scores = 2 * 8 * 100 * 100, statistics = 2 * 8 * 100 * 4;
    for (const DType dtype : {DType::bf16, DType::fp32}) {
        const auto [forward, backward] = moved(AttentionKind::unfused, dtype);
        const auto [flash, flash_backward] = moved(AttentionKind::flash, dtype);
        EXPECT_EQ(forward - flash, 2 * scores * size_of(dtype) - statistics);
        EXPECT_EQ(backward - flash_backward, scores * size_of(dtype) - statistics);
    }
}

TEST(Kernel, AttentionBuffers) {
    EXPECT_EQ(attention_stats_elements(Attention{2, 100, 8, 4, 32}), 2 * 8 * 100);
    EXPECT_EQ(attention_stats_elements(Attention{2, 100, 8, 4, 32, AttentionKind::unfused}),
              2 * 8 * 100 * 100);
    EXPECT_EQ(attention_workspace_elements(Attention{2, 100, 8, 4, 32}), 64 * 100);
    EXPECT_EQ(attention_workspace_elements(AttentionGrad{2, 100, 8, 4, 32}), 2 * 64 * 100);
    EXPECT_EQ(attention_workspace_elements(Attention{2, 10, 8, 4, 32}), 10 * 10);
    EXPECT_EQ(attention_workspace_elements(Attention{2, 10, 8, 4, 32, AttentionKind::unfused}), 0);
}

}  // namespace
}  // namespace shardscope
