#include "cli/launch/engines.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/usage_error.h"
#include "core/error.h"

namespace shardscope {
namespace {

constexpr const char* kByHand = "run `shardscope launch --no_ssh --node_rank K …` on every host";

const char* install_hint(Engine engine) {
    switch (engine) {
        case Engine::srun:
            return "use --launcher mpirun, or add Slurm's programs to PATH";
        case Engine::torchrun:
            return "install PyTorch (pip install torch)";
        default:
            return "install Open MPI (Debian: apt install openmpi-bin)";
    }
}

const char* program_name(Engine engine) {
    switch (engine) {
        case Engine::srun:
            return "srun";
        case Engine::torchrun:
            return "torchrun";
        default:
            return "mpirun";
    }
}

std::string path_of(Engine engine, const LaunchSurroundings& surroundings) {
    const char* name = program_name(engine);
    if (auto path = surroundings.find_program(name)) return *path;
    throw Error("launcher-missing", fmt::format("{} is not on PATH", name),
                fmt::format("{}, or {}", install_hint(engine), kByHand), ErrorKind::io);
}

Engine choose_engine(const LaunchOptions& options, const std::vector<Host>& hosts,
                     const LaunchSurroundings& surroundings) {
    if (options.engine != Engine::automatic) return options.engine;
    if (surroundings.slurm && surroundings.find_program("srun")) return Engine::srun;
    const bool named = !hosts.back().name.empty();
    if (!named || surroundings.find_program("mpirun")) return named ? Engine::mpirun : Engine::srun;
    throw Error("launcher-missing",
                fmt::format("{} host{}, but mpirun is not on PATH, and this is no Slurm allocation",
                            hosts.size(), hosts.size() == 1 ? "" : "s"),
                fmt::format("{}, or {}", install_hint(Engine::mpirun), kByHand), ErrorKind::io);
}

// mpirun and srun take numbers of ranks per host, not which of its slots.
void require_first_slots(const std::vector<Host>& hosts, const char* engine) {
    for (const Host& host : hosts)
        if (host.slots != first_slots(host.ranks()))
            usage_error(fmt::format("{} cannot choose slots of {}: it knows only how many", engine,
                                    host.name),
                        fmt::format("include or exclude whole hosts, or {}", kByHand));
}

int equal_ranks(const std::vector<Host>& hosts, const char* engine) {
    const int ranks = hosts.front().ranks();
    for (const Host& host : hosts)
        if (host.ranks() != ranks)
            usage_error(fmt::format("{} needs as many ranks on every host, but {} has {} and {} {}",
                                    engine, hosts.front().name, ranks, host.name, host.ranks()),
                        fmt::format("use --num_gpus {}", std::min(ranks, host.ranks())));
    return ranks;
}

std::string port_of(const LaunchOptions& options) {
    return fmt::format("{}", options.master_port.value_or(kDefaultMasterPort));
}

Words mpirun_words(const LaunchOptions& options, const std::vector<Host>& hosts,
                   const LaunchSurroundings& surroundings) {
    require_first_slots(hosts, "mpirun");
    std::string list;
    for (const Host& host : hosts)
        list += fmt::format("{}{}:{}", list.empty() ? "" : ",", host.name, host.ranks());
    // Unbound: on each host mpirun would bind its ranks to the first cores, other launches' too.
    Words words{path_of(Engine::mpirun, surroundings),
                "-np",
                fmt::format("{}", total_ranks(hosts)),
                "-H",
                list,
                "--bind-to",
                "none"};
    words.insert(words.end(),
                 {"-x", "MASTER_ADDR=" + master_address(options.master_addr, hosts, surroundings),
                  "-x", "MASTER_PORT=" + port_of(options)});
    for (const std::string& name : surroundings.exported) words.insert(words.end(), {"-x", name});
    return words;
}

Words srun_words(const LaunchOptions& options, std::vector<Host> hosts,
                 const LaunchSurroundings& surroundings) {
    require_first_slots(hosts, "srun");
    const int ranks = equal_ranks(hosts, "srun");
    Words words{path_of(Engine::srun, surroundings), "-N", fmt::format("{}", hosts.size()),
                "--ntasks-per-node", fmt::format("{}", ranks)};
    if (surroundings.hostfile) {
        std::sort(hosts.begin(), hosts.end(),
                  [](const Host& a, const Host& b) { return before_in_slurm(a.name, b.name); });
        std::string list;
        for (const Host& host : hosts) list += (list.empty() ? "" : ",") + host.name;
        words.push_back("--nodelist=" + list);
    }
    words.push_back(fmt::format("--export=ALL,MASTER_ADDR={},MASTER_PORT={}",
                                master_address(options.master_addr, hosts, surroundings),
                                port_of(options)));
    return words;
}

Words torchrun_words(const LaunchOptions& options, const std::vector<Host>& hosts,
                     const LaunchSurroundings& surroundings) {
    require_first_slots(hosts, "torchrun");
    const int ranks = equal_ranks(hosts, "torchrun");
    const auto nodes = static_cast<int>(hosts.size());
    if (nodes > 1 && !options.node_rank)
        usage_error("torchrun is started on every node and needs --node_rank, which node this is",
                    "add --node_rank 0, 1, …");
    const int node = this_node(options, hosts);
    const std::string address = nodes == 1
                                    ? options.master_addr.value_or("127.0.0.1")
                                    : master_address(options.master_addr, hosts, surroundings);
    return {path_of(Engine::torchrun, surroundings),
            "--nnodes",
            fmt::format("{}", nodes),
            "--nproc_per_node",
            fmt::format("{}", ranks),
            "--node_rank",
            fmt::format("{}", node),
            "--master_addr",
            address,
            "--master_port",
            port_of(options),
            "--no_python"};
}

Words engine_words(Engine engine, const LaunchOptions& options, const std::vector<Host>& hosts,
                   const LaunchSurroundings& surroundings) {
    switch (engine) {
        case Engine::srun:
            return srun_words(options, hosts, surroundings);
        case Engine::torchrun:
            return torchrun_words(options, hosts, surroundings);
        default:
            return mpirun_words(options, hosts, surroundings);
    }
}

}  // namespace

int total_ranks(const std::vector<Host>& hosts) {
    int ranks = 0;
    for (const Host& host : hosts) ranks += host.ranks();
    return ranks;
}

int this_node(const LaunchOptions& options, const std::vector<Host>& hosts) {
    const int node = options.node_rank.value_or(0), nodes = static_cast<int>(hosts.size());
    if (node >= nodes)
        usage_error(fmt::format("--node_rank {}, but there {} {} node{}", node,
                                nodes == 1 ? "is" : "are", nodes, nodes == 1 ? "" : "s"),
                    fmt::format("use 0{}", nodes == 1 ? "" : fmt::format(" to {}", nodes - 1)));
    return node;
}

std::string master_address(const std::optional<std::string>& asked, const std::vector<Host>& hosts,
                           const LaunchSurroundings& surroundings) {
    if (asked) return *asked;
    const std::string& first = hosts.front().name;
    const bool loopback = first == "localhost" || first.starts_with("127.");
    if (!loopback && !first.empty()) return first;
    if (hosts.size() == 1) return loopback ? first : surroundings.host;
    usage_error(fmt::format("the first host is {}, which the other hosts cannot reach", first),
                "add --master_addr with its name or address");
}

EngineCommand engine_command(const LaunchOptions& options, const std::vector<Host>& hosts,
                             const LaunchSurroundings& surroundings, const Words& command) {
    const Engine engine = choose_engine(options, hosts, surroundings);
    Words words = engine_words(engine, options, hosts, surroundings);
    words.insert(words.end(), options.engine_words.begin(), options.engine_words.end());
    words.insert(words.end(), command.begin(), command.end());
    return {std::move(words)};
}

}  // namespace shardscope
