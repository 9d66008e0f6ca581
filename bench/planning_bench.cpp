// Speed of planning: from a strategy to its plan, and from there to its figures, as the window does it for
// every strategy at every step of a slider. Target: the strategies of GPT-3 13B on 16 GPUs in 7 ms on two
// threads. The files with thousands of GPUs show what many roles and long schedules cost.
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/report/evaluate.h"
#include "core/scenario_io.h"
#include "simulator/event_runner.h"

namespace shardscope {
namespace {

struct Given {
    Scenario scenario;
    std::shared_ptr<const Model> model;
};

Given given(const std::string& name) {
    const std::string file = SHARDSCOPE_SOURCE_DIR "/scenarios/" + name + ".yaml";
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    Given result{parse_scenario(text.str(), file, {}), nullptr};
    result.model = std::make_shared<const Model>(build_model(result.scenario.model));
    return result;
}

const char* const kFiles[] = {"gpt-13b-16-gpus", "gpt3-175b-3d", "llama-3-405b-16384",
                              "llama-3-8b-zero3-1024"};

void plan(benchmark::State& state, const Given& g, const Strategy& strategy) {
    for (auto _ : state) benchmark::DoNotOptimize(plan_strategy(g.scenario, g.model, strategy));
}

void simulate(benchmark::State& state, const Given& g, const Strategy& strategy) {
    Candidate candidate = plan_strategy(g.scenario, g.model, strategy);
    EventRunner runner;
    for (auto _ : state)
        benchmark::DoNotOptimize(simulate_candidate(g.scenario, candidate, runner));
}

// All strategies of the scenario, divided over threads.
void evaluate_all(benchmark::State& state, const Given& g) {
    const auto threads = static_cast<std::size_t>(state.range(0));
    const auto work = [&](std::size_t first) {
        EventRunner runner;
        for (std::size_t i = first; i < g.scenario.strategies.size(); i += threads) {
            Candidate candidate = plan_strategy(g.scenario, g.model, g.scenario.strategies[i]);
            benchmark::DoNotOptimize(simulate_candidate(g.scenario, candidate, runner));
        }
    };
    for (auto _ : state) {
        std::vector<std::jthread> others;
        for (std::size_t t = 1; t < threads; ++t) others.emplace_back(work, t);
        work(0);
    }
}

void add_benchmarks() {
    for (const char* file : kFiles) {
        const Given g = given(file);
        for (const Strategy& strategy : g.scenario.strategies) {
            const std::string name = std::string(file) + "/" + strategy.name;
            if (!plan_strategy(g.scenario, g.model, strategy).plan) continue;
            benchmark::RegisterBenchmark(("plan/" + name).c_str(), plan, g, strategy)
                ->Unit(benchmark::kMicrosecond);
            benchmark::RegisterBenchmark(("simulate/" + name).c_str(), simulate, g, strategy)
                ->Unit(benchmark::kMicrosecond);
        }
    }
    benchmark::RegisterBenchmark("evaluate_all/gpt-13b-16-gpus", evaluate_all, given(kFiles[0]))
        ->Arg(1)
        ->Arg(2)
        ->Unit(benchmark::kMicrosecond)
        ->MeasureProcessCPUTime()
        ->UseRealTime();
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
    shardscope::add_benchmarks();
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
