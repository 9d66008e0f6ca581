// From the options of `launch` to what it starts: processes of its own on this machine, or the command
// line of an engine (mpirun, srun, torchrun) that starts them on several. Nothing here touches the
// system, so that every plan can be tested as text.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cli/command.h"
#include "cli/launch/hostfile.h"
#include "cli/launch/slurm.h"

namespace shardscope {

inline constexpr int kDefaultMasterPort = 29500;  // torchrun's and DeepSpeed's

enum class Engine { automatic, mpirun, srun, torchrun };

// Throws Error "usage": an unknown launcher, or one that DeepSpeed has and we have not.
Engine parse_engine(const std::string& name);

struct LaunchOptions {
    std::optional<int> num_nodes;  // of the hosts the first so many; else all
    std::optional<int> num_gpus;   // ranks per node; else the slots of each host
    std::string include, exclude;  // at most one of them; see include_hosts()
    std::optional<std::string> master_addr;
    std::optional<int> master_port;
    bool no_ssh = false;           // only this node's ranks: `launch` is run on every node
    std::optional<int> node_rank;  // which node this is, with no_ssh or torchrun
    Engine engine = Engine::automatic;
    std::vector<std::string> engine_words;  // added to the engine's command line
};

// What a plan depends on beside the options.
struct LaunchSurroundings {
    std::string host;  // this machine's name
    int cores = 1;     // of this machine: the ranks that it gets where nothing says how many
    std::optional<int> gpu_ranks;         // instead, where ranks use its GPUs
    std::optional<std::string> hostfile;  // its name, for messages; hosts are given separately
    std::optional<SlurmAllocation> slurm;
    std::vector<std::string> exported;  // names of variables that ranks elsewhere need too
    int free_port = kDefaultMasterPort;
    // The path of a program that could be executed, or nothing.
    std::function<std::optional<std::string>(const std::string&)> find_program;
    std::function<bool(const std::string&)> is_this_machine;  // a host's name or address
};

using Assignment = std::pair<std::string, std::string>;  // of a variable

struct RankProcess {
    int rank = 0;
    std::vector<Assignment> variables;  // what it gets beside what launch has
};

struct OwnProcesses {
    int world_size = 1;
    std::vector<RankProcess> ranks;  // of this machine
};

struct EngineCommand {
    Words words;  // the engine's path first, the ranks' command line last
};

using LaunchPlan = std::variant<OwnProcesses, EngineCommand>;

// `command` is what each rank executes. `hosts` are the hostfile's; empty: there is none. Throws Error
// "usage" (exit code 2) for options that contradict each other or the hosts, "launcher-missing" where
// the engine is not there.
LaunchPlan plan_launch(const LaunchOptions& options, const std::vector<Host>& hosts,
                       const LaunchSurroundings& surroundings, const Words& command);

// What would be executed, a line per process, as a shell would take it.
std::string to_text(const LaunchPlan& plan, const Words& command);

}  // namespace shardscope
