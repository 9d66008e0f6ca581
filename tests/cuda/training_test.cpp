// Training on GPUs is training on CPUs: the same gradients, weights, losses and norms for every kind of
// strategy, executed by the CUDA backend on the host device. Tolerances are same_training.h's for fp32.
#include <gtest/gtest.h>

#include "tests/backends/same_training.h"
#include "tests/cuda/gpu_ranks.h"
#include "tests/support/tiny.h"

namespace shardscope {
namespace {

using test::expect_planned_memory;
using test::expect_same_training;
using test::GpuRun;
using test::train_on_gpus;
using test::Trained;

Strategy strategy(int tp, int pp, int dp, int zero = 0) {
    Strategy s;
    s.name = "hybrid";
    s.tp = tp;
    s.pp = pp;
    s.dp = dp;
    s.zero = zero;
    s.bucket = Bytes(4000);  // several buckets even in tiny models
    return s;
}

Scenario make(const ModelSpec& model, const Strategy& strategy, std::int64_t micro_batch = 3) {
    const int ranks = strategy.tp * strategy.pp * strategy.dp.value_or(1);
    Scenario s = test::tiny_scenario(model, ranks);
    s.training.clip = 0.5;
    s.training.precision = DType::fp32;
    s.training.steps = 6;
    s.training.micro_batch = micro_batch;
    s.strategies[0] = strategy;
    return s;
}

// Every case with a seed of its own: another order of what events leave open.
void check(const ModelSpec& model, const Strategy& strategy) {
    static std::uint64_t seed = 0;
    const Scenario s = make(model, strategy);
    GpuRun run;
    run.settings.seed = ++seed;
    SCOPED_TRACE(test::describe(s, s.strategies[0]) + " seed " + std::to_string(seed));
    const Trained trained = train_on_gpus(s, run);
    expect_same_training(trained, test::train(s), DType::fp32);
    expect_planned_memory(trained.trace, test::lower_tiny(test::on_gpus(s)));
    EXPECT_TRUE(host_device::problems().empty());
    EXPECT_EQ(host_device::live(), host_device::Live{}) << "something was not released";
}

TEST(CudaTrainingSlow, OneRank) {
    for (const ModelSpec& model : test::tiny_models()) check(model, strategy(1, 1, 1));
}

TEST(CudaTrainingSlow, DataParallelAndZero) {
    for (const ModelSpec& model : test::tiny_models())
        for (const int zero : {0, 1, 2, 3}) check(model, strategy(1, 1, 2, zero));
    check(test::tiny_gpt(), strategy(1, 1, 4, 3));
}

TEST(CudaTrainingSlow, TensorParallel) {
    for (const ModelSpec& model : test::tiny_models()) check(model, strategy(2, 1, 1));
    Strategy s = strategy(2, 1, 1);
    s.sequence_parallel = true;
    check(test::tiny_gpt(), s);
    check(test::tiny_llama(), s);
}

TEST(CudaTrainingSlow, Pipelines) {
    for (const ModelSpec& model : test::tiny_models()) check(model, strategy(1, 2, 1));  // 1f1b
    for (const Schedule schedule : {Schedule::gpipe, Schedule::zero_bubble}) {
        Strategy s = strategy(1, 2, 1);
        s.schedule = schedule;
        check(test::tiny_llama(), s);
    }
    Strategy interleaved = strategy(1, 2, 1);
    interleaved.virtual_stages = 2;
    check(test::deep_llama(), interleaved);
    Strategy v = strategy(1, 2, 1);
    v.schedule = Schedule::zero_bubble_v;
    check(test::deep_gpt(), v);
}

TEST(CudaTrainingSlow, Hybrids) {
    check(test::tiny_gpt(), strategy(2, 2, 1));
    check(test::tiny_llama(), strategy(2, 2, 2, 3));
    check(test::tiny_gpt(), strategy(1, 2, 2, 1));
    Strategy s = strategy(1, 1, 2, 2);
    s.recompute = Recompute{Recompute::Kind::full, 1};
    s.attention = AttentionKind::unfused;
    check(test::tiny_gpt(), s);
}

}  // namespace
}  // namespace shardscope
