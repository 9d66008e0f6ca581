#include "simulator/event_runner.h"

#include <algorithm>

#include "simulator/event_engine.h"

namespace shardscope {
namespace {

MemoryUse planned_memory(const MemoryPlan& plan) {
    MemoryUse use;
    use.categories = plan.categories;
    use.peak = plan.peak();
    use.peak_phase = plan.peak_phase;
    use.runtime = plan.runtime_parts;
    use.beside = plan.beside;
    return use;
}

int ranks_per_node(const Program& program, const Cluster& cluster) {
    std::size_t ranks = 0;
    for (const RoleProgram& role : program.roles) ranks += role.ranks.size();
    const auto nodes = static_cast<std::size_t>(std::max(1, cluster.nodes));
    return static_cast<int>((ranks + nodes - 1) / nodes);
}

}  // namespace

Trace EventRunner::run(const Scenario& scenario, const Plan& plan, const RunOptions& options) {
    const Cluster& cluster = scenario.cluster;
    auto timelines =
        simulate_step(plan.program, cluster, options.record_spans, plan.strategy.profile);
    Trace trace;
    for (std::size_t i = 0; i < timelines.size(); ++i) {
        const RoleProgram& role = plan.program.roles[i];
        RankTrace& rank = trace.ranks.emplace_back();
        rank.rank = role.ranks.front();
        rank.multiplicity = static_cast<int>(role.ranks.size());
        rank.steps.push_back(timelines[i].time);
        rank.spans = std::move(timelines[i].spans);
        rank.memory = planned_memory(plan.memory[i]);
    }
    const int ranks = ranks_per_node(plan.program, cluster), threads = plan.target.threads;
    if (cluster.cores > 0 && ranks * threads > cluster.cores)
        trace.notes.push_back(
            std::to_string(ranks) + (ranks == 1 ? " rank" : " ranks") +
            (threads > 1 ? " of " + std::to_string(threads) + " threads share " : " share ") +
            std::to_string(cluster.cores) +
            " cores: times are those of shared cores, not of one core per " +
            (threads > 1 ? "thread" : "rank"));
    return trace;
}

}  // namespace shardscope
