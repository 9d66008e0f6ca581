#include "cli/calibrate_processes.h"

#include <algorithm>

#include <fmt/format.h>

#include "backends/process/message_communicator.h"
#include "cli/collective_timing.h"

namespace shardscope {
namespace {

constexpr std::uint32_t kFirstChannel = 2000;  // runs and Processes take lower ones

struct MeasuredGroup {
    std::vector<Rank> members;
    int hosts = 1;
    bool transfers = false;  // else collectives
};

std::vector<Rank> ranks(int count, int stride = 1) {
    std::vector<Rank> members;
    for (int i = 0; i < count; ++i) members.emplace_back(i * stride);
    return members;
}

std::vector<MeasuredGroup> groups_of(Processes& processes) {
    const int size = processes.link().size();
    const int hosts = std::max(1, processes.hosts());
    const int per_host = size / hosts;
    std::vector<MeasuredGroup> groups;
    for (int n = 2; n < per_host; n *= 2) groups.push_back({ranks(n)});
    if (per_host > 1) groups.push_back({ranks(per_host)});
    if (per_host > 1) groups.push_back({ranks(2), 1, true});
    if (hosts == 1) return groups;
    groups.push_back({ranks(hosts, per_host), hosts});
    if (per_host > 1) groups.push_back({ranks(size), hosts});
    groups.push_back({ranks(2, per_host), 2, true});
    return groups;
}

CollectiveGrid process_grid(bool quick) {
    CollectiveGrid grid;
    if (!quick) return grid;
    grid.factor = 16;
    grid.budget = 16 << 20;
    grid.most = 20;
    return grid;
}

}  // namespace

std::vector<CollectiveSample> measure_processes(Processes& processes,
                                                const CalibrateOptions& options,
                                                const CalibrateProgress& progress) {
    return measure_groups(processes, std::string(processes.link().name()),
                          process_grid(options.quick), time_collectives, progress);
}

std::vector<CollectiveSample> measure_groups(Processes& processes, const std::string& transport,
                                             const CollectiveGrid& grid, const TimeGroup& time,
                                             const CalibrateProgress& progress) {
    std::vector<CollectiveSample> samples;
    const std::vector<MeasuredGroup> groups = groups_of(processes);
    for (std::size_t g = 0; g < groups.size(); ++g) {
        const MeasuredGroup& group = groups[g];
        const int members = static_cast<int>(group.members.size());
        progress(fmt::format("{} of {} ranks over {}",
                             group.transfers ? "transfers" : "collectives", members, transport),
                 static_cast<double>(g) / static_cast<double>(groups.size()));
        const auto cases = group.transfers ? transfer_cases(grid) : collective_cases(grid);
        std::vector<double> walls(cases.size()), spreads(cases.size());
        if (std::ranges::count(group.members, processes.link().rank()) > 0) {
            const auto communicator = make_message_communicator(
                processes.link(), group.members, kFirstChannel + static_cast<std::uint32_t>(g));
            const auto times = time(cases, *communicator);
            std::ranges::transform(times, walls.begin(), &CollectiveTiming::wall);
            std::ranges::transform(times, spreads.begin(), &CollectiveTiming::spread);
        }
        processes.largest(walls);
        processes.largest(spreads);
        for (std::size_t i = 0; i < cases.size(); ++i)
            samples.push_back({cases[i].name(), members, group.hosts, cases[i].bytes(),
                               Seconds(rounded(walls[i])), rounded(spreads[i])});
    }
    return samples;
}

}  // namespace shardscope
