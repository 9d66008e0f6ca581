#include "core/report/run_text.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/report/figures.h"
#include "core/report/text_table.h"

namespace shardscope {
namespace {

struct Scale {
    double factor;
    const char* name;
};
constexpr Scale kTimeScales[] = {{86400, "days"}, {3600, "hours"}, {60, "min"}, {1, "s"}};
constexpr Scale kEnergyScales[] = {{3.6e12, "GWh"}, {3.6e9, "MWh"}, {3.6e6, "kWh"}, {3.6e3, "Wh"}};
constexpr Scale kPowerScales[] = {{1e6, "MW"}, {1e3, "kW"}, {1, "W"}};
constexpr Scale kSizeScales[] = {{kGiB * 1024, "TiB"}, {kGiB, "GiB"}, {kGiB / 1024, "MiB"}};

// The largest unit of which the value has one, else the smallest.
template <std::size_t kCount>
Scale scale_of(const Scale (&scales)[kCount], double value) {
    for (const Scale& scale : scales)
        if (value >= scale.factor) return scale;
    return scales[kCount - 1];
}

std::string in(const Scale& scale, double value) {
    if (!std::isfinite(value)) return kUnknown;
    const double scaled = value / scale.factor;
    if (scaled < 1) return format_amount(scaled);
    return fmt::format("{:.{}f}", scaled, scaled >= 100 ? 1 : scaled >= 10 ? 2 : 3);
}

// Largest finite value of a figure among the strategies that have an estimate.
template <class Figure>
double largest(const Report& report, const Figure& figure) {
    double most = 0;
    for (const StrategyReport& strategy : report.strategies)
        if (strategy.simulated && strategy.simulated->run)
            if (const double value = figure(*strategy.simulated->run); std::isfinite(value))
                most = std::max(most, value);
    return most;
}

TextTable cost_table(const Report& report) {
    const Scale time =
        scale_of(kTimeScales, largest(report, [](const RunEstimate& r) { return r.ideal.value; }));
    const Scale power =
        scale_of(kPowerScales, largest(report, [](const RunEstimate& r) { return r.power.value; }));
    const Scale step = scale_of(
        kEnergyScales, largest(report, [](const RunEstimate& r) { return r.step_energy.value; }));
    const Scale energy = scale_of(
        kEnergyScales, largest(report, [](const RunEstimate& r) { return r.energy.value; }));
    TextTable table;
    table.add_column("strategy", TextTable::Align::left);
    table.add_column("steps");
    table.add_column(fmt::format("time\n{}", time.name));
    table.add_column("GPU-hours");
    table.add_column("power of\na GPU\nW");
    table.add_column(fmt::format("power\n{}", power.name));
    table.add_column(fmt::format("energy of\na step\n{}", step.name));
    table.add_column(fmt::format("energy\n{}", energy.name));
    table.add_column("price");
    for (const StrategyReport& strategy : report.strategies) {
        if (!strategy.simulated || !strategy.simulated->run) continue;
        const RunEstimate& run = *strategy.simulated->run;
        const bool powered = run.power.value > 0;
        table.add_row({strategy.name, format_count(run.steps), in(time, run.expected.value),
                       format_amount(run.gpu_hours),
                       powered ? fmt::format("{:.0f}", run.gpu_power.value) : kUnknown,
                       powered ? in(power, run.power.value) : kUnknown,
                       powered ? in(step, run.step_energy.value) : kUnknown,
                       powered ? in(energy, run.energy.value) : kUnknown,
                       run.price > 0 ? format_amount(run.price) : kUnknown});
    }
    return table;
}

TextTable failure_table(const Report& report) {
    const Scale time =
        scale_of(kTimeScales, largest(report, [](const RunEstimate& r) { return r.ideal.value; }));
    const auto of_goodput = [&](auto member) {
        return largest(report, [member](const RunEstimate& r) {
            return r.goodput ? static_cast<double>(((*r.goodput).*member).value) : 0;
        });
    };
    const Scale mtbf = scale_of(kTimeScales, of_goodput(&Goodput::mtbf));
    const Scale interval = scale_of(kTimeScales, of_goodput(&Goodput::interval));
    const Scale size = scale_of(kSizeScales, of_goodput(&Goodput::checkpoint));
    TextTable table;
    table.add_column("strategy", TextTable::Align::left);
    table.add_column(fmt::format("between\nfailures\n{}", mtbf.name));
    table.add_column(fmt::format("check-\npoint\n{}", size.name));
    table.add_column("its\nwriting\ns");
    table.add_column(fmt::format("written\nevery\n{}", interval.name));
    table.add_column("failures");
    table.add_column("goodput\n%");
    table.add_column(fmt::format("without\nthem\n{}", time.name));
    table.add_column(fmt::format("expected\n\n{}", time.name));
    for (const char* part : {"5 %", "50 %", "95 %"})
        table.add_column(fmt::format("{} of\nruns below\n{}", part, time.name));
    for (const StrategyReport& strategy : report.strategies) {
        if (!strategy.simulated || !strategy.simulated->run) continue;
        const RunEstimate& run = *strategy.simulated->run;
        if (!run.goodput) continue;
        const Goodput& goodput = *run.goodput;
        std::vector<std::string> row{
            strategy.name,
            in(mtbf, goodput.mtbf.value),
            in(size, static_cast<double>(goodput.checkpoint.value)),
            format_amount(goodput.write.value),
            in(interval, goodput.interval.value) + (goodput.best_interval ? " (best)" : ""),
            format_amount(goodput.failures),
            format_percent(goodput.part),
            in(time, run.ideal.value),
            in(time, goodput.expected.value)};
        for (const Seconds part : {goodput.p5, goodput.p50, goodput.p95})
            row.push_back(goodput.runs > 0 ? in(time, part.value) : kUnknown);
        table.add_row(std::move(row));
    }
    return table;
}

// Why the expected time of some strategies is not known.
std::string endless_remark(const Report& report) {
    std::string names;
    for (const StrategyReport& strategy : report.strategies) {
        if (!strategy.simulated || !strategy.simulated->run) continue;
        if (!std::isfinite(strategy.simulated->run->expected.value))
            names.append(names.empty() ? "" : ", ").append(strategy.name);
    }
    if (names.empty()) return "";
    return fmt::format(
        "{} would hardly ever end: with failures a run takes more than {:.0f} times as long as "
        "without.\n",
        names, kMostSlowdown);
}

std::string run_heading(const Scenario& scenario) {
    const double tokens = scenario.training.tokens;
    if (tokens > 0) return fmt::format("The whole run of {} tokens", format_count(tokens));
    return fmt::format("A run of {} steps", format_count(scenario.training.steps));
}

// What of the table is not known.
std::string missing_remarks(const Scenario& scenario) {
    const ClusterOperation& operation = scenario.cluster.operation;
    std::string text;
    if (!(operation.price_per_gpu_hour > 0))
        text += "The cluster states no operation.price_per_gpu_hour: the price is not known.\n";
    if (!(operation.node_mtbf.value > 0))
        text += fmt::format("The cluster states no operation.node_mtbf: {}.\n",
                            scenario.training.checkpoint_interval
                                ? "neither failures nor checkpoints take time, whatever "
                                  "training.checkpoint_interval says"
                                : "nothing fails, and no checkpoint is written");
    return text;
}

// What the power of the table leaves out or takes for granted.
std::string power_remarks(const Cluster& cluster) {
    if (cluster.device.kind != DeviceKind::gpu) return "";
    if (!(cluster.device.power.value > 0))
        return "The cluster states no device.power: energy is not known.\n";
    std::string text;
    if (!(cluster.device.idle_power.value > 0))
        text += fmt::format(
            "A waiting GPU is taken to draw {:.0f} % of its power; "
            "state device.idle_power if it is known.\n",
            100 * kIdlePart);
    if (!(cluster.operation.node_power.value > 0))
        text += "Power is that of GPUs alone: the cluster states no operation.node_power.\n";
    return text;
}

}  // namespace

std::string run_text(const Report& report) {
    const TextTable cost = cost_table(report);
    if (cost.empty()) return "";
    std::string text = fmt::format("\n{}\n\n{}", run_heading(report.scenario), cost.to_string());
    text += missing_remarks(report.scenario) + power_remarks(report.scenario.cluster);
    const auto varies = [](const StrategyReport& s) {
        return s.simulated && s.simulated->variation;
    };
    if (std::ranges::any_of(report.strategies, varies))
        text += "A step takes the mean of those where ranks do not run alike.\n";
    const TextTable failures = failure_table(report);
    if (!failures.empty())
        text += fmt::format("\nFailures and checkpoints\n\n{}{}", failures.to_string(),
                            endless_remark(report));
    return text;
}

}  // namespace shardscope
