#include "tests/simulator/first_strategy.h"

#include <memory>

#include "core/model/model.h"
#include "simulator/event_runner.h"

namespace shardscope::test {

Plan first_plan(const Scenario& scenario) {
    const auto model = std::make_shared<const Model>(build_model(scenario.model));
    return lower(scenario, model, scenario.strategies[0],
                 ExecutionTarget::of(scenario.cluster.device));
}

StepTime first_step(const Scenario& scenario) {
    return EventRunner().run(scenario, first_plan(scenario), {}).ranks[0].steps[0];
}

}  // namespace shardscope::test
