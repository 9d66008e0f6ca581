// Speed of the simulator: instructions of the unrolled program per second, and the whole way from a
// scenario's text to its report. Targets: 10 million instructions/s; Llama-3-8B with ZeRO-3 on 1,024
// GPUs in 5 ms; GPT-3 175B on 512 GPUs with 64 micro-batches and Llama-3-405B on 16,384 GPUs in 20 ms
// each; the whole timeline of a 70B model on 32 GPUs with 16 micro-batches, as a trace file's text, in
// 100 ms.
#include <fstream>
#include <memory>
#include <sstream>

#include <benchmark/benchmark.h>

#include "core/report/chrome_trace.h"
#include "core/report/report.h"
#include "core/scenario_io.h"
#include "simulator/event_engine.h"
#include "simulator/event_runner.h"

namespace shardscope {
namespace {

constexpr const char* kFile = SHARDSCOPE_SOURCE_DIR "/scenarios/llama-3-8b-zero3-1024.yaml";

std::string text_of(const std::string& file) {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
}

Plan plan_of(Scenario& scenario, int micro_batches) {
    scenario.training.global_batch *= micro_batches;
    const auto model = std::make_shared<const Model>(build_model(scenario.model));
    return lower(scenario, model, scenario.strategies.front(),
                 ExecutionTarget::of(scenario.cluster.device));
}

// Walking prepared bodies, as often as 64 micro-batches schedule them. With separate kernels every
// instruction is an operation of its own, as for traces; otherwise kernels between two
// synchronisations are one.
void walk(benchmark::State& state, bool separate_kernels) {
    Scenario scenario = parse_scenario(text_of(kFile), kFile, {});
    const Plan plan = plan_of(scenario, 64);
    const LaneProgram prepared = prepare(plan.program, scenario.cluster, separate_kernels);
    for (auto _ : state)
        benchmark::DoNotOptimize(simulate_step(prepared, scenario.cluster)[0].time.wall.value);
    std::int64_t instructions = 0;
    for (const RoleProgram& role : plan.program.roles) instructions += unrolled_size(role);
    state.SetItemsProcessed(state.iterations() * instructions);
    state.counters["instructions"] = static_cast<double>(instructions);
}
BENCHMARK_CAPTURE(walk, merged_kernels, false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(walk, separate_kernels, true)->Unit(benchmark::kMillisecond);

// The same from a Program: costs, then one walk.
void simulate(benchmark::State& state) {
    Scenario scenario = parse_scenario(text_of(kFile), kFile, {});
    const Plan plan = plan_of(scenario, static_cast<int>(state.range(0)));
    EventRunner runner;
    for (auto _ : state) benchmark::DoNotOptimize(runner.run(scenario, plan, {}));
    state.SetItemsProcessed(state.iterations() * unrolled_size(plan.program.roles[0]));
}
BENCHMARK(simulate)->Arg(1)->Arg(64)->Unit(benchmark::kMillisecond);

void scenario_to_report(benchmark::State& state, const char* name) {
    const std::string file = std::string(SHARDSCOPE_SOURCE_DIR "/scenarios/") + name + ".yaml";
    const std::string text = text_of(file);
    for (auto _ : state) {
        Scenario scenario = parse_scenario(text, file, {});
        const Plan plan = plan_of(scenario, 1);
        EventRunner runner;
        const Result result =
            summarise(runner.run(scenario, plan, {}), plan, scenario.cluster.device);
        benchmark::DoNotOptimize(result.step_time);
    }
}
BENCHMARK_CAPTURE(scenario_to_report, llama_3_8b_zero3_1024_gpus, "llama-3-8b-zero3-1024")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(scenario_to_report, gpt3_175b_512_gpus, "gpt3-175b-3d")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(scenario_to_report, llama_3_405b_16384_gpus, "llama-3-405b-16384")
    ->Unit(benchmark::kMillisecond);

void scenario_to_trace(benchmark::State& state) {
    const std::string file = SHARDSCOPE_SOURCE_DIR "/scenarios/llama-3-70b-trace.yaml";
    const std::string text = text_of(file);
    std::size_t bytes = 0;
    for (auto _ : state) {
        Scenario scenario = parse_scenario(text, file, {});
        const Plan plan = plan_of(scenario, 1);
        RunOptions options;
        options.record_spans = true;
        EventRunner runner;
        const Trace trace = runner.run(scenario, plan, options);
        const TracePart part{"simulated", &trace};
        bytes = chrome_trace(plan, {&part, 1}).size();
        benchmark::DoNotOptimize(bytes);
    }
    state.counters["bytes"] = static_cast<double>(bytes);
}
BENCHMARK(scenario_to_trace)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace shardscope

BENCHMARK_MAIN();
