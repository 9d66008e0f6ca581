#include "cli/calibrate_collectives.h"

#include <algorithm>
#include <array>
#include <future>

#include <fmt/format.h>

#include "backends/cpu/thread_communicator.h"
#include "cli/collective_timing.h"

namespace shardscope {
namespace {

// The slowest rank's processor time, and rank 0's wall time, of every case.
std::vector<CollectiveTiming> run_ranks(const std::vector<CollectiveCase>& cases, int ranks) {
    auto groups = make_thread_communicators(ranks);
    std::vector<std::future<std::vector<CollectiveTiming>>> members;
    for (int rank = 0; rank < ranks; ++rank)
        members.push_back(std::async(std::launch::async, [&, rank] {
            Communicator& group = *groups[static_cast<std::size_t>(rank)];
            try {
                return time_collectives(cases, group);
            } catch (...) {
                group.abort();
                throw;
            }
        }));
    std::vector<CollectiveTiming> slowest = members[0].get();
    for (std::size_t rank = 1; rank < members.size(); ++rank) {
        const std::vector<CollectiveTiming> times = members[rank].get();
        for (std::size_t i = 0; i < times.size(); ++i)
            slowest[i].thread = std::max(slowest[i].thread, times[i].thread);
    }
    return slowest;
}

CollectiveGrid grid_for(int ranks, bool quick) {
    CollectiveGrid grid;
    grid.largest = quick || ranks > 2 ? 16 << 20 : 64 << 20;
    grid.factor = quick ? 16 : 4;
    grid.budget = quick ? 64 << 20 : 512 << 20;
    grid.most = quick ? 30 : 200;
    return grid;
}

}  // namespace

std::vector<CollectiveSample> measure_collectives(int cores, const CalibrateOptions& options,
                                                  const CalibrateProgress& progress) {
    std::vector<CollectiveSample> samples;
    for (const int ranks : {2, 4}) {
        progress(fmt::format("collectives of {} ranks", ranks), ranks == 2 ? 0.0 : 0.5);
        const auto list = collective_cases(grid_for(ranks, options.quick));
        const auto times = run_ranks(list, ranks);
        const double turns = std::max(1.0, ranks / static_cast<double>(cores));
        std::array<double, 3> latency{};  // by kind; the list begins with the smallest of each
        for (std::size_t i = 0; i < latency.size(); ++i)
            latency[i] = std::max(0.0, times[i].wall_low - times[i].thread * turns);
        for (std::size_t i = 0; i < list.size(); ++i)
            samples.push_back({list[i].name(), ranks, 1, list[i].bytes(),
                               Seconds(times[i].thread * turns + latency[i % latency.size()]),
                               times[i].spread});
    }
    return samples;
}

}  // namespace shardscope
