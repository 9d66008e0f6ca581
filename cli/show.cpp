#include <fmt/format.h>

#include "cli/arguments.h"
#include "cli/evaluation.h"
#include "cli/parameters_text.h"
#include "core/report/figures.h"
#include "core/report/text_table.h"
#include "core/scenario_io.h"

namespace shardscope {
namespace {

struct Parts {
    bool scenario = false, model = false, program = false, memory = false;
};

std::int64_t owned_elements(const Model& model, const Layer& layer) {
    std::int64_t count = 0;
    for (const ParameterId id : layer.parameters) count += model.parameters[id.index()].elements();
    return count;
}

std::string borrowed_names(const Model& model, const Layer& layer) {
    std::string names;
    for (const ParameterId id : layer.borrowed)
        names += (names.empty() ? "" : ", ") + model.parameters[id.index()].name;
    return names;
}

std::string model_text(const Model& model) {
    TextTable table;
    table.add_column("layer", TextTable::Align::left);
    table.add_column("tensors");
    table.add_column("parameters");
    table.add_column("shares", TextTable::Align::left);
    for (const Layer& layer : model.layers) {
        table.add_row({layer.name, fmt::format("{}", layer.parameters.size()),
                       format_count(owned_elements(model, layer)), borrowed_names(model, layer)});
    }
    return fmt::format("{}: {}, {:.4g} GFLOP to train on one sample of {} {}\n\n{}", model.name,
                       parameters_text(model), model.training_flops_per_sample().value / 1e9,
                       model.tokens ? model.seq : model.input_width,
                       model.tokens ? "tokens" : "features", table.to_string());
}

std::string memory_text(const Plan& plan) {
    std::string text;
    for (std::size_t role = 0; role < plan.memory.size(); ++role)
        text += to_text(plan.program.roles[role], plan.memory[role]);
    return text;
}

// Prints what can be planned; false when nothing can.
bool print_plans(const Evaluation& evaluation, const Parts& parts, const Environment& environment) {
    bool any = false;
    for (const Strategy& strategy : evaluation.strategies()) {
        const Candidate candidate = evaluation.plan(strategy);
        if (!candidate.plan) {
            environment.err << strategy.name << ": " << candidate.report.error->what() << '\n';
            continue;
        }
        any = true;
        environment.out << fmt::format("# {}: {}\n", strategy.name, candidate.report.layout);
        if (parts.program) environment.out << to_text(candidate.plan->program);
        if (parts.memory) environment.out << memory_text(*candidate.plan);
    }
    return any;
}

}  // namespace

int show(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    ReportArguments arguments;
    Parts parts;
    arguments.add_input_to(parser.app(), environment);
    parser.app().add_flag("--scenario", parts.scenario,
                          "The scenario with every default filled in (what is printed by default)");
    parser.app().add_flag("--model", parts.model, "Layers and how many parameters they have");
    parser.app().add_flag("--program", parts.program, "What the ranks execute in a step");
    parser.app().add_flag("--memory", parts.memory, "Where every buffer lies, and for how long");
    if (!parser.parse(words, environment)) return 0;

    Evaluation evaluation(arguments, environment);
    const bool none = !parts.scenario && !parts.model && !parts.program && !parts.memory;
    if (parts.scenario || none) environment.out << scenario_to_yaml(evaluation.scenario());
    if (parts.model) environment.out << model_text(evaluation.model());
    if (!parts.program && !parts.memory) return 0;
    return print_plans(evaluation, parts, environment) ? 0 : 3;
}

}  // namespace shardscope
