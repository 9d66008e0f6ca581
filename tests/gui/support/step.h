// Steps of shipped scenarios, simulated as the window's worker does, for tests of the timeline.
#pragma once

#include <fstream>
#include <sstream>
#include <string>

#include "core/report/evaluate.h"
#include "core/scenario_io.h"
#include "gui/models/step_detail.h"
#include "simulator/event_runner.h"

namespace shardscope::gui::test {

inline Scenario scenario_of(const std::string& name) {
    const std::string file = std::string(SHARDSCOPE_SOURCE_DIR "/scenarios/") + name + ".yaml";
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return parse_scenario(text.str(), file, {});
}

struct Step {
    std::shared_ptr<const StepDetail> detail;
    StrategyReport report;
};

// A strategy of the scenario; `strategy` is its name.
inline Step simulate_step_of(const Scenario& scenario, const std::string& strategy) {
    const auto model = std::make_shared<const Model>(build_model(scenario.model));
    for (std::size_t row = 0; row < scenario.strategies.size(); ++row) {
        if (scenario.strategies[row].name != strategy) continue;
        Candidate candidate = plan_strategy(scenario, model, scenario.strategies[row]);
        if (!candidate.plan) throw *candidate.report.error;
        RunOptions options;
        options.record_spans = step_events(*candidate.plan) <= kMostEvents;
        EventRunner runner;
        auto trace = simulate_candidate(scenario, candidate, runner, options);
        if (!trace) throw *candidate.report.error;
        Step step;
        step.report = candidate.report;
        step.detail = make_step_detail(
            1, row, std::make_shared<const Plan>(std::move(*candidate.plan)),
            std::make_shared<const Trace>(std::move(*trace)), *candidate.report.simulated);
        return step;
    }
    throw Error("test", "no strategy \"" + strategy + "\"", "");
}

inline Step step_of(const std::string& scenario, const std::string& strategy) {
    return simulate_step_of(scenario_of(scenario), strategy);
}

}  // namespace shardscope::gui::test
