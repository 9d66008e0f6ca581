#include "simulator/attention_cost.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/cluster/cluster_source.h"

namespace shardscope {
namespace {

MatmulPrecision precision_of(const Device& device, MathType math) {
    return {device.peak_of(math).value, device.matmul_efficiency_of(math), 2};
}
AttentionShape layer(double seq, std::int64_t head_dim, bool backward = false) {
    return {4, seq, seq, 32, head_dim, backward};
}
double causal_flops(const AttentionShape& s) {
    const double pairs = s.samples * s.heads * s.queries * s.keys / 2;
    return (s.backward ? 5 : 2) * 2 * pairs * static_cast<double>(s.head_dim);
}

class AttentionOnA100 : public ::testing::Test {
protected:
    double fused_rate(const AttentionShape& shape,
                      AttentionLibrary library = AttentionLibrary::flash_2) const {
        const double flops = causal_flops(shape);
        return flops / cost_.fused(shape, flops, half_, library) / half_.peak;
    }
    Device device_ = catalogue_cluster("a100-80gb").device;
    MatmulPrecision half_ = precision_of(device_, MathType::bf16);
    MatmulPrecision fp32_ = precision_of(device_, MathType::fp32);
    AttentionCost cost_{device_};
};

TEST_F(AttentionOnA100, FusedRatesByHeadSizeSequenceAndDirection) {
    const AttentionRates& rates = generation_of(Architecture::ampere).flash_2;
    EXPECT_NEAR(fused_rate(layer(1e6, 128)), rates.forward_128, 1e-3);
    EXPECT_NEAR(fused_rate(layer(1e6, 64)), rates.forward_64, 1e-3);
    EXPECT_NEAR(fused_rate(layer(1e6, 128, true)), rates.backward_128, 1e-3);
    EXPECT_NEAR(fused_rate(layer(rates.half_sequence, 128)), rates.forward_128 / 2, 1e-9);
    EXPECT_NEAR(fused_rate(layer(1e6, 80)) / fused_rate(layer(1e6, 96)), 80.0 / 96, 0.05)
        << "heads of 80 are computed as 96";
}

TEST_F(AttentionOnA100, FewHeadsLeaveMultiprocessorsIdle) {
    const AttentionShape few{1, 512, 512, 2, 128, false}, many{64, 512, 512, 32, 128, false};
    EXPECT_NEAR(fused_rate(few) / fused_rate(many), 2 * 4 / 108.0, 1e-9) << "blocks of 128 queries";
}

TEST_F(AttentionOnA100, NeverLongerForShorterSequences) {
    for (const bool backward : {false, true}) {
        double last = 0;
        for (double seq = 1; seq < 100'000; seq = std::floor(seq * 1.2) + 1) {
            const AttentionShape shape{1, seq, seq, 4, 64, backward};
            const double time =
                cost_.fused(shape, causal_flops(shape), half_, AttentionLibrary::vendor);
            EXPECT_GE(time, last);
            last = time;
        }
    }
}

TEST_F(AttentionOnA100, HeadsThatTensorCoresCannotReadCostTenfold) {
    const double aligned = cost_.unfused(layer(2048, 112), half_, fp32_);
    const double misaligned = cost_.unfused(layer(2048, 108), half_, fp32_);
    EXPECT_GT(misaligned, 8 * aligned);
    // About half of the CUDA cores' 19.5 TFLOP/s, the whole square being computed.
    const double flops = 2 * causal_flops(layer(2048, 108));
    EXPECT_NEAR(flops / misaligned, 0.52 * 19.5e12, 0.05 * 19.5e12);
}

TEST_F(AttentionOnA100, UnfusedIsTheSumOfItsMultiplies) {
    const MatmulCost matmul(device_);
    const double scores = matmul.seconds({2048, 2048, 128, 128}, half_);
    const double values = matmul.seconds({2048, 128, 2048, 128}, half_);
    EXPECT_DOUBLE_EQ(cost_.unfused(layer(2048, 128), half_, fp32_), scores + values);
    EXPECT_DOUBLE_EQ(cost_.unfused(layer(2048, 128, true), half_, fp32_), scores + 3 * values);
}

}  // namespace
}  // namespace shardscope
