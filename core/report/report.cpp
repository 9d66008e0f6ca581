#include "core/report/report.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace shardscope {
namespace {

StepTime mean(const StepTime& a, const StepTime& b) {
    StepTime result;
    for (const auto part : {&StepTime::wall, &StepTime::compute, &StepTime::exposed_communication,
                            &StepTime::bubble, &StepTime::optimizer}) {
        result.*part = (a.*part + b.*part) / 2.0;
    }
    return result;
}

// The step whose wall time is the median. Of an even number of steps, the two middle ones are
// averaged part by part, so that the parts still sum to the wall time.
StepTime median_step(std::vector<StepTime> steps) {
    if (steps.empty()) {
        StepTime none;
        none.wall = Seconds(std::numeric_limits<double>::quiet_NaN());
        return none;
    }
    std::stable_sort(steps.begin(), steps.end(),
                     [](const StepTime& a, const StepTime& b) { return a.wall < b.wall; });
    const std::size_t middle = steps.size() / 2;
    return steps.size() % 2 == 1 ? steps[middle] : mean(steps[middle - 1], steps[middle]);
}

// Ranks that wait for each other end together, and which of them is last by a hair says nothing: of those that take
// as long as the slowest, but for a thousandth, the one that computes most.
StepTime slowest_median(const std::vector<RankTrace>& ranks) {
    constexpr double kTogether = 1e-3;
    std::vector<StepTime> medians;
    StepTime slowest = median_step({});
    for (const RankTrace& rank : ranks) {
        medians.push_back(median_step(rank.steps));
        if (!(medians.back().wall <= slowest.wall)) slowest = medians.back();  // also replaces NaN
    }
    StepTime busiest = slowest;
    for (const StepTime& median : medians)
        if (median.wall >= (1 - kTogether) * slowest.wall && median.compute > busiest.compute)
            busiest = median;
    busiest.bubble += slowest.wall - busiest.wall;
    busiest.wall = slowest.wall;
    return busiest;
}

// All of it but the spans, which stay the trace's: there may be millions.
RankTrace without_spans(const RankTrace& trace) {
    RankTrace copy;
    copy.rank = trace.rank;
    copy.multiplicity = trace.multiplicity;
    copy.steps = trace.steps;
    copy.memory = trace.memory;
    return copy;
}

// One entry per rank where the simulator gave one per role.
std::vector<RankTrace> expanded(const std::vector<RankTrace>& traces, const Plan& plan) {
    std::vector<RankTrace> result;
    for (const RankTrace& trace : traces) {
        result.push_back(without_spans(trace));
        if (trace.multiplicity == 1 || plan.layout.world > kExpandedRanks) continue;
        const std::vector<Rank>& ranks = plan.program.roles[plan.program.role_of(trace.rank)].ranks;
        // A runner may split roles further; then only it knows which ranks an entry stands for.
        if (ranks.size() != static_cast<std::size_t>(trace.multiplicity)) continue;
        result.back().multiplicity = 1;
        RankTrace copy = result.back();
        for (const Rank rank : ranks) {
            if (rank == trace.rank) continue;
            copy.rank = rank;
            result.push_back(copy);
        }
    }
    std::stable_sort(result.begin(), result.end(),
                     [](const RankTrace& a, const RankTrace& b) { return a.rank < b.rank; });
    return result;
}

double model_flops_utilisation(const Plan& plan, const Device& device, int shared_cores,
                               Seconds step_time) {
    const FlopsPerSecond peak = device.peak_of(plan.training.arithmetic());
    if (!(peak.value > 0)) return 0;
    const int ranks = plan.layout.world * plan.target.threads;
    const int devices = shared_cores > 0 ? std::min(ranks, shared_cores) : ranks;
    const double flops = plan.model->training_flops_per_sample().value *
                         static_cast<double>(plan.training.global_batch);
    return flops / (step_time.value * devices * peak.value);
}

}  // namespace

std::string_view status_name(Status status) {
    switch (status) {
        case Status::fits:
            return "fits";
        case Status::does_not_fit:
            return "does_not_fit";
        case Status::invalid:
            return "invalid";
        case Status::failed:
            break;
    }
    return "failed";
}

std::string verdict_text(const StrategyReport& report) {
    if (report.status != Status::does_not_fit) return std::string(status_name(report.status));
    std::string text = "does not fit";
    for (const Tier tier : report.exceeded) {
        text += tier == report.exceeded.front() ? ": " : ", ";
        text += tier_name(tier);
    }
    return text;
}

const MemoryUse& Result::peak_memory() const {
    for (const RankTrace& trace : ranks)
        if (trace.rank == peak_rank) return trace.memory;
    static const MemoryUse none;
    return none;
}

int Result::gpus() const {
    int count = 0;
    for (const RankTrace& trace : ranks) count += trace.multiplicity;
    return count;
}

std::vector<std::string> all_notes(const Report& report) {
    std::vector<std::string> notes;
    const auto add = [&](const std::vector<std::string>& more) {
        for (const std::string& note : more)
            if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
    };
    add(report.context.notes);
    for (const StrategyReport& strategy : report.strategies)
        for (const auto* result : {&strategy.simulated, &strategy.measured})
            if (*result) add((*result)->notes);
    return notes;
}

std::vector<RankGroup> rank_groups(const Result& result) {
    std::vector<RankGroup> groups;
    for (const RankTrace& trace : result.ranks) {
        const int last = trace.rank.value + trace.multiplicity - 1;
        const MemoryUse& memory = trace.memory;
        if (!groups.empty() && groups.back().memory->categories == memory.categories)
            groups.back().last = last;
        else
            groups.push_back({trace.rank.value, last, &memory});
    }
    return groups;
}

Result summarise(const Trace& trace, const Plan& plan, const Device& device, int shared_cores) {
    Result result;
    result.ranks = expanded(trace.ranks, plan);
    result.time = slowest_median(result.ranks);
    result.step_time = result.time.wall;
    const double tokens =
        static_cast<double>(plan.training.global_batch) * static_cast<double>(plan.model->seq);
    result.tokens_per_s = tokens / result.step_time.value;
    result.tokens_per_s_per_gpu = result.tokens_per_s / plan.layout.world;
    result.mfu = model_flops_utilisation(plan, device, shared_cores, result.step_time);
    result.losses = trace.losses;
    result.capacity = device.memory;
    const auto largest = std::max_element(
        result.ranks.begin(), result.ranks.end(),
        [](const RankTrace& a, const RankTrace& b) { return a.memory.peak < b.memory.peak; });
    if (largest != result.ranks.end()) result.peak_rank = largest->rank;
    result.notes = trace.notes;
    return result;
}

}  // namespace shardscope
