// From a strategy to its report: what every program does that shows one (command line, GUI, search).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/machine.h"
#include "core/report/basis.h"
#include "core/report/report.h"
#include "core/runner.h"

namespace shardscope {

// Who made a report of the scenario, and when: now. `backend`: Context::backend.
Context describe_context(const Scenario& scenario, const Machine& machine, std::string backend);

// One strategy on its way: planned, then simulated, measured or both.
struct Candidate {
    StrategyReport report;
    std::optional<Plan> plan;  // empty: it could not be planned, and report.error says why
};

// What the planner could not plan is invalid; what then goes wrong has failed.
void set_error(StrategyReport& report, const Error& error);

// The largest peak of any rank: what must fit into a device.
Bytes largest_peak(const Plan& plan);

// What the ranks of a node have beside their devices together, of the node that has most of each.
BesideDevice largest_beside(const Plan& plan, const Cluster& cluster);

// Lowers the strategy and gives the verdict fits, does_not_fit (a device, or the host's memory or NVMe of a
// node) or invalid. Never throws for what is
// wrong with the strategy. `cudnn_attention`: ExecutionTarget's. Thread-safe.
Candidate plan_strategy(const Scenario& scenario, const std::shared_ptr<const Model>& model,
                        const Strategy& strategy, bool cudnn_attention = false);

// Simulates a candidate, whether it fits or not, and fills report.simulated; errors become its status.
// Returns the trace, empty without a plan or with an error. Thread-safe for different runners, and for
// one whose run() is.
std::optional<Trace> simulate_candidate(const Scenario& scenario, Candidate& candidate,
                                        Runner& simulator, const RunOptions& options = {});

// What the run as a whole takes, and what the figures rest on, to a simulated report; nothing to others.
// `accuracy`: shipped_accuracy().
void add_estimates(const Scenario& scenario, Candidate& candidate,
                   const std::vector<AccuracyRow>& accuracy);

// summarise() for the scenario's cluster.
Result summarise(const Trace& trace, const Plan& plan, const Cluster& cluster);

}  // namespace shardscope
