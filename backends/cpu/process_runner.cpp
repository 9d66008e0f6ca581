#include "backends/cpu/process_runner.h"

#include <memory>
#include <thread>

#include "backends/cpu/cpu_rank.h"
#include "backends/cpu/kernels/gemm.h"
#include "backends/process_run.h"

namespace shardscope {

Trace ProcessRunner::run(const Scenario& scenario, const Plan& plan, const RunOptions& options) {
    check_runnable(plan, options_);
    std::unique_ptr<DataSource> data;
    ProcessRunOptions how;
    how.inspect = options_.inspect;
    how.measures_host_memory = true;
    how.cores = static_cast<int>(std::thread::hardware_concurrency());
    how.make_rank = [&] {
        cpu::use_one_thread();
        data = open_data(scenario.data, *plan.model, plan.training.seed);
        return std::make_unique<CpuRank>(plan, link_.rank(), *data,
                                         make_process_communicators(plan.program, link_),
                                         CpuExecutorOptions{options_.communication_delay});
    };
    return run_as_process(link_, plan, how, options);
}

}  // namespace shardscope
