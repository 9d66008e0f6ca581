// The command lines of the engines that start ranks on several machines.
#pragma once

#include <string>
#include <vector>

#include "cli/launch/plan.h"

namespace shardscope {

int total_ranks(const std::vector<Host>& hosts);

// Which of the hosts this is; 0 unless said. Throws Error "usage" where there are not so many.
int this_node(const LaunchOptions& options, const std::vector<Host>& hosts);

// Where rank 0 listens for the others: `asked`, or the first host. Throws Error "usage" where that
// means nothing to the other hosts ("localhost").
std::string master_address(const std::optional<std::string>& asked, const std::vector<Host>& hosts,
                           const LaunchSurroundings& surroundings);

// By the engine that the options name or, if they leave it open, that is there: srun inside a Slurm
// allocation, else mpirun.
EngineCommand engine_command(const LaunchOptions& options, const std::vector<Host>& hosts,
                             const LaunchSurroundings& surroundings, const Words& command);

}  // namespace shardscope
