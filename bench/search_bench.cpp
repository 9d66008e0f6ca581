// Speed of the search: candidates per second of the usual space, and of a fair sample of the thorough
// one, for GPT-3 13B on 16 GPUs; and how long it takes to find out which candidates there are.
#include <atomic>
#include <fstream>
#include <memory>
#include <sstream>

#include <benchmark/benchmark.h>

#include "core/scenario_io.h"
#include "simulator/search.h"

namespace shardscope {
namespace {

constexpr const char* kFile = SHARDSCOPE_SOURCE_DIR "/scenarios/gpt-13b-16-gpus.yaml";

struct Given {
    Scenario scenario;
    std::shared_ptr<const Model> model;
};

Given given() {
    std::ostringstream text;
    text << std::ifstream(kFile).rdbuf();
    Given result{parse_scenario(text.str(), kFile, {}), nullptr};
    result.model = std::make_shared<const Model>(build_model(result.scenario.model));
    return result;
}

CandidateList list_of(const Given& g, bool thorough) {
    return {g.scenario, *g.model,
            thorough ? SearchSpace::thorough(g.scenario, *g.model)
                     : SearchSpace::usual(g.scenario, *g.model)};
}

void list(benchmark::State& state, bool thorough) {
    const Given g = given();
    std::uint64_t size = 0;
    for (auto _ : state) size = list_of(g, thorough).size();
    state.counters["candidates"] = static_cast<double>(size);
}
BENCHMARK_CAPTURE(list, usual, false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(list, thorough, true)->Unit(benchmark::kMillisecond);

// Stops after `most` candidates: they are spread over the list.
void search(benchmark::State& state, bool thorough, std::uint64_t most) {
    const Given g = given();
    const CandidateList candidates = list_of(g, thorough);
    std::uint64_t evaluated = 0;
    for (auto _ : state) {
        std::stop_source stop;
        SearchOptions options;
        options.threads = static_cast<int>(state.range(0));
        options.stop = stop.get_token();
        options.interval = Seconds(0.01);
        std::uint64_t last = 0;
        options.on_increment = [&](const SearchIncrement& increment) {
            last = increment.evaluated;
            if (last >= most) stop.request_stop();
        };
        ExhaustivePlanner().search(g.scenario, g.model, candidates, options);
        evaluated += last;
    }
    state.counters["candidates"] = static_cast<double>(candidates.size());
    state.counters["candidates/s"] =
        benchmark::Counter(static_cast<double>(evaluated), benchmark::Counter::kIsRate);
}
BENCHMARK_CAPTURE(search, usual, false, 1'000'000)
    ->Arg(1)
    ->Arg(2)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();
BENCHMARK_CAPTURE(search, thorough, true, 2'000)
    ->Arg(1)
    ->Arg(2)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace shardscope

BENCHMARK_MAIN();
