#include "core/report/evaluate.h"

#include <algorithm>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "core/strategy/product_limits.h"
#include "core/version.h"

namespace shardscope {
namespace {

std::string describe_layout(const Plan& plan) {
    return fmt::format("{}, {} × {} samples", layout_of(plan.strategy, plan.layout.dp),
                       plan.layout.micro_batches, plan.layout.micro_batch);
}

// What the simulated time leaves out where a product's memory is nearly full.
std::optional<std::string> retries_note(const Candidate& candidate) {
    std::int64_t most = 0;
    for (const MemoryPlan& memory : candidate.plan->memory) most = std::max(most, memory.retries);
    if (most == 0 || candidate.report.status != Status::fits) return std::nullopt;
    return fmt::format(
        "{}: memory is nearly full: the caching allocator gives back what is free at least {} "
        "time{} a step before it can take more, and waits for the device, which the simulated time "
        "leaves out",
        candidate.report.name, most, most == 1 ? "" : "s");
}

}  // namespace

Context describe_context(const Scenario& scenario, const Machine& machine, std::string backend) {
    Context context;
    context.host = machine.host;
    context.date = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
    context.version = SHARDSCOPE_VERSION;
    context.compiler = __VERSION__;
    context.backend = std::move(backend);
    context.calibration = scenario.cluster.device.calibration.date;
    return context;
}

void set_error(StrategyReport& report, const Error& error) {
    report.status = error.kind == ErrorKind::invalid_input ? Status::invalid : Status::failed;
    report.error = error;
}

Bytes largest_peak(const Plan& plan) {
    Bytes peak;
    for (const MemoryPlan& memory : plan.memory) peak = std::max(peak, memory.peak());
    return peak;
}

BesideDevice largest_beside(const Plan& plan, const Cluster& cluster) {
    BesideDevice largest;
    const auto offloads = [](const MemoryPlan& memory) { return memory.beside.any(); };
    if (std::ranges::none_of(plan.memory, offloads)) return largest;
    for (int first = 0; first < plan.layout.world; first += cluster.gpus_per_node) {
        BesideDevice node;
        const int last = std::min(plan.layout.world, first + cluster.gpus_per_node);
        for (int rank = first; rank < last; ++rank) {
            const BesideDevice& mine = plan.memory_of(Rank(rank)).beside;
            node.host += mine.host;
            node.nvme += mine.nvme;
        }
        largest.host = std::max(largest.host, node.host);
        largest.nvme = std::max(largest.nvme, node.nvme);
    }
    return largest;
}

Candidate plan_strategy(const Scenario& scenario, const std::shared_ptr<const Model>& model,
                        const Strategy& strategy, bool cudnn_attention) {
    Candidate candidate;
    candidate.report.name = strategy.name;
    const Device& device = scenario.cluster.device;
    try {
        ExecutionTarget target = ExecutionTarget::of(device);
        target.cudnn_attention = cudnn_attention && scenario.training.precision == DType::bf16;
        candidate.plan = lower(scenario, model, strategy, target);
        candidate.report.layout = describe_layout(*candidate.plan);
        const BesideDevice beside = largest_beside(*candidate.plan, scenario.cluster);
        const NodeHost& host = scenario.cluster.host;
        if (beside.host > host.memory) candidate.report.exceeded.push_back(Tier::host);
        if (beside.nvme > host.nvme) candidate.report.exceeded.push_back(Tier::nvme);
        const bool fits =
            largest_peak(*candidate.plan) <= device.memory && candidate.report.exceeded.empty();
        candidate.report.status = fits ? Status::fits : Status::does_not_fit;
    } catch (const Error& error) {
        set_error(candidate.report, error);
    }
    return candidate;
}

std::optional<Trace> simulate_candidate(const Scenario& scenario, Candidate& candidate,
                                        Runner& simulator, const RunOptions& options) {
    if (!candidate.plan) return std::nullopt;
    try {
        Trace trace = simulator.run(scenario, *candidate.plan, options);
        Result& result =
            candidate.report.simulated.emplace(summarise(trace, *candidate.plan, scenario.cluster));
        if (const auto limit = beyond_product(candidate.plan->strategy))
            result.notes.push_back(fmt::format(
                "{}: profile {} cannot run this, what it would take is simulated all the same: {}",
                candidate.report.name, name_of(candidate.plan->strategy.profile), *limit));
        if (auto note = retries_note(candidate)) result.notes.push_back(*std::move(note));
        return trace;
    } catch (const Error& error) {
        set_error(candidate.report, error);
        return std::nullopt;
    }
}

void add_estimates(const Scenario& scenario, Candidate& candidate,
                   const std::vector<AccuracyRow>& accuracy) {
    if (!candidate.plan || !candidate.report.simulated) return;
    Result& result = *candidate.report.simulated;
    result.run = estimate_run(scenario, *candidate.plan, result);
    result.basis = basis_of(scenario, candidate.plan->strategy, accuracy);
}

Result summarise(const Trace& trace, const Plan& plan, const Cluster& cluster) {
    Result result = summarise(trace, plan, cluster.device, cluster.cores * cluster.nodes);
    result.node_beside = largest_beside(plan, cluster);
    if (result.node_beside.any()) result.node_capacity = {cluster.host.memory, cluster.host.nvme};
    return result;
}

}  // namespace shardscope
