#include "tests/support/rank_values.h"

#include <mutex>

#include "tests/support/tiny.h"

namespace shardscope::test {

Run run_and_read(const Scenario& scenario, const MakeRunner& make) {
    Run run;
    std::mutex mutex;
    CpuRunnerOptions options;
    options.inspect = [&](int rank, std::int64_t step, const RankState& state) {
        if (step + 1 != scenario.training.steps) return;
        std::vector<double> values;
        for (const ShardSlice& slice : state.slices()) {
            const std::vector<double> part = state.read(slice);
            values.insert(values.end(), part.begin(), part.end());
        }
        const std::lock_guard lock(mutex);
        run.values[rank] = std::move(values);
    };
    run.trace = make(std::move(options))->run(scenario, lower_tiny(scenario), {});
    return run;
}

Run run_threads(const Scenario& scenario) {
    return run_and_read(scenario, [](CpuRunnerOptions options) {
        return std::make_unique<CpuRunner>(std::move(options));
    });
}

std::vector<Scenario> scenarios_for(int ranks) {
    struct Case {
        int tp, pp, zero;
        ModelSpec model;
        DType precision;
        const char* name;
    };
    const std::vector<Case> cases{
        {1, 1, 0, tiny_mlp(), DType::fp32, "ddp"},
        {1, 1, 1, tiny_gpt(), DType::fp64, "zero-1"},
        {1, 1, 2, tiny_llama(), DType::fp32, "zero-2"},
        {1, 1, 3, tiny_gpt(), DType::bf16, "zero-3"},
        {2, 1, 0, tiny_gpt(), DType::fp32, "tp2"},
        {1, 2, 1, tiny_gpt(), DType::fp32, "pp2"},
        {2, 2, 3, tiny_llama(), DType::fp32, "tp2 x pp2 x zero-3"},
    };
    std::vector<Scenario> scenarios;
    for (const Case& c : cases) {
        if (ranks % (c.tp * c.pp) != 0) continue;
        Scenario s = tiny_scenario(c.model, ranks);
        s.training.global_batch = 2 * ranks;
        s.training.micro_batch = 1;
        s.training.precision = c.precision;
        s.training.clip = 0.5;
        s.training.steps = 3;
        Strategy& strategy = s.strategies[0];
        strategy.name = c.name;
        strategy.tp = c.tp;
        strategy.pp = c.pp;
        strategy.dp = ranks / (c.tp * c.pp);
        strategy.zero = c.zero;
        strategy.bucket = Bytes(4000);
        scenarios.push_back(std::move(s));
    }
    return scenarios;
}

}  // namespace shardscope::test
