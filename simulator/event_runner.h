// The simulated counterpart of a real backend: a Plan in, a Trace out, nothing executed.
#pragma once

#include "core/runner.h"

namespace shardscope {

// Simulates one step with the event engine; steps are alike, so the Trace holds one. One RankTrace
// per role, with the number of ranks that it stands for; losses and gradient norms stay empty.
// Memory is the plan's. Stateless: one object may serve any number of threads.
class EventRunner : public Runner {
public:
    std::string_view name() const override { return "simulator"; }
    Trace run(const Scenario& scenario, const Plan& plan, const RunOptions& options) override;
};

}  // namespace shardscope
