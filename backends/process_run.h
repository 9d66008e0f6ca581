// The loop over the steps of a run whose ranks are processes: this process's side of it, whatever device
// its rank is on.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/process/message_link.h"
#include "backends/rank_run.h"
#include "core/lowering/plan.h"
#include "core/runner.h"

namespace shardscope {

struct ProcessRunOptions {
    // Called after each step on every process that has a rank; may change the state. Times do not
    // include it.
    std::function<void(int rank, std::int64_t step, const RankState& state)> inspect;
    // Makes this process's rank; not called where the plan has no work for it. All processes call it at
    // the same time, so it may communicate.
    std::function<std::unique_ptr<RankRun>()> make_rank;
    std::vector<std::string> notes;  // put before the trace's other notes
    int cores = 0;                   // of this machine, that its ranks share; 0: they share none
    // Whether MemoryUse::outside_plan is what the process takes of the host's memory (memory_probe.h).
    bool measures_host_memory = false;
};

// Every process of the link calls it with the same plan and options, and gets the same Trace, that of all
// ranks; run_options.on_step is called in all of them. A plan for fewer ranks than there are processes
// leaves the last ones idle. Each rank's memory outside the plan is measured by itself.
//
// An error of any rank aborts the link, so that nothing runs on it afterwards: this run and later ones
// throw, on rank 0 with the cause, its rank named. Throws "ranks" where there are too few processes.
Trace run_as_process(MessageLink& link, const Plan& plan, const ProcessRunOptions& options,
                     const RunOptions& run_options);

}  // namespace shardscope
