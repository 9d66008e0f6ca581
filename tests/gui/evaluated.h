// Scenarios evaluated for real, as `shardscope simulate` does, for tests of what shows them.
#pragma once

#include <string>

#include "core/report/evaluate.h"
#include "core/scenario_io.h"
#include "gui/models/evaluation.h"
#include "simulator/event_runner.h"

namespace shardscope::gui::test {

inline Evaluation evaluated(Scenario scenario) {
    Evaluation evaluation;
    const auto model = std::make_shared<const Model>(build_model(scenario.model));
    EventRunner simulator;
    for (const Strategy& strategy : scenario.strategies) {
        Candidate candidate = plan_strategy(scenario, model, strategy);
        simulate_candidate(scenario, candidate, simulator);
        evaluation.report.strategies.push_back(std::move(candidate.report));
    }
    evaluation.model = model;
    evaluation.report.scenario = std::move(scenario);
    return evaluation;
}

// Of scenarios/.
inline Evaluation evaluated(const std::string& name) {
    return evaluated(load_scenario(SHARDSCOPE_SOURCE_DIR "/scenarios/" + name, {}));
}

// The comparison that the window shows first. Evaluated once: tests only read it.
inline const Evaluation& comparison() {
    static const Evaluation evaluation = evaluated("gpt-13b-16-gpus.yaml");
    return evaluation;
}

}  // namespace shardscope::gui::test
