// Training in bf16: every strategy against one rank, bf16 against fp32, and the memory that the
// conversions take.
//
// Weights, activations and (if asked for) gradients are rounded by 2⁻⁸ = 3.9e-3 whenever they are
// stored, so two shardings agree as far as roundings that differ allow: partial sums of gradients are
// rounded before ranks add them. Gradients of the first step, per tensor: 2e-2, five roundings. Weights
// after 20 steps, whole model: 1.6e-2 with AdamW, which gives elements whose gradient is rounding noise
// steps of either sign (and with lr 3e-3 drifts apart from there); 4e-3 with SGD, which does not.
#include <cmath>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include <gtest/gtest.h>

#include "core/bf16.h"
#include "tests/support/training.h"

namespace shardscope {
namespace {

using test::compare;
using test::Difference;
using test::train;
using test::Trained;

constexpr double kGradients = 2e-2;
constexpr double weights_within(OptimizerKind kind) {
    return kind == OptimizerKind::sgd ? 4e-3 : 1.6e-2;
}

Scenario bf16_scenario(int model, int ranks, int zero, DType gradient, int accumulation = 1,
                       OptimizerKind optimizer = OptimizerKind::adamw) {
    Scenario s = test::tiny_scenario(test::tiny_models()[static_cast<std::size_t>(model)], ranks);
    s.training.precision = DType::bf16;
    s.training.gradient_dtype = gradient;
    s.training.clip = 0.5;
    s.training.optimizer.lr = 1e-3;
    if (optimizer == OptimizerKind::sgd) {
        s.training.optimizer.kind = optimizer;
        s.training.optimizer.lr = 0.05;
        s.training.optimizer.momentum = 0.9;
        s.training.optimizer.weight_decay = 0;
    }
    s.training.micro_batch = 24 / ranks / accumulation;
    s.strategies[0].zero = zero;
    s.strategies[0].bucket = Bytes(4000);
    return s;
}

class Bf16TrainingSlow : public testing::TestWithParam<std::tuple<int, DType>> {};

std::string bf16_case_name(const testing::TestParamInfo<std::tuple<int, DType>>& info) {
    const std::string models[] = {"Mlp", "Gpt", "Llama"};
    const auto [model, gradient] = info.param;
    return models[model] + "Gradients" + (gradient == DType::bf16 ? "Bf16" : "Fp32");
}

void expect_near_training(const Trained& trained, const Trained& reference, double weights) {
    EXPECT_TRUE(trained.replicas_agree);
    const Difference gradients = compare(trained.gradients.at(0), reference.gradients.at(0));
    EXPECT_LE(gradients.worst, kGradients) << gradients.worst_name;
    EXPECT_LE(compare(trained.parameters, reference.parameters).whole, weights);
    for (std::size_t i = 0; i < reference.trace.losses.size(); ++i)
        EXPECT_NEAR(trained.trace.losses[i] / reference.trace.losses[i], 1, weights);
}

TEST_P(Bf16TrainingSlow, EveryStageMatchesOneRank) {
    const auto [model, gradient] = GetParam();
    for (const auto& [optimizer, accumulation] :
         {std::pair{OptimizerKind::adamw, 1}, {OptimizerKind::sgd, 2}}) {
        const Trained reference = train(bf16_scenario(model, 1, 0, gradient, 1, optimizer));
        EXPECT_LT(reference.trace.losses.back(), 0.98 * reference.trace.losses.front());
        for (const int zero : {0, 1, 2, 3}) {
            const Scenario s = bf16_scenario(model, 2, zero, gradient, accumulation, optimizer);
            SCOPED_TRACE(test::describe(s, s.strategies[0]));
            expect_near_training(train(s), reference, weights_within(optimizer));
        }
    }
}

TEST_P(Bf16TrainingSlow, LearnsAsInFp32) {
    const auto [model, gradient] = GetParam();
    const Scenario s = bf16_scenario(model, 1, 0, gradient);
    Scenario single = s;
    single.training.precision = DType::fp32;
    single.training.gradient_dtype.reset();
    const Trained trained = train(s), reference = train(single);
    // Inputs and weights are rounded here and not there, then every layer's result on the way forward
    // and back: a dozen roundings.
    const double gradients = 5e-2, weights = 2 * weights_within(OptimizerKind::adamw);
    EXPECT_LE(compare(trained.gradients.at(0), reference.gradients.at(0)).whole, gradients);
    EXPECT_LE(compare(trained.parameters, reference.parameters).whole, weights);
    for (std::size_t i = 0; i < reference.trace.losses.size(); ++i)
        EXPECT_NEAR(trained.trace.losses[i] / reference.trace.losses[i], 1, weights);
}

// One order of sums, as in fp32: where numbers lie does not change them.
TEST_P(Bf16TrainingSlow, ZeroStagesEqualDataParallelBitForBit) {
    const auto [model, gradient] = GetParam();
    const Trained ddp = train(bf16_scenario(model, 2, 0, gradient));
    for (const int zero : {1, 2, 3}) {
        const Scenario s = bf16_scenario(model, 2, zero, gradient);
        SCOPED_TRACE(test::describe(s, s.strategies[0]));
        const Trained trained = train(s);
        EXPECT_EQ(trained.parameters, ddp.parameters);
        EXPECT_EQ(trained.trace.losses, ddp.trace.losses);
    }
}

Strategy sharded_hybrid(int tp, int pp, int zero, Schedule schedule = Schedule::one_f_one_b) {
    Strategy s;
    s.name = "hybrid";
    s.tp = tp;
    s.pp = pp;
    s.zero = zero;
    s.schedule = schedule;
    s.bucket = Bytes(4000);
    return s;
}

TEST_P(Bf16TrainingSlow, HybridsMatchOneRank) {
    const auto [model, gradient] = GetParam();
    const Trained reference = train(bf16_scenario(model, 1, 0, gradient));
    for (const auto& [ranks, strategy] : {std::pair{2, sharded_hybrid(2, 1, 0)},
                                          {4, sharded_hybrid(4, 1, 0)},
                                          {4, sharded_hybrid(2, 1, 3)},
                                          {2, sharded_hybrid(1, 2, 0)},
                                          {3, sharded_hybrid(1, 3, 0, Schedule::zero_bubble)},
                                          {4, sharded_hybrid(1, 2, 1, Schedule::gpipe)},
                                          {4, sharded_hybrid(2, 2, 0)},
                                          {8, sharded_hybrid(2, 2, 2)},
                                          {8, sharded_hybrid(2, 2, 3)}}) {
        Scenario s = bf16_scenario(model, ranks, 0, gradient);
        s.strategies[0] = strategy;
        s.strategies[0].sequence_parallel = strategy.tp > 1 && strategy.pp > 1 && model != 0;
        s.strategies[0].recompute.kind =
            strategy.zero == 3 ? Recompute::Kind::full : Recompute::Kind::none;
        s.training.micro_batch = 6;
        SCOPED_TRACE(test::describe(s, s.strategies[0]));
        expect_near_training(train(s), reference, weights_within(OptimizerKind::adamw));
    }
}

INSTANTIATE_TEST_SUITE_P(Models, Bf16TrainingSlow,
                         testing::Combine(testing::Values(0, 1, 2),
                                          testing::Values(DType::bf16, DType::fp32)),
                         bf16_case_name);

// What conversions need stays small: panels of multiplies and sums of attention gradients.
TEST(Bf16MemorySlow, OutsideThePlanIsBounded) {
    for (const int model : {0, 1, 2})
        for (const int ranks : {1, 2, 4}) {
            const Scenario s = bf16_scenario(model, ranks, 1, DType::bf16);
            EXPECT_LE(test::memory_of_second_run(s).outside_plan.value, 4 << 20)
                << test::describe(s, s.strategies[0]);
        }
}

// Updates far below a rounding of the weight add up in the master copy, and what kernels read is that
// copy, rounded.
TEST(Bf16Weights, FollowTheirMasterCopy) {
    Scenario s = bf16_scenario(0, 2, 2, DType::bf16);
    s.training.optimizer.lr = 1e-5;
    bool equal = true, masters_moved = false;
    test::Tampering tampering;
    std::mutex mutex;
    std::map<std::pair<int, std::int64_t>, std::vector<double>> first;
    tampering.state = [&](int rank, std::int64_t step, const RankState& state) {
        const auto slices = state.slices();
        const std::lock_guard lock(mutex);
        for (const ShardSlice& master : slices) {
            if (master.tensor != ShardSlice::Tensor::master) continue;
            const auto values = state.read(master);
            auto& before = first[{rank, master.parameter.index() * 1000 + master.global_first}];
            if (step == 0) before = values;
            masters_moved |= values != before;
            for (const ShardSlice& weight : slices) {
                if (weight.tensor != ShardSlice::Tensor::parameter ||
                    weight.parameter != master.parameter ||
                    weight.global_first > master.global_first)
                    continue;
                const auto stored = state.read(weight);
                const auto shift =
                    static_cast<std::size_t>(master.global_first - weight.global_first);
                for (std::size_t i = 0; i < values.size() && i + shift < stored.size(); ++i)
                    equal &= stored[i + shift] ==
                             static_cast<double>(Bf16(static_cast<float>(values[i])));
            }
        }
    };
    train(s, tampering);
    EXPECT_TRUE(equal);
    EXPECT_TRUE(masters_moved);
}

}  // namespace
}  // namespace shardscope
