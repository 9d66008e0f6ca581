// Runs a Plan on CPU ranks that are processes: this process is one of them.
#pragma once

#include "backends/cpu/cpu_runner.h"
#include "backends/process/message_link.h"

namespace shardscope {

// Every process of the link calls run() with the same scenario, plan and options, and gets the same
// Trace, that of all ranks; options.on_step is called in all of them. A plan for fewer ranks than there
// are processes leaves the last ones idle. Weights, losses and norms have the bits that CpuRunner's
// have. Each rank's memory outside the plan is measured by itself.
//
// An error of any rank aborts the link, so that nothing runs on it afterwards: this run and later ones
// throw, on rank 0 with the cause, its rank named.
class ProcessRunner final : public Runner {
public:
    explicit ProcessRunner(MessageLink& link, CpuRunnerOptions options = {})
        : link_(link), options_(std::move(options)) {}

    std::string_view name() const override { return "cpu processes"; }
    Trace run(const Scenario& scenario, const Plan& plan, const RunOptions& options) override;

private:
    MessageLink& link_;
    CpuRunnerOptions options_;
};

}  // namespace shardscope
