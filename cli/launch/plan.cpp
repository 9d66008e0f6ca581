#include "cli/launch/plan.h"

#include <algorithm>
#include <array>
#include <numeric>

#include <fmt/format.h>

#include "cli/launch/engines.h"
#include "cli/launch/shell_words.h"
#include "cli/usage_error.h"
#include "core/nearest.h"

namespace shardscope {
namespace {

void check_options(const LaunchOptions& options) {
    if (!options.include.empty() && !options.exclude.empty())
        usage_error("--include and --exclude are mutually exclusive", "keep one of them");
    const bool filtered = !options.include.empty() || !options.exclude.empty();
    if (filtered && (options.num_nodes || options.num_gpus))
        usage_error("Cannot specify num_nodes/gpus with include/exclude",
                    "say with --include alone which hosts and slots to use");
    if (options.no_ssh && options.engine != Engine::automatic)
        usage_error("--no_ssh starts this node's ranks without an engine", "leave --launcher out");
    const bool by_hand = options.no_ssh || options.engine == Engine::torchrun;
    if (options.no_ssh && !options.node_rank)
        usage_error("--no_ssh needs --node_rank, which node this is", "add --node_rank 0, 1, …");
    if (options.node_rank && !by_hand)
        usage_error(
            "--node_rank is for --no_ssh and --launcher torchrun, which are started on every node",
            "add --no_ssh, or leave --node_rank out");
}

std::string hosts_origin(const LaunchSurroundings& surroundings) {
    return surroundings.hostfile.value_or("this machine");
}

// The nodes of a launch on which every node is started by hand, or that Slurm allocated: their names
// are not known here.
std::vector<Host> unnamed_nodes(int nodes, int ranks) {
    return std::vector<Host>(static_cast<std::size_t>(nodes), Host{"", first_slots(ranks), ""});
}

std::vector<Host> nodes_by_hand(const LaunchOptions& options) {
    if (!options.num_gpus)
        usage_error(
            fmt::format("{} nodes and no hostfile: how many ranks has each?", *options.num_nodes),
            "add --num_gpus N, the same on every node");
    if (!options.master_addr)
        usage_error(fmt::format("{} nodes and no hostfile: where is node 0?", *options.num_nodes),
                    "add --master_addr with node 0's name or address");
    return unnamed_nodes(*options.num_nodes, *options.num_gpus);
}

std::vector<Host> slurm_nodes(const LaunchOptions& options, const SlurmAllocation& slurm) {
    const int nodes = options.num_nodes.value_or(slurm.nodes);
    if (nodes > slurm.nodes)
        usage_error(fmt::format("--num_nodes {}, but the Slurm allocation has {} node{}", nodes,
                                slurm.nodes, slurm.nodes == 1 ? "" : "s"),
                    fmt::format("use --num_nodes {}, or allocate more", slurm.nodes));
    const auto ranks = options.num_gpus ? options.num_gpus : slurm.tasks_per_node;
    if (!ranks)
        usage_error("the Slurm allocation does not say how many ranks a node gets",
                    "add --num_gpus N, or allocate with --ntasks-per-node N");
    std::vector<Host> hosts = unnamed_nodes(nodes, *ranks);
    hosts.front().name = slurm.first_node();
    return hosts;
}

// Without a hostfile.
std::vector<Host> other_nodes(const LaunchOptions& options,
                              const LaunchSurroundings& surroundings) {
    const bool by_hand = options.no_ssh || options.engine == Engine::torchrun;
    if (by_hand && options.num_nodes.value_or(1) > 1) return nodes_by_hand(options);
    const bool srun = options.engine == Engine::automatic || options.engine == Engine::srun;
    const bool filtered = !options.include.empty() || !options.exclude.empty();
    if (surroundings.slurm && srun && !by_hand && !filtered)
        return slurm_nodes(options, *surroundings.slurm);
    if (options.num_nodes.value_or(1) > 1)
        usage_error("Num nodes is >1 but no extra nodes available via hostfile",
                    "name a hostfile with --hostfile, or start every node by hand with --no_ssh "
                    "--node_rank K --master_addr HOST");
    if (!options.num_gpus && surroundings.gpu_ranks == 0)
        usage_error(
            "this machine has no GPU: there is no /dev/nvidia0, or CUDA_VISIBLE_DEVICES hides it",
            "say with --num_gpus N how many ranks to start all the same");
    const int ranks = surroundings.gpu_ranks.value_or(surroundings.cores);
    return {{"localhost", first_slots(options.num_gpus.value_or(ranks)), ""}};
}

void keep_first_hosts(std::vector<Host>& hosts, int count, const std::string& file) {
    const auto there = static_cast<int>(hosts.size());
    if (count > there)
        usage_error(fmt::format("--num_nodes {}, but {} has {} host{}", count, file, there,
                                there == 1 ? "" : "s"),
                    fmt::format("use --num_nodes {}, or add hosts", there));
    hosts.resize(static_cast<std::size_t>(count));
}

void keep_first_slots(std::vector<Host>& hosts, int count) {
    for (Host& host : hosts) {
        if (count > host.ranks())
            usage_error(
                fmt::format("--num_gpus {}, but {} has {} slot{} ({})", count, host.name,
                            host.ranks(), host.ranks() == 1 ? "" : "s", host.place),
                fmt::format("use --num_gpus {}, or give the host more slots", host.ranks()));
        host.slots.resize(static_cast<std::size_t>(count));
    }
}

std::vector<Host> choose_hosts(const LaunchOptions& options, const std::vector<Host>& hosts,
                               const LaunchSurroundings& surroundings) {
    std::vector<Host> chosen = hosts.empty() ? other_nodes(options, surroundings) : hosts;
    const std::string origin = hosts_origin(surroundings);
    if (!options.include.empty()) return include_hosts(chosen, options.include, origin);
    if (!options.exclude.empty()) return exclude_hosts(chosen, options.exclude, origin);
    if (hosts.empty()) return chosen;
    if (options.num_nodes) keep_first_hosts(chosen, *options.num_nodes, origin);
    if (options.num_gpus) keep_first_slots(chosen, *options.num_gpus);
    return chosen;
}

std::string slot_list(const Host& host) {
    std::string list;
    for (const int slot : host.slots) list += fmt::format("{}{}", list.empty() ? "" : ",", slot);
    return list;
}

// What DeepSpeed's and PyTorch's launchers set (DeepSpeed, launcher/launch.py; torchrun's manual).
RankProcess rank_process(const std::vector<Host>& hosts, int node, int local_rank, int first_rank,
                         const std::string& address, int port) {
    const Host& host = hosts[static_cast<std::size_t>(node)];
    const int world = total_ranks(hosts), rank = first_rank + local_rank;
    const auto text = [](int number) { return fmt::format("{}", number); };
    RankProcess process{rank,
                        {{"RANK", text(rank)},
                         {"LOCAL_RANK", text(local_rank)},
                         {"WORLD_SIZE", text(world)},
                         {"LOCAL_WORLD_SIZE", text(host.ranks())},
                         {"LOCAL_SIZE", text(host.ranks())},
                         {"CROSS_RANK", text(node)},
                         {"CROSS_SIZE", text(static_cast<int>(hosts.size()))},
                         {"MASTER_ADDR", address},
                         {"MASTER_PORT", text(port)}}};
    if (host.slots != first_slots(host.ranks()))
        process.variables.emplace_back("CUDA_VISIBLE_DEVICES", slot_list(host));
    return process;
}

OwnProcesses own_processes(const LaunchOptions& options, const std::vector<Host>& hosts,
                           const LaunchSurroundings& surroundings) {
    if (!options.engine_words.empty())
        usage_error(
            "--launcher_args are for mpirun, srun or torchrun, but launch starts these ranks "
            "itself",
            "leave them out, or choose an engine with --launcher");
    const int node = this_node(options, hosts);
    const bool alone = hosts.size() == 1;
    const std::string address = alone ? options.master_addr.value_or("127.0.0.1")
                                      : master_address(options.master_addr, hosts, surroundings);
    const int port =
        options.master_port.value_or(alone ? surroundings.free_port : kDefaultMasterPort);
    const int first = std::accumulate(hosts.begin(), hosts.begin() + node, 0,
                                      [](int sum, const Host& host) { return sum + host.ranks(); });
    OwnProcesses own{total_ranks(hosts), {}};
    for (int local = 0; local < hosts[static_cast<std::size_t>(node)].ranks(); ++local)
        own.ranks.push_back(rank_process(hosts, node, local, first, address, port));
    return own;
}

struct EngineName {
    std::string_view name;
    Engine engine;
};

// DeepSpeed's names beside the programs' own.
constexpr std::array<EngineName, 6> kEngines{{{"auto", Engine::automatic},
                                              {"mpirun", Engine::mpirun},
                                              {"srun", Engine::srun},
                                              {"torchrun", Engine::torchrun},
                                              {"openmpi", Engine::mpirun},
                                              {"slurm", Engine::srun}}};

}  // namespace

Engine parse_engine(const std::string& name) {
    std::vector<std::string_view> names;
    for (const EngineName& known : kEngines) {
        if (known.name == name) return known.engine;
        names.push_back(known.name);
    }
    if (name == "pdsh")
        usage_error(
            "--launcher pdsh is not supported",
            "use mpirun, or run `launch --no_ssh --node_rank K` on every host, with pdsh too");
    if (name == "mpich" || name == "impi" || name == "mvapich")
        usage_error(
            fmt::format("--launcher {} is not supported: the MPI backend is built for Open MPI",
                        name),
            "use mpirun of Open MPI, srun or torchrun");
    usage_error(fmt::format("unknown launcher \"{}\"", name), suggest_name(name, names));
}

LaunchPlan plan_launch(const LaunchOptions& options, const std::vector<Host>& hosts,
                       const LaunchSurroundings& surroundings, const Words& command) {
    check_options(options);
    const std::vector<Host> chosen = choose_hosts(options, hosts, surroundings);
    const bool here = chosen.size() == 1 && surroundings.is_this_machine(chosen.front().name);
    if (options.no_ssh || (here && options.engine == Engine::automatic))
        return own_processes(options, chosen, surroundings);
    return engine_command(options, chosen, surroundings, command);
}

std::string to_text(const LaunchPlan& plan, const Words& command) {
    if (const auto* engine = std::get_if<EngineCommand>(&plan))
        return shell_line(engine->words) + "\n";
    std::string text;
    for (const RankProcess& process : std::get<OwnProcesses>(plan).ranks) {
        for (const auto& [name, value] : process.variables)
            text += fmt::format("{}={} ", name, shell_line({value}));
        text += shell_line(command) + "\n";
    }
    return text;
}

}  // namespace shardscope
