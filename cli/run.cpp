#include <optional>

#include "cli/arguments.h"
#include "cli/evaluation.h"
#include "core/report/report_text.h"

namespace shardscope {

int run(const Command& self, const Words& words, const Environment& environment) {
    ArgumentParser parser(self);
    ReportArguments arguments;
    RunArguments training;
    arguments.add_to(parser.app(), environment);
    training.add_to(parser.app());
    if (!parser.parse(words, environment)) return 0;

    const Backend& backend = find_backend(training.backend);
    Processes* const processes = Processes::meet(environment);
    const auto gpus = gpus_for(backend, training, environment, processes);
    std::optional<Evaluation> prepared;
    agree(processes, [&] {
        prepared.emplace(arguments, environment, processes);
        prepared->prepare_run(training, gpus ? &*gpus : nullptr, command_line(self, words));
    });
    Evaluation& evaluation = *prepared;
    {
        Progress progress(environment);
        for (const Strategy& strategy : evaluation.strategies()) {
            EvaluatedCandidate candidate = evaluation.plan(strategy);
            evaluation.measure(candidate, backend, gpus ? gpus->options : training.cuda, progress);
            evaluation.add(std::move(candidate));
        }
    }
    return evaluation.finish(training.backend, measurement_text, true);
}

}  // namespace shardscope
