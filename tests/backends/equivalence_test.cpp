// Every strategy trains the same model as one rank: gradients after steps 1 and 2, their norm, and
// the weights after 20 steps, for MLP, GPT and Llama on 1, 2, 3, 4 and 8 ranks.
#include <tuple>

#include <gtest/gtest.h>

#include "tests/backends/same_training.h"

namespace shardscope {
namespace {

using test::expect_same_training;
using test::train;
using test::Trained;

// Sanitizers look at memory, not at values, and make this suite ten times slower: one odd rank count
// in one precision shows them every path.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
const std::vector<int> kRankCounts =
    kSanitized ? std::vector<int>{3} : std::vector<int>{2, 3, 4, 8};
const std::vector<std::pair<int, int>> kRanksAndAccumulation =
    kSanitized ? std::vector<std::pair<int, int>>{{3, 4}}
               : std::vector<std::pair<int, int>>{{1, 4}, {2, 3}, {3, 4}, {8, 3}};

Scenario equivalence_scenario(int model, int ranks, int zero, DType precision, double clip,
                              OptimizerKind optimizer = OptimizerKind::adamw,
                              int accumulation = 1) {
    Scenario s = test::tiny_scenario(test::tiny_models()[static_cast<std::size_t>(model)], ranks);
    s.training.precision = precision;
    s.training.clip = clip;
    s.training.micro_batch = 24 / ranks / accumulation;
    s.training.optimizer.kind = optimizer;
    if (optimizer == OptimizerKind::sgd) {
        s.training.optimizer.lr = 0.02;
        s.training.optimizer.momentum = 0.9;
        s.training.optimizer.weight_decay = 0;
    }
    // Adam's first steps are ±lr whatever the gradient's size: elements whose gradient is rounding
    // noise go either way, and coupled decay carries them on. A smaller step keeps fp32 within bounds.
    if (optimizer == OptimizerKind::adam) s.training.optimizer.lr = 1e-3;
    s.strategies[0].zero = zero;
    s.strategies[0].bucket = Bytes(4000);  // several buckets even in tiny models
    return s;
}

using EquivalenceCase = std::tuple<int, DType>;  // index into tiny_models, precision

class Equivalence : public testing::TestWithParam<EquivalenceCase> {
protected:
    void SetUp() override {
        if (kSanitized && std::get<1>(GetParam()) == DType::fp64)
            GTEST_SKIP() << "fp32 takes the same paths";
    }
};

std::string equivalence_case_name(const testing::TestParamInfo<EquivalenceCase>& info) {
    const std::string models[] = {"Mlp", "Gpt", "Llama"};
    const auto [model, precision] = info.param;
    return models[model] + (precision == DType::fp64 ? "Fp64" : "Fp32");
}

TEST_P(Equivalence, EveryStageOnEveryRankCountMatchesOneRank) {
    const auto [model, precision] = GetParam();
    for (const double clip : {0.0, 0.5}) {
        const Scenario one = equivalence_scenario(model, 1, 0, precision, clip);
        const Trained reference = train(one);
        // A reference that does not learn would agree with anything.
        EXPECT_LT(reference.trace.losses.back(), 0.9 * reference.trace.losses.front());
        for (const int ranks : kRankCounts)
            for (const int zero : {0, 1, 2, 3}) {
                const Scenario s = equivalence_scenario(model, ranks, zero, precision, clip);
                SCOPED_TRACE(test::describe(s, s.strategies[0]));
                expect_same_training(train(s), reference, precision);
            }
    }
}

TEST_P(Equivalence, AccumulationMatchesOneLargeMicroBatch) {
    const auto [model, precision] = GetParam();
    const Trained reference = train(equivalence_scenario(model, 1, 0, precision, 0.5));
    for (const auto& [ranks, accumulation] : kRanksAndAccumulation)
        for (const int zero : {0, 1, 2, 3}) {
            const Scenario s = equivalence_scenario(model, ranks, zero, precision, 0.5,
                                                    OptimizerKind::adamw, accumulation);
            SCOPED_TRACE(test::describe(s, s.strategies[0]));
            expect_same_training(train(s), reference, precision);
        }
}

// SGD does not normalise: a wrong scale of gradients shows in the weights.
TEST_P(Equivalence, SgdAndAdamMatchOneRankToo) {
    const auto [model, precision] = GetParam();
    for (const OptimizerKind optimizer : {OptimizerKind::sgd, OptimizerKind::adam}) {
        const Trained reference = train(equivalence_scenario(model, 1, 0, precision, 0, optimizer));
        for (const int zero : {0, 1, 2, 3}) {
            const Scenario s = equivalence_scenario(model, 4, zero, precision, 0, optimizer, 2);
            SCOPED_TRACE(test::describe(s, s.strategies[0]));
            expect_same_training(train(s), reference, precision);
        }
    }
}

// A sign turns where a gradient is rounding noise, as those of key biases are: only the MLP has none such.
TEST(LionEquivalence, EveryStageMatchesOneRank) {
    for (const DType precision : {DType::fp64, DType::fp32}) {
        const Trained reference =
            train(equivalence_scenario(0, 1, 0, precision, 0.5, OptimizerKind::lion));
        EXPECT_LT(reference.trace.losses.back(), 0.9 * reference.trace.losses.front());
        for (const int zero : {0, 1, 2, 3}) {
            const Scenario s =
                equivalence_scenario(0, 4, zero, precision, 0.5, OptimizerKind::lion, 2);
            SCOPED_TRACE(test::describe(s, s.strategies[0]));
            expect_same_training(train(s), reference, precision);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Models, Equivalence,
                         testing::Combine(testing::Values(0, 1, 2),
                                          testing::Values(DType::fp64, DType::fp32)),
                         equivalence_case_name);

void expect_bit_equal(const Trained& actual, const Trained& reference) {
    EXPECT_EQ(actual.parameters, reference.parameters);
    EXPECT_EQ(actual.trace.losses, reference.trace.losses);
    EXPECT_TRUE(actual.replicas_agree);
}

// One transport, one order of sums: sharding changes where numbers lie, not what they are.
TEST(BitEqualitySlow, ZeroStagesEqualDataParallelWithoutAccumulation) {
    for (const int model : {0, 1, 2})
        for (const int ranks : {2, 3, 4})
            for (const double clip : {0.0, 0.5}) {
                const Trained ddp = train(equivalence_scenario(model, ranks, 0, DType::fp32, clip));
                for (const int zero : {1, 2, 3}) {
                    const Scenario s = equivalence_scenario(model, ranks, zero, DType::fp32, clip);
                    SCOPED_TRACE(test::describe(s, s.strategies[0]));
                    expect_bit_equal(train(s), ddp);
                }
            }
}

// Stages 2 and 3 reduce at every micro-batch, so they equal a data-parallel run that does so too.
TEST(BitEquality, ZeroStagesEqualDataParallelThatReducesEveryMicroBatch) {
    for (const int model : {0, 1, 2}) {
        Scenario base =
            equivalence_scenario(model, 2, 0, DType::fp32, 0.5, OptimizerKind::adamw, 3);
        base.strategies[0].reduce_at = ReduceAt::micro_batch;
        const Trained ddp = train(base);
        for (const int zero : {1, 2, 3}) {
            Scenario s = base;
            s.strategies[0].zero = zero;
            SCOPED_TRACE(test::describe(s, s.strategies[0]));
            expect_bit_equal(train(s), ddp);
        }
    }
}

}  // namespace
}  // namespace shardscope
