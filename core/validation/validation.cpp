#include "core/validation/validation.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

namespace shardscope {
namespace {

using Picked = std::optional<PredictedAndMeasured>;

Picked time_of(const ValidatedRun& run) {
    if (!run.has_time()) return std::nullopt;
    return PredictedAndMeasured{run.run.id, run.prediction.time.wall.value,
                                *run.run.measured_step_time()};
}

Picked memory_of(const ValidatedRun& run) {
    if (!run.has_memory()) return std::nullopt;
    return PredictedAndMeasured{run.run.id, gib(*run.prediction.peak), *run.run.peak_memory_gib};
}

// Runs that are summed up together.
struct Group {
    std::string kind, family;
    std::vector<PredictedAndMeasured> runs;
};

// `kinds`: runs of another memory_kind are another group.
std::vector<ErrorGroup> errors_by_group(const Validation& validation,
                                        Picked (*pick)(const ValidatedRun&), bool kinds) {
    std::vector<Group> groups;
    Group all;
    for (const ValidatedRun& run : validation.runs) {
        const Picked picked = pick(run);
        if (!picked) continue;
        const std::string kind = kinds ? run.memory_kind() : "";
        auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) {
            return g.kind == kind && g.family == run.run.family;
        });
        if (group == groups.end()) group = groups.insert(group, {kind, run.run.family, {}});
        group->runs.push_back(*picked);
        all.runs.push_back(*picked);
    }
    groups.push_back(std::move(all));
    std::vector<ErrorGroup> errors;
    for (const Group& group : groups)
        errors.push_back({group.kind, group.family, statistics_of(group.runs)});
    return errors;
}

std::vector<SkipGroup> by_reason(const Validation& validation,
                                 const std::optional<Error> Prediction::*why) {
    std::vector<SkipGroup> groups;
    for (const ValidatedRun& run : validation.runs) {
        if (!(run.prediction.*why)) continue;
        const std::string reason = reason_of(*(run.prediction.*why));
        auto group = std::find_if(groups.begin(), groups.end(),
                                  [&](const SkipGroup& g) { return g.reason == reason; });
        if (group == groups.end()) group = groups.insert(group, {reason, {}});
        group->ids.push_back(run.run.id);
    }
    return groups;
}

Verdicts verdicts_of(const Validation& validation, bool out_of_memory) {
    Verdicts verdicts;
    for (const auto& [run, prediction] : validation.runs) {
        if (prediction.skipped || run.out_of_memory != out_of_memory) continue;
        (prediction.fits ? verdicts.fits : verdicts.does_not_fit).push_back(run.id);
    }
    return verdicts;
}

}  // namespace

bool ValidatedRun::has_time() const {
    return !prediction.skipped && run.measured_step_time().has_value();
}

bool ValidatedRun::has_memory() const {
    return !prediction.skipped && prediction.peak.has_value() && run.peak_memory_gib.has_value();
}

std::string ValidatedRun::memory_kind() const {
    return run.memory_kind.empty() && run.peak_memory_gib ? "allocated" : run.memory_kind;
}

std::size_t Validation::skipped() const {
    return static_cast<std::size_t>(std::count_if(
        runs.begin(), runs.end(), [](const ValidatedRun& run) { return run.prediction.skipped; }));
}

Bytes predicted_peak(const std::string& memory_kind, const Plan& plan) {
    const auto largest = [&](auto part) {
        Bytes peak;
        for (const MemoryPlan& memory : plan.memory) peak = std::max(peak, part(memory));
        return peak;
    };
    if (memory_kind.empty() || memory_kind == "allocated")
        return largest([](const MemoryPlan& m) { return m.caching ? m.live_peak : m.arena; });
    if (memory_kind == "reserved") return largest([](const MemoryPlan& m) { return m.arena; });
    if (memory_kind == "process") return largest([](const MemoryPlan& m) { return m.peak(); });
    throw Error("memory-kind", fmt::format("unknown memory_kind \"{}\"", memory_kind),
                "use \"allocated\", \"reserved\" or \"process\"");
}

std::vector<ErrorGroup> time_errors(const Validation& validation) {
    return errors_by_group(validation, time_of, false);
}

std::vector<ErrorGroup> memory_errors(const Validation& validation) {
    return errors_by_group(validation, memory_of, true);
}

std::vector<ErrorGroup> memory_errors_by_family(const Validation& validation) {
    return errors_by_group(validation, memory_of, false);
}

Verdicts verdicts_of_made(const Validation& validation) { return verdicts_of(validation, false); }

Verdicts verdicts_of_out_of_memory(const Validation& validation) {
    return verdicts_of(validation, true);
}

std::vector<SkipGroup> skipped_rows(const Validation& validation) {
    return by_reason(validation, &Prediction::skipped);
}

std::vector<SkipGroup> skipped_memory(const Validation& validation) {
    return by_reason(validation, &Prediction::no_peak);
}

std::string reason_of(const Error& error) { return error.what(); }

}  // namespace shardscope
