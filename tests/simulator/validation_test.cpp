// Predictions of measured runs: the same as simulating their scenarios, whatever the number of threads.
#include "simulator/validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/validation/run_scenario.h"
#include "simulator/event_runner.h"
#include "tests/support/measured_rows.h"

namespace shardscope {
namespace {

using testing::Contains;
using testing::HasSubstr;

std::vector<MeasuredRun> example_runs() {
    return load_measured_runs(SHARDSCOPE_SOURCE_DIR "/tests/data/measured_runs.csv").rows;
}

const Prediction& of(const std::vector<MeasuredRun>& runs,
                     const std::vector<Prediction>& predictions, const std::string& id) {
    for (std::size_t i = 0; i < runs.size(); ++i)
        if (runs[i].id == id) return predictions[i];
    ADD_FAILURE() << "no run " << id;
    return predictions.front();
}

void set_size(MeasuredRun& run, std::int64_t layers, std::int64_t hidden, std::int64_t heads) {
    run.layers = layers;
    run.hidden = hidden;
    run.ffn = 4 * hidden;
    run.heads = run.kv_heads = heads;
}

TEST(Validation, IsTheSimulationOfTheRowsScenario) {
    const std::vector<MeasuredRun> runs = example_runs();
    const auto predictions = predict_runs(runs, {});
    ASSERT_EQ(predictions.size(), runs.size());
    int simulated = 0;
    for (std::size_t i = 0; i < runs.size(); ++i) {
        if (predictions[i].skipped || !runs[i].micro_batch) continue;
        const Scenario scenario = map_run(runs[i]).scenario;
        Candidate candidate =
            plan_strategy(scenario, std::make_shared<const Model>(build_model(scenario.model)),
                          scenario.strategies.front());
        EventRunner simulator;
        simulate_candidate(scenario, candidate, simulator);
        EXPECT_EQ(predictions[i].time.wall, candidate.report.simulated->step_time) << runs[i].id;
        ++simulated;
    }
    EXPECT_GE(simulated, 6);
}

TEST(Validation, AnyNumberOfThreadsPredictsTheSame) {
    const std::vector<MeasuredRun> runs = example_runs();
    const auto one = predict_runs(runs, {});
    for (const int threads : {2, 3, 7}) {
        ValidationOptions options;
        options.threads = threads;
        const auto several = predict_runs(runs, options);
        ASSERT_EQ(several.size(), one.size());
        for (std::size_t i = 0; i < one.size(); ++i) {
            EXPECT_EQ(several[i].time.wall, one[i].time.wall) << runs[i].id;
            EXPECT_EQ(several[i].peak, one[i].peak) << runs[i].id;
            EXPECT_EQ(several[i].assumed, one[i].assumed) << runs[i].id;
            EXPECT_EQ(several[i].skipped.has_value(), one[i].skipped.has_value()) << runs[i].id;
        }
    }
}

TEST(Validation, RowsThatDifferInWhatWasMeasuredAreSimulatedOnce) {
    std::vector<MeasuredRun> runs = example_runs();
    ValidationTimes times;
    std::size_t told = 0;
    ValidationOptions options;
    options.on_progress = [&](std::size_t done, std::size_t rows) {
        EXPECT_GT(done, told);
        EXPECT_EQ(rows, runs.size());
        told = done;
    };
    const auto predictions = predict_runs(runs, options, &times);
    EXPECT_EQ(told, runs.size());
    EXPECT_EQ(of(runs, predictions, "dense-1").time.wall,
              of(runs, predictions, "dense-4").time.wall);
    std::size_t mapped = 0;  // one of them, experts-1, to a model that cannot be built
    for (const MeasuredRun& run : runs) {
        try {
            map_run(run);
            ++mapped;
        } catch (const Error&) {
        }
    }
    EXPECT_EQ(times.simulated, mapped - 1) << "dense-4 is dense-1";
    EXPECT_GT(times.simulate.value, 0);
}

TEST(Validation, MemoryIsThatOfTheKindAsked) {
    std::vector<MeasuredRun> runs(5, example_runs().front());
    const char* kinds[] = {"allocated", "reserved", "process", "", "virtual"};
    for (std::size_t i = 0; i < runs.size(); ++i) runs[i].memory_kind = kinds[i];
    const Scenario scenario = map_run(runs.front()).scenario;
    const Candidate candidate =
        plan_strategy(scenario, std::make_shared<const Model>(build_model(scenario.model)),
                      scenario.strategies.front());
    const MemoryPlan& plan = candidate.plan->memory.front();
    ASSERT_LT(plan.live_peak, plan.arena);
    ValidationTimes times;
    const auto predictions = predict_runs(runs, {}, &times);
    EXPECT_EQ(times.simulated, 1u);
    EXPECT_EQ(predictions[0].peak, plan.live_peak);
    EXPECT_EQ(predictions[1].peak, plan.arena);
    EXPECT_EQ(predictions[2].peak, plan.arena + plan.runtime);
    EXPECT_EQ(predictions[3].peak, plan.live_peak);
    EXPECT_THAT(predictions[3].assumed, Contains((Assumption{"memory_kind", "allocated"})));
    EXPECT_THAT(predictions[1].assumed,
                testing::Not(Contains(testing::Field(&Assumption::column, "memory_kind"))));
    ASSERT_TRUE(predictions[4].no_peak);
    EXPECT_THAT(predictions[4].no_peak->message, HasSubstr("\"virtual\""));
    EXPECT_FALSE(predictions[4].skipped) << "its time is predicted all the same";
}

TEST(Validation, RowsThatCannotBePredictedSayWhyAndOthersGoOn) {
    std::vector<MeasuredRun> runs = example_runs();
    runs.front().step_time_s.reset();
    runs.front().peak_memory_gib.reset();
    runs[1].tp = 8;  // of dp 4 × tp 8 = 32 GPUs
    runs[2].micro_batch = 3;
    const auto predictions = predict_runs(runs, {});
    EXPECT_EQ(predictions[0].skipped->rule, "not-measured");
    EXPECT_EQ(predictions[1].skipped->rule, "world-size");
    EXPECT_EQ(predictions[2].skipped->rule, "batch");
    EXPECT_THAT(predictions[2].skipped->message,
                testing::StartsWith("micro_batch 3 does not divide"))
        << "without the strategy's name";
    EXPECT_EQ(predictions[2].skipped->fix, "correct the row's columns, or leave the row out")
        << "scenarios' remedies name keys that are no columns";
    EXPECT_FALSE(predictions[3].skipped);
}

TEST(Validation, RowsWithACellThatCannotBeReadAreSkipped) {
    std::vector<MeasuredRun> runs = example_runs();
    runs.resize(2);
    runs[0].step_time_s.reset();
    runs[0].peak_memory_gib.reset();
    runs[0].unreadable = Error("type", "f.csv:2: \"fast\" is no number", "write one");
    const auto predictions = predict_runs(runs, {});
    ASSERT_TRUE(predictions[0].skipped);
    EXPECT_EQ(predictions[0].skipped->message, "f.csv:2: \"fast\" is no number")
        << "not that nothing was measured";
    EXPECT_FALSE(predictions[1].skipped);
}

TEST(Validation, RowsWithMoreMemoryThanTheirGpuAreSkipped) {
    std::vector<MeasuredRun> runs(2, example_runs().front());
    runs[1].peak_memory_gib = 61440;  // MiB
    const auto predictions = predict_runs(runs, {});
    EXPECT_FALSE(predictions[0].skipped);
    ASSERT_TRUE(predictions[1].skipped);
    EXPECT_THAT(predictions[1].skipped->message, HasSubstr("61440 GiB are more than the 79 GiB"));
}

TEST(Validation, RunsThatRanOutOfMemoryAreSaidNotToFit) {
    MeasuredRun run = example_runs().front();
    run.step_time_s.reset();
    run.peak_memory_gib.reset();
    run.out_of_memory = true;
    MeasuredRun large = run;
    set_size(large, 12, 8192, 64);
    const std::vector<MeasuredRun> runs{run, large};
    const auto predictions = predict_runs(runs, {});
    ASSERT_FALSE(predictions[0].skipped || predictions[1].skipped);
    EXPECT_TRUE(predictions[0].fits);
    EXPECT_FALSE(predictions[1].fits);
    EXPECT_FALSE((ValidatedRun{run, predictions[0]}.has_time()));
}

TEST(Validation, SpeedsThatContradictEachOtherAreNamed) {
    // dense-1: 64 samples of 1024 tokens on 8 GPUs in 0.21 s are 39010 per second and GPU.
    std::vector<MeasuredRun> runs(4, example_runs().front());
    const double tokens[] = {39010, 39010 * 1.08, 39010 * 1.12, 39010 * 0.5};
    for (std::size_t i = 0; i < runs.size(); ++i) runs[i].tokens_per_s_per_gpu = tokens[i];
    const auto predictions = predict_runs(runs, {});
    const auto column = testing::Field(&Assumption::column, "tokens_per_s_per_gpu");
    EXPECT_THAT(predictions[0].assumed, testing::Not(Contains(column)));
    EXPECT_THAT(predictions[1].assumed, testing::Not(Contains(column)));
    EXPECT_THAT(predictions[2].assumed,
                Contains((Assumption{"tokens_per_s_per_gpu", "12 % above what step_time_s says"})));
    EXPECT_THAT(predictions[3].assumed,
                Contains((Assumption{"tokens_per_s_per_gpu", "50 % below what step_time_s says"})));
    EXPECT_EQ(runs[3].measured_step_time(), 0.21);
}

TEST(Validation, WhatMemoryDecidesIsAmongTheAssumptions) {
    std::vector<MeasuredRun> runs = example_runs();
    MeasuredRun open = runs.front();
    open.id = "open";
    open.micro_batch.reset();
    open.recompute = "unstated";
    MeasuredRun large = open;
    set_size(large, 12, 8192, 64);
    const std::vector<MeasuredRun> both{open, large};
    const auto predictions = predict_runs(both, {});
    EXPECT_THAT(predictions[0].assumed, Contains((Assumption{"micro_batch", "8"})));
    EXPECT_THAT(predictions[0].assumed, Contains((Assumption{"recompute", "none"})));
    EXPECT_TRUE(predictions[0].fits);
    ASSERT_FALSE(predictions[1].skipped);
    EXPECT_THAT(predictions[1].assumed, testing::Not(Contains((Assumption{"recompute", "none"}))))
        << "80 GiB do not hold the activations of any number of samples";
}

// Not the largest, whose few micro-batches leave the pipeline's stages idle, nor the smallest with its small kernels.
TEST(Validation, AnOpenMicroBatchIsTheFastest) {
    MeasuredRun run = example_runs().front();
    run.id = "open";
    run.gpu_memory_gb = 80;
    run.layers = 16;
    run.gpus = 8;
    run.tp = 1;
    run.dp = 1;
    run.pp = 8;
    run.schedule = "1f1b";
    run.virtual_stages = 1;
    run.global_batch = 64;
    run.recompute = "none";
    std::vector<MeasuredRun> sizes;
    for (const std::int64_t size : {8, 4, 2, 1}) {
        sizes.push_back(run);
        sizes.back().id = std::to_string(size);
        sizes.back().micro_batch = size;
    }
    run.micro_batch.reset();
    sizes.push_back(run);
    const auto predictions = predict_runs(sizes, {});
    for (const Prediction& prediction : predictions) ASSERT_FALSE(prediction.skipped);
    const auto time = [&](std::size_t i) { return predictions[i].time.wall; };
    const Seconds fastest = std::min({time(0), time(1), time(2), time(3)});
    EXPECT_EQ(time(4), fastest);
    EXPECT_GT(time(0), fastest) << "the bubble of eight micro-batches in eight stages";
}

// A small micro-batch that fits without recomputation may be faster than any large one that needs it.
TEST(Validation, OpenRecomputationIsTriedWithEveryMicroBatch) {
    MeasuredRun run = test::full_row();
    set_size(run, 32, 4096, 32);
    run.head_dim.reset();
    run.gpus = run.dp = 8;
    run.tp = run.pp = 1;
    run.seq = 4096;
    run.global_batch = 256;
    run.zero_stage = 1;
    std::vector<MeasuredRun> runs;
    for (const std::int64_t size : {32, 16, 8, 4, 2, 1})
        for (const char* recompute : {"none", "full"}) {
            runs.push_back(run);
            runs.back().id = std::to_string(runs.size());
            runs.back().micro_batch = size;
            runs.back().recompute = recompute;
        }
    runs.push_back(run);
    runs.back().id = "open";
    runs.back().micro_batch.reset();
    runs.back().recompute = "";
    const auto predictions = predict_runs(runs, {});
    std::optional<Seconds> fastest;
    for (const Prediction& p : predictions) {
        ASSERT_FALSE(p.skipped) << p.skipped->what();
        if (&p != &predictions.back() && p.fits && (!fastest || p.time.wall < *fastest))
            fastest = p.time.wall;
    }
    ASSERT_TRUE(fastest);
    EXPECT_FALSE(predictions[0].fits) << "the largest does not fit without";
    EXPECT_EQ(predictions.back().time.wall, *fastest);
}

// Between nothing and everything: the least that makes it fit.
TEST(Validation, OpenRecomputationIsOfNoMoreBlocksThanMemoryWants) {
    MeasuredRun run = test::full_row();
    set_size(run, 32, 4096, 32);
    run.head_dim.reset();
    run.gpus = run.dp = 8;
    run.tp = run.pp = 1;
    run.seq = 4096;
    run.global_batch = 64;
    run.zero_stage = 1;
    std::vector<MeasuredRun> runs;
    for (const char* recompute : {"none", "every 8", "every 4", "every 2", "full", ""}) {
        runs.push_back(run);
        runs.back().id = std::to_string(runs.size());
        runs.back().recompute = recompute;
    }
    const auto predictions = predict_runs(runs, {});
    for (const Prediction& p : predictions) ASSERT_FALSE(p.skipped) << p.skipped->what();
    ASSERT_FALSE(predictions.front().fits);
    const auto least = std::ranges::find_if(predictions, &Prediction::fits);
    ASSERT_LT(least - predictions.begin(), 4) << "less than everything";
    EXPECT_EQ(predictions.back().time.wall, least->time.wall);
    EXPECT_THAT(
        predictions.back().assumed,
        Contains((Assumption{
            "recompute", runs[static_cast<std::size_t>(least - predictions.begin())].recompute})));
}

// Sequence parallelism is for memory, even if it were faster.
TEST(Validation, OpenSequenceParallelismIsTurnedOnForWantOfMemory) {
    MeasuredRun run = test::full_row();
    run.sequence_parallel.reset();
    run.recompute = "";
    run.zero_stage = 1;
    const auto assumed = [](MeasuredRun r) {
        return predict_runs({{std::move(r)}}, {}).front().assumed;
    };
    EXPECT_THAT(assumed(run), Contains((Assumption{"sequence_parallel", "0"})));
    set_size(run, 32, 4096, 32);
    run.head_dim.reset();
    run.gpus = 8;
    run.tp = 8;
    run.pp = run.dp = 1;
    run.seq = 8192;
    run.micro_batch = 8;
    EXPECT_THAT(assumed(run), Contains((Assumption{"sequence_parallel", "1"})));
    EXPECT_THAT(assumed(run), Contains((Assumption{"recompute", "none"})));
}

// Tensor-parallel ranks of a node first, then stages, no more than the model needs; what was taken is told.
TEST(Validation, OpenDegreesAreTheFirstThatFit) {
    MeasuredRun run = test::full_row();
    set_size(run, 80, 8192, 64);
    run.head_dim.reset();
    run.gpu = "H100";
    run.gpus = 64;
    run.seq = 2048;
    run.global_batch = 128;
    run.micro_batch = 1;
    run.zero_stage = 1;
    run.recompute = "full";
    run.tp.reset();
    run.pp.reset();
    run.dp.reset();
    const auto predicted = [](MeasuredRun r) { return predict_runs({{std::move(r)}}, {}).front(); };
    const auto degree = [](const Prediction& p, std::string_view column) -> std::string {
        for (const Assumption& a : p.assumed)
            if (a.column == column) return a.value;
        return "none";
    };
    const Prediction large = predicted(run);
    ASSERT_FALSE(large.skipped) << large.skipped->what();
    EXPECT_TRUE(large.fits);
    EXPECT_EQ(degree(large, "tp"), "8") << large.layout;

    MeasuredRun same = run;  // less does not fit
    same.tp = std::stoi(degree(large, "tp"));
    same.pp = std::stoi(degree(large, "pp"));
    EXPECT_EQ(predicted(same).time.wall, large.time.wall);
    same.tp = *same.tp / 2;
    EXPECT_FALSE(predicted(same).fits);

    MeasuredRun small = run;
    set_size(small, 4, 1024, 16);
    const Prediction alone = predicted(small);
    EXPECT_EQ(degree(alone, "tp") + " " + degree(alone, "pp"), "1 1");
    EXPECT_EQ(degree(alone, "virtual_stages"), "none") << "there are no stages";

    run.dp = 4;  // which leaves sixteen ranks to a model
    const Prediction given = predicted(run);
    EXPECT_EQ(degree(given, "tp") + " " + degree(given, "pp"), "8 2");
    run.dp = 5;
    EXPECT_TRUE(predicted(run).skipped);
}

// Sharded optimizer states before recomputation, which is no help against them.
TEST(Validation, AnOpenStageIsTheFirstThatFits) {
    MeasuredRun run = example_runs().front();
    run.gpu = "H100";
    run.gpu_memory_gb = 80;
    set_size(run, 32, 4096, 32);
    run.micro_batch = 1;
    run.recompute = "";
    run.zero_stage.reset();
    MeasuredRun sharded = run;
    sharded.zero_stage = 1;
    MeasuredRun replicated = run;
    replicated.zero_stage = 0;
    MeasuredRun small = run;  // which fits without
    small.layers = 4;
    MeasuredRun small_replicated = small;
    small_replicated.zero_stage = 0;
    const std::vector<MeasuredRun> runs{run, sharded, replicated, small, small_replicated};
    const auto predictions = predict_runs(runs, {});
    for (const Prediction& p : predictions) ASSERT_FALSE(p.skipped);
    const Prediction& open = predictions[0];
    EXPECT_TRUE(open.fits) << open.layout;
    EXPECT_THAT(open.assumed, Contains((Assumption{"zero_stage", "1"})));
    EXPECT_THAT(open.assumed, Contains((Assumption{"recompute", "none"})));
    EXPECT_EQ(open.time.wall, predictions[1].time.wall);
    EXPECT_FALSE(predictions[2].fits);
    EXPECT_THAT(predictions[3].assumed, Contains((Assumption{"zero_stage", "0"})));
    EXPECT_EQ(predictions[3].time.wall, predictions[4].time.wall);
}

// A large micro-batch that needs recomputation is no reason for it where a small one needs none.
TEST(Validation, AnOpenStageComesBeforeRecomputationOfAnyMicroBatch) {
    MeasuredRun run = example_runs().front();
    run.gpu = "H100";
    run.gpu_memory_gb = 80;
    set_size(run, 32, 4096, 32);
    run.seq = 2048;
    run.recompute = "";
    run.zero_stage.reset();
    run.micro_batch.reset();
    MeasuredRun least = run;
    least.zero_stage = 1;
    least.recompute = "none";
    least.micro_batch = 1;
    MeasuredRun most = least;
    most.micro_batch = 8;
    const std::vector<MeasuredRun> runs{run, least, most};
    const auto predictions = predict_runs(runs, {});
    ASSERT_TRUE(predictions[1].fits);
    ASSERT_FALSE(predictions[2].fits);
    EXPECT_TRUE(predictions[0].fits);
    EXPECT_THAT(predictions[0].assumed, Contains((Assumption{"zero_stage", "1"})));
    EXPECT_THAT(predictions[0].assumed, Contains((Assumption{"recompute", "none"})));
}

// Rows of one scenario may have left open different columns.
TEST(Validation, RowsOfOneScenarioHaveAssumptionsOfTheirOwn) {
    MeasuredRun stated = example_runs().front();
    stated.dp = stated.gpus;
    stated.tp = stated.pp = 1;
    stated.global_batch = stated.gpus;
    stated.micro_batch = 1;
    MeasuredRun open = stated;
    open.micro_batch.reset();  // one sample per rank leaves one choice
    const std::vector<MeasuredRun> runs{stated, open};
    ValidationTimes times;
    const auto predictions = predict_runs(runs, {}, &times);
    EXPECT_EQ(times.simulated, 1u);
    const auto column = testing::Field(&Assumption::column, "micro_batch");
    EXPECT_THAT(predictions[0].assumed, testing::Not(Contains(column)));
    EXPECT_THAT(predictions[1].assumed, Contains((Assumption{"micro_batch", "1"})));
}

}  // namespace
}  // namespace shardscope
