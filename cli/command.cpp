#include "cli/command.h"

#include <array>

#include <fmt/format.h>

#include "core/error.h"
#include "core/nearest.h"
#include "core/version.h"

namespace shardscope {
namespace {

constexpr auto kCommands = std::to_array<Command>({
    {"simulate", "Predict memory and step time of each strategy",
     "shardscope simulate scenarios/quickstart.yaml --json", simulate},
    {"run", "Train with each strategy and measure it",
     "shardscope run scenarios/quickstart.yaml --steps 50", run, true},
    {"compare",
     "Run and simulate, side by side: what was measured, and how wrong the prediction is",
     "shardscope compare scenarios/quickstart.yaml", compare, true},
    {"show", "Print a scenario with every default, its model, programs and memory plans",
     "shardscope show scenarios/quickstart.yaml --memory --strategy zero-3", show},
    {"launch", "Start a command's ranks as processes, on this machine or on several",
     "shardscope launch --num_gpus 2 -- run scenarios/mlp.yaml", launch},
    {"import", "Read another program's configuration: what it means here, what has no effect",
     "shardscope import hf tests/data/hf/gpt2.json", import_file},
    {"validate", "Predict runs that others measured, and say how wrong the predictions are",
     "shardscope validate tests/data/measured_runs.csv --family dense", validate},
    {"calibrate", "Measure this machine, for the predictions of simulate and compare",
     "shardscope calibrate --quick", calibrate, true},
    {"devices", "List what can run here, and the clusters that can be simulated",
     "shardscope devices", devices},
    {"completion", "Print a script that completes commands, options and strategies in a shell",
     "shardscope completion bash", completion},
    {"manual", "Print the manual page", "shardscope manual", manual},
});

std::string overview() {
    std::string text =
        "Compares data parallelism, model parallelism and ZeRO in memory per GPU and throughput,\n"
        "by running them and by simulating them from one plan.\n\n"
        "Usage: shardscope COMMAND [OPTION…]\n\n";
    for (const Command& command : kCommands)
        text += fmt::format("  {:<10} {}\n", command.name, command.summary);
    return text +
           "\nshardscope COMMAND --help says more; try: " + std::string(kCommands[2].example) +
           "\n";
}

[[noreturn]] void unknown_command(const std::string& word) {
    std::vector<std::string_view> names;
    for (const Command& command : kCommands) names.push_back(command.name);
    throw Error("usage", fmt::format("unknown command \"{}\"", word), suggest_name(word, names),
                ErrorKind::io);
}

}  // namespace

std::span<const Command> commands() { return kCommands; }

Words command_line(const Command& command, const Words& words) {
    Words line{std::string(command.name)};
    line.insert(line.end(), words.begin(), words.end());
    return line;
}

int run_command_line(const Words& words, const Environment& environment) {
    if (words.empty()) throw Error("usage", "no command", "see shardscope --help", ErrorKind::io);
    const std::string& word = words.front();
    if (word == "--version") {
        environment.out << "shardscope " SHARDSCOPE_VERSION "\n";
        return 0;
    }
    if (word == "--help" || word == "-h" || word == "help") {
        environment.out << overview();
        return 0;
    }
    for (const Command& command : kCommands) {
        if (command.name != word) continue;
        if (!environment.is_root() && !command.by_all_processes) return 0;
        return command.run(command, {words.begin() + 1, words.end()}, environment);
    }
    unknown_command(word);
}

}  // namespace shardscope
