#include "cli/completion.h"

#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/this_machine.h"
#include "cli/usage_error.h"
#include "core/nearest.h"
#include "core/scenario_io.h"

namespace shardscope {
namespace {

// For the scripts: one per line.
void print_strategies(const std::string& file, const Environment& environment) {
    const Scenario scenario =
        load_scenario(file, parse_options(environment, environment.calibration_file));
    for (const Strategy& strategy : scenario.strategies) environment.out << strategy.name << '\n';
}

}  // namespace

int completion(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    std::string shell, scenario;
    parser.app().add_option("SHELL", shell, "Whose script")->type_name("bash|zsh");
    parser.app()
        .add_option("--strategies", scenario, "Print the names of a scenario's strategies instead")
        ->type_name("FILE");
    if (!parser.parse(words, environment)) return 0;

    if (!scenario.empty()) {
        print_strategies(scenario, environment);
    } else if (shell == "bash") {
        environment.out << bash_completion(describe_commands(environment));
    } else if (shell == "zsh") {
        environment.out << zsh_completion(describe_commands(environment));
    } else if (shell.empty()) {
        usage_error("no shell to complete for", "use `completion bash` or `completion zsh`");
    } else {
        const std::vector<std::string_view> shells{"bash", "zsh"};
        usage_error(fmt::format("no completion for \"{}\"", shell), suggest_name(shell, shells));
    }
    return 0;
}

}  // namespace shardscope
