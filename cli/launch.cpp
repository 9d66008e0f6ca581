#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/launch/plan.h"
#include "cli/launch/process_group.h"
#include "cli/launch/shell_words.h"
#include "cli/launch/this_host.h"
#include "cli/shared_gpu.h"
#include "cli/usage_error.h"
#include "core/nearest.h"
#include "core/yaml_text.h"

namespace shardscope {
namespace {

constexpr const char* kDefaultHostfile = "/job/hostfile";  // DeepSpeed's
constexpr std::chrono::seconds kTellingTime{3};            // for ranks to tell what they know
constexpr std::chrono::seconds kGrace{10};                 // for ranks to heed SIGTERM
constexpr int kMostNodes = 1'000'000, kMostRanksPerNode = 65'536;

struct LaunchArguments {
    LaunchOptions options;
    std::string hostfile;
    std::string launcher = "auto", launcher_args;
    std::string program;
    bool dry_run = false;
    std::string
        command;  // for help only: its words are kept apart from CLI11, which would change some

    void add_to(CLI::App& app);
};

void LaunchArguments::add_to(CLI::App& app) {
    app.add_option(
           "-H,--hostfile", hostfile,
           fmt::format("Hosts, a line each: `worker-1 slots=8` (default {}, if it is there)",
                       kDefaultHostfile))
        ->type_name("FILE");
    app.add_option("-i,--include", options.include, "Only these hosts or slots: h1@h2:0,2")
        ->type_name("HOSTS");
    app.add_option("-e,--exclude", options.exclude, "All but these hosts or slots")
        ->type_name("HOSTS");
    app.add_option("--num_nodes", options.num_nodes, "So many hosts, the first of the hostfile")
        ->type_name("N")
        ->check(in_range(1, kMostNodes));
    app.add_option("--num_gpus,--num_accelerators", options.num_gpus,
                   "Ranks per host (default: its slots; without a hostfile its cores, or GPUs)")
        ->type_name("N")
        ->check(in_range(1, kMostRanksPerNode));
    app.add_option("--master_addr", options.master_addr,
                   "Where rank 0 is (default: the first host)")
        ->type_name("HOST");
    app.add_option("--master_port", options.master_port,
                   "Its port (default 29500; on one machine a free one)")
        ->type_name("PORT")
        ->check(in_range(1, 65'535));
    app.add_flag("--no_ssh", options.no_ssh,
                 "Start the ranks of this host only; launch is run on every host");
    app.add_option("--node_rank", options.node_rank, "Which host this is, from 0")
        ->type_name("K")
        ->check(in_range(0, kMostNodes));
    app.add_option("--launcher", launcher, "Who starts ranks on several hosts (default auto)")
        ->type_name("auto|mpirun|srun|torchrun");
    app.add_option("--launcher_args", launcher_args, "Words for mpirun, srun or torchrun")
        ->type_name("WORDS");
    app.add_option("--program", program, "What each rank executes (default: this shardscope)")
        ->type_name("FILE");
    app.add_flag("--dry_run", dry_run, "Print what would be executed");
    app.add_option("COMMAND", command, "What each rank executes, written behind --")->required();
}

// The words before the first "--", and those behind.
struct SplitWords {
    Words own, command;
};

SplitWords split_command(const Words& words) {
    const auto marker = std::find(words.begin(), words.end(), "--");
    SplitWords split{{words.begin(), marker}, {}};
    if (marker != words.end()) split.command.assign(marker + 1, words.end());
    return split;
}

// A mistake in the command would be reported by every rank: it is looked for first.
void check_command(const Words& words) {
    if (words.empty())
        usage_error("no command to launch",
                    "write it behind --, as in `launch -- run scenario.yaml`");
    std::vector<std::string_view> names;
    for (const Command& known : commands()) names.push_back(known.name);
    const bool known = std::find(names.begin(), names.end(), words.front()) != names.end();
    if (!known)
        usage_error(fmt::format("unknown command \"{}\" behind --", printable(words.front())),
                    suggest_name(words.front(), names));
    if (words.front() == "launch")
        usage_error("launch cannot launch itself", "write `run scenario.yaml` behind --");
}

std::optional<std::string> find_on_path(const std::string& program, const std::string& path) {
    if (program.find('/') != program.npos) {
        if (access(program.c_str(), X_OK) == 0) return program;
        return std::nullopt;
    }
    for (std::size_t at = 0; at <= path.size();) {
        const std::size_t end = std::min(path.find(':', at), path.size());
        const std::string folder = end == at ? "." : path.substr(at, end - at);
        const std::string file = folder + "/" + program;
        if (access(file.c_str(), X_OK) == 0 && !std::filesystem::is_directory(file)) return file;
        at = end + 1;
    }
    return std::nullopt;
}

std::string variable_of(const Environment& environment, const std::string& name) {
    const auto found = environment.variables.find(name);
    return found == environment.variables.end() ? "" : found->second;
}

std::string rank_program(const LaunchArguments& arguments, const Environment& environment) {
    if (arguments.program.empty())  // on every host the same path
        return std::filesystem::read_symlink("/proc/self/exe").string();
    if (auto found = find_on_path(arguments.program, variable_of(environment, "PATH")))
        return *found;
    usage_error(fmt::format("--program {}: no such program", arguments.program),
                "name one that can be executed");
}

std::optional<std::string> hostfile_name(const LaunchArguments& arguments) {
    if (!arguments.hostfile.empty()) return arguments.hostfile;
    std::error_code unreadable;
    if (std::filesystem::exists(kDefaultHostfile, unreadable)) return kDefaultHostfile;
    return std::nullopt;
}

// What NCCL and UCX are told by their users holds on every host, as with DeepSpeed.
std::vector<std::string> exported_names(const Environment& environment) {
    std::vector<std::string> names;
    for (const auto& [name, value] : environment.variables)
        if (name.starts_with("NCCL_") || name.starts_with("UCX_")) names.push_back(name);
    return names;
}

LaunchSurroundings surroundings_of(const Environment& environment, const LaunchArguments& arguments,
                                   const Words& command) {
    LaunchSurroundings result;
    result.host = environment.machine.host;
    result.cores = environment.machine.cores;
    if (asks_for_cuda(command))
        result.gpu_ranks = count_gpus(environment.variables) * ranks_per_gpu_of(command);
    result.hostfile = hostfile_name(arguments);
    result.slurm = slurm_allocation(environment.variables);
    result.exported = exported_names(environment);
    result.free_port = free_port();
    result.find_program = [path = variable_of(environment, "PATH")](const std::string& program) {
        return find_on_path(program, path);
    };
    result.is_this_machine = [host = result.host](const std::string& name) {
        return names_this_machine(name, host);
    };
    return result;
}

std::vector<std::string> block_of(std::map<std::string, std::string> variables,
                                  const std::vector<Assignment>& assignments) {
    for (const auto& [name, value] : assignments) variables[name] = value;
    std::vector<std::string> block;
    block.reserve(variables.size());
    for (const auto& [name, value] : variables) block.push_back(name + "=" + value);
    return block;
}

void say_end(const OwnProcesses& own, const std::optional<RankEnd>& failure, int signal,
             std::ostream& err) {
    const std::size_t others = own.ranks.size() - (failure ? 1 : 0);
    const std::string what = failure ? failure->text() : fmt::format("signal {}", signal);
    err << "shardscope: launch: " << what;
    if (others > 0)
        err << fmt::format("; ending {} {} rank{} here", failure ? "the other" : "the", others,
                           others == 1 ? "" : "s");
    err << std::endl;
}

int start_own(const OwnProcesses& own, const Words& command, const Environment& environment) {
    const auto say = [&](const std::optional<RankEnd>& failure, int signal) {
        say_end(own, failure, signal, environment.err);
    };
    ProcessGroup group({environment.out, environment.err, kTellingTime, kGrace, say});
    const bool alone = own.world_size == 1;
    // Where mpirun started launch itself, its ranks must not take themselves for mpirun's.
    auto inherited = environment.variables;
    std::erase_if(inherited, [](const auto& v) { return v.first.starts_with("OMPI_COMM_WORLD_"); });
    for (const RankProcess& process : own.ranks) {
        RankCommand rank{process.rank, command, block_of(inherited, process.variables)};
        rank.keeps_output = process.rank == 0;
        // On a terminal rank 0 draws its progress there.
        rank.keeps_errors = alone || (process.rank == 0 && environment.interactive);
        group.start(rank);
    }
    return group.wait();
}

// What the user has set holds, but for what must differ between ranks.
void share_gpus(OwnProcesses& own, const Words& command, const Environment& environment) {
    for (RankProcess& process : own.ranks)
        for (const auto& [name, value, decides] : shared_gpu_variables(command, process.rank))
            if (decides || !environment.variables.contains(name))
                process.variables.emplace_back(name, value);
}

// In our place: it gets our signals, and its exit code is ours.
int become_engine(const EngineCommand& engine, const Environment& environment) {
    environment.err << shell_line(engine.words) << std::endl;
    environment.out.flush();
    Words words = engine.words;
    std::vector<std::string> block = block_of(environment.variables, {});
    std::vector<char*> argv, envp;
    for (std::string& word : words) argv.push_back(word.data());
    for (std::string& entry : block) envp.push_back(entry.data());
    argv.push_back(nullptr);
    envp.push_back(nullptr);
    execve(argv[0], argv.data(), envp.data());
    throw Error("launch", fmt::format("cannot start {}: {}", words[0], std::strerror(errno)),
                "name a launcher that can be executed", ErrorKind::io);
}

}  // namespace

int launch(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    LaunchArguments arguments;
    arguments.add_to(parser.app());
    const SplitWords split = split_command(words);
    const bool help = std::any_of(split.own.begin(), split.own.end(), [](const std::string& word) {
        return word == "--help" || word == "-h";
    });
    if (split.command.empty() && !help) check_command({});
    Words parsed = split.own;
    if (!split.command.empty()) parsed.insert(parsed.begin(), "COMMAND");
    if (!parser.parse(parsed, environment)) return 0;

    if (arguments.program.empty()) check_command(split.command);
    Words command{rank_program(arguments, environment)};
    command.insert(command.end(), split.command.begin(), split.command.end());
    LaunchSurroundings surroundings = surroundings_of(environment, arguments, split.command);
    arguments.options.engine = parse_engine(arguments.launcher);
    arguments.options.engine_words = split_words(arguments.launcher_args, "--launcher_args");
    std::vector<Host> hosts;
    if (surroundings.hostfile)
        hosts = parse_hostfile(read_text_file(*surroundings.hostfile, "hostfile"),
                               *surroundings.hostfile);
    LaunchPlan plan = plan_launch(arguments.options, hosts, surroundings, command);
    if (auto* own = std::get_if<OwnProcesses>(&plan)) share_gpus(*own, command, environment);
    if (arguments.dry_run) {
        environment.out << to_text(plan, command);
        return 0;
    }
    if (const auto* engine = std::get_if<EngineCommand>(&plan))
        return become_engine(*engine, environment);
    return start_own(std::get<OwnProcesses>(plan), command, environment);
}

}  // namespace shardscope
