// The first strategy of a scenario, lowered and simulated.
#pragma once

#include "core/lowering/plan.h"
#include "core/report/trace.h"
#include "core/scenario.h"

namespace shardscope::test {

Plan first_plan(const Scenario& scenario);
StepTime first_step(const Scenario& scenario);  // of the first rank

}  // namespace shardscope::test
