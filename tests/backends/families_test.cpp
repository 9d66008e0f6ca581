// Models of every Hugging Face type really run: they compute what their definition says, with the
// gradients of that, and every strategy trains the same model as one rank.
#include "tests/support/families.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/data/data_source.h"
#include "core/error.h"
#include "core/model/initialize.h"
#include "tests/backends/same_training.h"

namespace shardscope {
namespace {

using test::expect_planned_memory;
using test::expect_same_training;
using test::Tensors;
using test::train;
using test::Trained;

class Family : public testing::TestWithParam<std::size_t> {
protected:
    ModelSpec model_ = test::tiny_families()[GetParam()];
};

using FamilySlow = Family;

std::string name_of_family(const testing::TestParamInfo<std::size_t>& info) {
    return test::tiny_family_names()[info.param];
}

// Weights that leave no part of the model without effect: biases are not 0, norms not 1.
std::vector<double> strong_weights(const Parameter& parameter) {
    Parameter drawn = parameter;
    const bool ones = parameter.init.kind == Initializer::Kind::ones;
    drawn.init = {Initializer::Kind::normal, ones ? 0.2 : 0.3};
    std::vector<double> values(static_cast<std::size_t>(parameter.elements()));
    initial_values(drawn, 7, 0, values);
    for (double& value : values) value += ones ? 1 : 0;
    return values;
}

Tensors strong_weights(const Model& model) {
    Tensors weights;
    for (const Parameter& p : model.parameters) weights[p.name] = strong_weights(p);
    return weights;
}

constexpr std::int64_t kSamples = 2;

// Loss and gradients of the second step, computed with these weights.
Trained evaluate(const ModelSpec& spec, const Tensors& weights) {
    Scenario s = test::tiny_scenario(spec, 1);
    s.training.precision = DType::fp64;
    s.training.global_batch = s.training.micro_batch = kSamples;
    s.training.steps = 2;
    s.training.optimizer.lr = 0;
    const Model model = build_model(spec);
    test::Tampering tampering;
    tampering.state = [&](int, std::int64_t step, const RankState& state) {
        if (step != 0) return;
        for (const ShardSlice& slice : state.slices())
            if (slice.tensor == ShardSlice::Tensor::parameter)
                state.write(slice, weights.at(model.parameters[slice.parameter.index()].name));
    };
    return train(s, tampering);
}

TEST_P(Family, ComputesWhatItsDefinitionSays) {
    const Model model = build_model(model_);
    const Tensors weights = strong_weights(model);
    const auto source = open_data(SyntheticData{}, model, 1);
    double expected = 0;
    for (std::int64_t i = 0; i < kSamples; ++i) {
        std::vector<std::int32_t> tokens(16), targets(16);
        source->tokens(static_cast<std::uint64_t>(kSamples + i), tokens, targets);
        expected +=
            test::reference_loss(std::get<TransformerSpec>(model_.kind), weights, tokens, targets) /
            static_cast<double>(kSamples);
    }
    const Trained trained = evaluate(model_, weights);
    EXPECT_NEAR(trained.trace.losses.at(1), expected, 1e-12 * expected);
    EXPECT_GT(expected, 2.0);  // the weights are far from those of a trained model
}

// Central differences along a random direction in each tensor, of length near 1: with h = 1e-5
// truncation and rounding are near 1e-10. Steps across relu's kink would show, hence smaller ones
// there, with more rounding.
TEST_P(Family, GradientsMatchDifferences) {
    const bool kinks = std::get<TransformerSpec>(model_.kind).mlp == Mlp::relu;
    const double h = kinks ? 1e-7 : 1e-5, tolerance = kinks ? 1e-7 : 1e-8;
    const Model model = build_model(model_);
    const Tensors weights = strong_weights(model);
    const Trained trained = evaluate(model_, weights);
    for (const Parameter& p : model.parameters) {
        Parameter drawn = p;
        drawn.init = {Initializer::Kind::normal, 1 / std::sqrt(double(p.elements()))};
        std::vector<double> direction(static_cast<std::size_t>(p.elements()));
        initial_values(drawn, 11, 0, direction);
        const auto loss = [&](double step) {
            Tensors moved = weights;
            for (std::size_t i = 0; i < direction.size(); ++i)
                moved[p.name][i] += step * direction[i];
            return evaluate(model_, moved).trace.losses.at(1);
        };
        double along = 0;
        for (std::size_t i = 0; i < direction.size(); ++i)
            along += direction[i] * trained.gradients.at(1).at(p.name)[i];
        const double numeric = (loss(h) - loss(-h)) / (2 * h);
        EXPECT_NEAR(along, numeric, tolerance * (1 + std::abs(numeric))) << p.name;
    }
}

INSTANTIATE_TEST_SUITE_P(All, Family,
                         testing::Range(std::size_t{0}, test::tiny_family_names().size()),
                         name_of_family);

Strategy family_hybrid(int tp, int pp, int dp, int zero = 0) {
    Strategy s;
    s.name = "hybrid";
    s.tp = tp;
    s.pp = pp;
    s.dp = dp;
    s.zero = zero;
    s.bucket = Bytes(4000);
    return s;
}

Scenario family_scenario(const ModelSpec& model, const Strategy& strategy, DType precision) {
    Scenario s = test::tiny_scenario(model, strategy.tp * strategy.pp * *strategy.dp);
    s.training.precision = precision;
    s.training.clip = 0.5;
    s.training.steps = 8;
    s.training.micro_batch = 6;
    s.strategies[0] = strategy;
    return s;
}

std::vector<Strategy> strategies() {
    std::vector<Strategy> list{
        family_hybrid(2, 1, 1),    family_hybrid(4, 1, 1),    family_hybrid(1, 2, 1),
        family_hybrid(1, 1, 2),    family_hybrid(1, 1, 2, 1), family_hybrid(1, 1, 2, 2),
        family_hybrid(1, 1, 2, 3), family_hybrid(2, 2, 1),    family_hybrid(2, 1, 2, 3),
        family_hybrid(2, 2, 2, 1), family_hybrid(4, 2, 1)};
    for (const std::size_t i : {0U, 1U, 7U, 8U}) {
        list.push_back(list[i]);
        list.back().sequence_parallel = true;
    }
    for (const auto kind : {Recompute::Kind::selective, Recompute::Kind::full})
        for (Strategy s : {family_hybrid(1, 1, 1), family_hybrid(2, 2, 1)}) {
            s.recompute = {kind, 1};
            s.sequence_parallel = s.tp > 1;
            list.push_back(s);
        }
    for (Strategy s : {family_hybrid(1, 2, 1), family_hybrid(2, 2, 1), family_hybrid(1, 2, 2, 2)}) {
        s.schedule = Schedule::zero_bubble;
        list.push_back(s);
        s.attention = AttentionKind::unfused;
        s.recompute = {Recompute::Kind::full, 1};
        list.push_back(s);
    }
    return list;
}

TEST_P(FamilySlow, EveryStrategyMatchesOneRank) {
    for (const DType precision : {DType::fp64, DType::fp32}) {
        const Trained reference = train(family_scenario(model_, family_hybrid(1, 1, 1), precision));
        for (const Strategy& strategy : strategies()) {
            const Scenario s = family_scenario(model_, strategy, precision);
            SCOPED_TRACE(test::describe(s, s.strategies[0]));
            const Trained trained = train(s);
            expect_same_training(trained, reference, precision);
            expect_planned_memory(trained.trace, test::lower_tiny(s));
        }
    }
}

// bf16 rounds every activation to 2⁻⁸ of itself: the first gradients agree to a few roundings, and
// training still learns.
TEST_P(FamilySlow, LearnsInBf16) {
    const Trained exact = train(family_scenario(model_, family_hybrid(1, 1, 1), DType::fp64));
    for (const Strategy& strategy :
         {family_hybrid(1, 1, 1), family_hybrid(2, 2, 1), family_hybrid(1, 1, 2, 3)}) {
        Scenario s = family_scenario(model_, strategy, DType::bf16);
        s.training.gradient_dtype = DType::fp32;
        SCOPED_TRACE(test::describe(s, s.strategies[0]));
        const Trained trained = train(s);
        EXPECT_LE(test::compare(trained.gradients.at(0), exact.gradients.at(0)).whole, 0.03);
        EXPECT_NEAR(trained.trace.losses.back(), exact.trace.losses.back(), 0.03);
    }
}

INSTANTIATE_TEST_SUITE_P(All, FamilySlow,
                         testing::Range(std::size_t{0}, test::tiny_family_names().size()),
                         name_of_family);

}  // namespace
}  // namespace shardscope
