#include "core/report/run_estimate.h"

#include <algorithm>
#include <cmath>

#include "core/lowering/plan.h"
#include "core/model/model.h"
#include "core/report/report.h"

namespace shardscope {
namespace {

constexpr double kHour = 3600;  // seconds
constexpr int kSimulatedRuns =
    1000;  // of Goodput: 5 % and 95 % are then some 2 % of the spread off

std::int64_t steps_of(const TrainingSpec& training, const Model& model) {
    if (!(training.tokens > 0)) return training.steps;
    const double per_step =
        static_cast<double>(training.global_batch) * static_cast<double>(model.seq);
    return std::max<std::int64_t>(1, std::llround(std::ceil(training.tokens / per_step)));
}

Watts mean_gpu_power(const Device& device, double utilisation) {
    if (device.kind != DeviceKind::gpu || !(device.power.value > 0)) return Watts(0);
    const Watts most =
        device.power_limit.value > 0 ? std::min(device.power, device.power_limit) : device.power;
    const Watts idle =
        std::min(most, device.idle_power.value > 0 ? device.idle_power : kIdlePart * device.power);
    return idle + utilisation * (most - idle);
}

Goodput goodput_of(const Scenario& scenario, const Plan& plan, Seconds work, int nodes) {
    const ClusterOperation& operation = scenario.cluster.operation;
    Goodput goodput;
    goodput.checkpoint = checkpoint_size(plan);
    FailureModel failures;
    failures.mtbf = operation.node_mtbf / nodes;
    failures.write = goodput.checkpoint / operation.storage_bandwidth;
    failures.restart = operation.restart_time;
    const auto& given = scenario.training.checkpoint_interval;
    goodput.best_interval = !given;
    failures.interval =
        std::min(work, given.value_or(best_checkpoint_interval(failures.write, failures.mtbf)));
    goodput.mtbf = failures.mtbf;
    goodput.write = failures.write;
    goodput.interval = failures.interval;
    goodput.restart = failures.restart;
    goodput.expected = expected_run_time(work, failures);
    goodput.part = work / goodput.expected;
    goodput.failures = goodput.expected / failures.mtbf;
    simulate_failures(work, failures, scenario.training.seed, kSimulatedRuns, goodput);
    return goodput;
}

}  // namespace

Seconds mean_step_time(const Result& result) {
    return result.variation ? result.variation->mean : result.step_time;
}

double utilisation(const Result& result) {
    if (const auto& varied = result.variation) return varied->busy / varied->mean;
    Seconds sum;
    for (const RankTrace& trace : result.ranks)
        if (!trace.steps.empty()) sum += trace.multiplicity * trace.steps.front().busy();
    return std::min(1.0, sum / (std::max(1, result.gpus()) * result.step_time));
}

std::optional<RunEstimate> estimate_run(const Scenario& scenario, const Plan& plan,
                                        const Result& result) {
    const Cluster& cluster = scenario.cluster;
    const ClusterOperation& operation = cluster.operation;
    const bool asked = operation != ClusterOperation{} || scenario.training.tokens > 0;
    const Seconds step = mean_step_time(result);
    if (!asked || !(step.value > 0)) return std::nullopt;
    const int gpus = result.gpus();
    const int nodes = (gpus + cluster.gpus_per_node - 1) / cluster.gpus_per_node;
    RunEstimate run;
    run.steps = steps_of(scenario.training, *plan.model);
    run.ideal = static_cast<double>(run.steps) * step;
    run.expected = run.ideal;
    if (operation.node_mtbf.value > 0) {
        run.goodput = goodput_of(scenario, plan, run.ideal, nodes);
        run.expected = run.goodput->expected;
    }
    run.gpu_hours = run.expected.value / kHour * gpus;
    run.price = run.gpu_hours * operation.price_per_gpu_hour;
    run.gpu_power = mean_gpu_power(cluster.device, utilisation(result));
    if (run.gpu_power.value > 0)
        run.power =
            operation.pue * (double(gpus) * run.gpu_power + double(nodes) * operation.node_power);
    run.step_energy = run.power * step;
    run.energy = run.power * run.expected;
    return run;
}

}  // namespace shardscope
