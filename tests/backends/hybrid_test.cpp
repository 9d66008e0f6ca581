// Tensor and pipeline parallelism, their hybrids with data parallelism and ZeRO, and recomputation
// train the same model as one rank: gradients after steps 1 and 2, their norm, and the weights after 20
// steps, for MLP, GPT and Llama on up to 8 ranks. Tolerances as in equivalence_test.cpp: shardings
// change the order of sums only.
#include <gtest/gtest.h>

#include "tests/backends/same_training.h"

namespace shardscope {
namespace {

using test::expect_same_training;
using test::train;
using test::Trained;

enum Model { mlp, gpt, llama };

Scenario make(Model model, const Strategy& strategy, std::int64_t micro_batch,
              DType precision = DType::fp64, double clip = 0.5) {
    const int ranks = strategy.tp * strategy.pp * strategy.dp.value_or(1);
    Scenario s = test::tiny_scenario(test::tiny_models()[model], ranks);
    s.training.precision = precision;
    s.training.clip = clip;
    s.training.micro_batch = micro_batch;
    s.strategies[0] = strategy;
    s.strategies[0].name = "hybrid";
    s.strategies[0].bucket = Bytes(4000);  // several buckets even in tiny models
    return s;
}

Strategy hybrid(int tp, int pp, int dp, int zero = 0) {
    Strategy s;
    s.tp = tp;
    s.pp = pp;
    s.dp = dp;
    s.zero = zero;
    return s;
}

// One reference per model, precision and clipping.
const Trained& reference(Model model, DType precision, double clip) {
    static std::map<std::tuple<Model, DType, double>, Trained> known;
    auto& trained = known[{model, precision, clip}];
    if (trained.parameters.empty())
        trained = train(make(model, hybrid(1, 1, 1), 24, precision, clip));
    return trained;
}

void check(Model model, const Strategy& strategy, std::int64_t micro_batch,
           DType precision = DType::fp64, double clip = 0.5) {
    const Scenario s = make(model, strategy, micro_batch, precision, clip);
    SCOPED_TRACE(test::describe(s, s.strategies[0]));
    expect_same_training(train(s), reference(model, precision, clip), precision);
}

TEST(TensorParallel, EveryDegreeMatchesOneRank) {
    for (const int tp : {2, 4, 8}) check(mlp, hybrid(tp, 1, 1), 12);
    for (const Model model : {gpt, llama})
        for (const int tp : {2, 4})
            for (const bool sequence_parallel : {false, true}) {
                Strategy s = hybrid(tp, 1, 1);
                s.sequence_parallel = sequence_parallel;
                for (const double clip : {0.0, 0.5})
                    check(model, s, 8, DType::fp64, clip);
            }
}

TEST(TensorParallel, WithDataParallelismAndZero) {
    for (const Model model : {mlp, gpt, llama})
        for (const int zero : {0, 1, 2, 3}) {
            Strategy s = hybrid(4, 1, 2, zero);
            check(model, s, 6);
            if (model == mlp) continue;
            s.sequence_parallel = true;
            check(model, s, 6);
        }
}

TEST(Pipeline, EveryScheduleMatchesOneRank) {
    for (const Model model : {mlp, gpt, llama})
        for (const Schedule schedule :
             {Schedule::gpipe, Schedule::one_f_one_b, Schedule::zero_bubble})
            for (const int pp : {2, 3, 4}) {
                Strategy s = hybrid(1, pp, 1);
                s.schedule = schedule;
                check(model, s, 3);   // 8 micro-batches
                check(model, s, 12);  // 2: fewer than most pipelines have stages
            }
}

}  // namespace
}  // namespace shardscope
