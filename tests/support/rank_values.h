// What every rank of a run holds, to compare runs on different transports bit for bit.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "backends/cpu/cpu_runner.h"
#include "core/scenario.h"

namespace shardscope::test {

// After the last step, by rank: the values of all its slices, one after the other.
using RankValues = std::map<int, std::vector<double>>;

struct Run {
    Trace trace;
    RankValues values;  // of the ranks that ran in this process
};

// Runs the scenario's first strategy with the runner that `make` makes of the options it gets.
using MakeRunner = std::function<std::unique_ptr<Runner>(CpuRunnerOptions)>;
Run run_and_read(const Scenario& scenario, const MakeRunner& make);

// On threads of this process.
Run run_threads(const Scenario& scenario);

// A strategy on as many ranks as there are processes: every kind of communicator is used by some.
std::vector<Scenario> scenarios_for(int ranks);

}  // namespace shardscope::test
