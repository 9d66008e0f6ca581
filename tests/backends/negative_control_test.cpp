// Negative controls: runs that are wrong on purpose must differ from the reference by far more than
// the tolerances of equivalence_test.cpp. A test that cannot fail proves nothing.
#include <algorithm>
#include <array>
#include <barrier>

#include <gtest/gtest.h>

#include "tests/support/training.h"

namespace shardscope {
namespace {

using test::compare;
using test::train;

Scenario control_scenario(int ranks, int zero, OptimizerKind optimizer = OptimizerKind::adamw) {
    Scenario s = test::tiny_scenario(test::tiny_gpt(), ranks);
    s.training.precision = DType::fp64;
    s.training.optimizer.kind = optimizer;
    if (optimizer == OptimizerKind::sgd) s.training.optimizer.lr = 0.1;
    s.strategies[0].zero = zero;
    s.strategies[0].bucket = Bytes(4000);
    return s;
}

// Sets one layer's weight gradient to zero.
void drop_a_gradient(Plan& plan) {
    for (Body& body : plan.program.roles[0].bodies)
        for (Instruction& i : body.instructions)
            if (auto* c = std::get_if<Compute>(&i.operation))
                if (const auto* k = std::get_if<LinearWeightGrad>(&c->kernel)) {
                    const Operand dw = c->operands[2];
                    c->kernel = Zero{k->in * k->out};
                    c->operands = {dw};
                    return;
                }
}

void double_the_gradients(Plan& plan) {
    for (Body& body : plan.program.roles[0].bodies)
        for (Instruction& i : body.instructions)
            if (auto* c = std::get_if<Compute>(&i.operation))
                if (auto* k = std::get_if<SoftmaxCrossEntropy>(&c->kernel)) k->scale *= 2;
}

// After step 1, ranks 0 and 1 exchange the parameter shards they own.
class SwapShards {
public:
    void operator()(int rank, std::int64_t step, const RankState& state) {
        if (step != 0 || rank > 1) return;
        const auto slices = parameters_of(state);
        auto& mine = values_[static_cast<std::size_t>(rank)];
        for (const ShardSlice& s : slices) mine.push_back(state.read(s));
        sync_.arrive_and_wait();
        const auto& other = values_[static_cast<std::size_t>(1 - rank)];
        for (std::size_t i = 0; i < std::min(mine.size(), other.size()); ++i) {
            std::vector<double> values = mine[i];
            std::copy_n(other[i].begin(), std::min(values.size(), other[i].size()), values.begin());
            state.write(slices[i], values);
        }
        sync_.arrive_and_wait();
    }

private:
    static std::vector<ShardSlice> parameters_of(const RankState& state) {
        std::vector<ShardSlice> list;
        for (const ShardSlice& s : state.slices())
            if (s.tensor == ShardSlice::Tensor::parameter) list.push_back(s);
        return list;
    }

    std::barrier<> sync_{2};
    std::array<std::vector<std::vector<double>>, 2> values_;
};

constexpr double kFarAboveTolerance = 1e-3;  // the tolerance in fp64 is 1e-11

TEST(NegativeControl, ADroppedGradientIsSeen) {
    const auto reference = train(control_scenario(1, 0));
    for (const int zero : {0, 1, 2, 3}) {
        const auto wrong = train(control_scenario(2, zero), {drop_a_gradient, {}});
        EXPECT_GT(compare(wrong.gradients.at(0), reference.gradients.at(0)).worst, 0.5);
        EXPECT_GT(compare(wrong.parameters, reference.parameters).worst, kFarAboveTolerance);
    }
}

TEST(NegativeControl, DoubledGradientsAreSeenInGradientsAndUnderSgd) {
    const auto reference = train(control_scenario(1, 0, OptimizerKind::sgd));
    for (const int zero : {0, 1, 2, 3}) {
        const auto wrong =
            train(control_scenario(2, zero, OptimizerKind::sgd), {double_the_gradients, {}});
        EXPECT_NEAR(compare(wrong.gradients.at(0), reference.gradients.at(0)).whole, 1, 1e-9);
        EXPECT_GT(compare(wrong.parameters, reference.parameters).worst, kFarAboveTolerance);
    }
}

TEST(NegativeControl, SwappedShardsAreSeen) {
    const auto reference = train(control_scenario(1, 0));
    SwapShards swap;
    const auto wrong = train(control_scenario(2, 3),
                             {{}, [&swap](int rank, std::int64_t step, const RankState& state) {
                                  swap(rank, step, state);
                              }});
    EXPECT_GT(compare(wrong.parameters, reference.parameters).worst, kFarAboveTolerance);
    EXPECT_GT(compare(wrong.gradients.at(1), reference.gradients.at(1)).worst, kFarAboveTolerance);
}

Scenario make_hybrid(int tp, int pp) {
    Scenario s = control_scenario(tp * pp, 0);
    s.training.micro_batch = 6;
    s.strategies[0].tp = tp;
    s.strategies[0].pp = pp;
    return s;
}

// Sets the value gradient of each tensor-parallel rank's first head to zero, in one block.
void drop_a_head(Plan& plan) {
    for (Body& body : plan.program.roles[0].bodies) {
        auto& list = body.instructions;
        const auto qkv = std::find_if(list.begin(), list.end(), [](const Instruction& i) {
            const auto* c = std::get_if<Compute>(&i.operation);
            const auto* k = c != nullptr ? std::get_if<LinearWeightGrad>(&c->kernel) : nullptr;
            return k != nullptr && k->in == 24 && k->out == 36;  // 2 of 4 heads, q, k and v
        });
        if (qkv == list.end()) continue;
        const auto& c = std::get<Compute>(qkv->operation);
        Compute zero{Zero{6 * 24}, c.gradient, c.gradient, {}};
        zero.operands[0] = c.operands[2];
        zero.operands[0].offset +=
            24 * 24 * size_of(c.gradient);  // behind 12 query and 12 key rows
        const Instruction drop{zero, qkv->stream, qkv->phase, qkv->layer};
        list.insert(qkv + 1, drop);
    }
}

// The first stage works on its first two micro-batches in the wrong order.
void swap_micro_batches(Plan& plan) {
    for (Task& task : plan.program.roles[0].schedule)
        if (task.micro_batch < 2 &&
            plan.program.roles[0].bodies[task.body.index()].name.find("forward") == 0)
            task.micro_batch = 1 - task.micro_batch;
}

// Stages keep their own part of the tied embedding's gradient.
void forget_tied_weights(Plan& plan) {
    for (RoleProgram& role : plan.program.roles)
        for (Body& body : role.bodies)
            std::erase_if(body.instructions, [](const Instruction& i) {
                const auto* x = std::get_if<Exchange>(&i.operation);
                const auto* c = std::get_if<Compute>(&i.operation);
                return (x != nullptr && i.phase == Phase::optimizer) ||
                       (c != nullptr && std::holds_alternative<Add>(c->kernel));
            });
}

TEST(NegativeControl, ADroppedHeadIsSeen) {
    const auto reference = train(control_scenario(1, 0));
    const auto wrong = train(make_hybrid(2, 1), {drop_a_head, {}});
    EXPECT_GT(compare(wrong.gradients.at(0), reference.gradients.at(0)).worst, 0.05);
    EXPECT_GT(compare(wrong.parameters, reference.parameters).worst, kFarAboveTolerance);
}

TEST(NegativeControl, SwappedMicroBatchesOfAStageAreSeen) {
    const auto reference = train(control_scenario(1, 0));
    const auto wrong = train(make_hybrid(1, 2), {swap_micro_batches, {}});
    EXPECT_GT(compare(wrong.gradients.at(0), reference.gradients.at(0)).worst, 0.05);
    EXPECT_GT(compare(wrong.parameters, reference.parameters).worst, kFarAboveTolerance);
}

TEST(NegativeControl, TiedWeightsThatAreNotSummedAreSeen) {
    const auto reference = train(control_scenario(1, 0));
    const auto wrong = train(make_hybrid(1, 2), {forget_tied_weights, {}});
    EXPECT_FALSE(wrong.replicas_agree);
    EXPECT_GT(compare(wrong.gradients.at(0), reference.gradients.at(0)).worst, 0.05);
}

}  // namespace
}  // namespace shardscope
