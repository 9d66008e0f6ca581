#include "tests/cuda/gpu_ranks.h"

#include <algorithm>
#include <chrono>

#include "backends/cuda/runner.h"
#include "tests/support/tcp_ranks.h"
#include "tests/support/tiny.h"

namespace shardscope::test {
namespace {

// The ranks' traces are all the same.
std::vector<std::optional<Error>> run_ranks(const Scenario& scenario, const Plan& plan,
                                            const GpuRun& run, const Inspect& inspect,
                                            Trace& trace) {
    host_device::Settings settings = run.settings;
    const int ranks = plan.layout.world;
    settings.devices = std::max(settings.devices, ranks);
    host_device::reset(settings);
    if (run.prepare) run.prepare();
    return on_tcp_links(ranks, [&](int r, MessageLink& link) {
        CudaOptions options = run.options;
        options.device = r;
        Trace own = cuda::CudaRunner(options, &link, {inspect}).run(scenario, plan, {});
        if (r == 0) trace = std::move(own);
    });
}

}  // namespace

Scenario on_gpus(Scenario scenario) {
    scenario.cluster.device.kind = DeviceKind::gpu;
    return scenario;
}

Trained train_on_gpus(const Scenario& scenario, const GpuRun& run) {
    const auto run_plan = [&](const Plan& plan, const Inspect& inspect) {
        Trace trace;
        for (const auto& error : run_ranks(scenario, plan, run, inspect, trace)) {
            if (error) throw *error;
        }
        return trace;
    };
    Tampering tampering;
    tampering.state = run.inspect;
    return train_with(run_plan, on_gpus(scenario), tampering);
}

Failures failures_on_gpus(const Scenario& scenario, const GpuRun& run) {
    const auto start = std::chrono::steady_clock::now();
    Trace trace;
    const Scenario with_gpus = on_gpus(scenario);
    Failures failures;
    failures.of_rank = run_ranks(with_gpus, lower_tiny(with_gpus), run, run.inspect, trace);
    failures.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return failures;
}

}  // namespace shardscope::test
